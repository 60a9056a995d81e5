"""Every feature is mapped by a function that the features before it decide."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.nets import MaskedMLP, Stepwise, run_conditioner

__all__ = ["Autoregressive"]


class Autoregressive(AbstractBijection):
    r"""A masked autoregressive map: one pass towards the latent, feature by feature towards data.

    .. math:: z_i = f(x_i;\ \theta_i(x_{<i}, c)), \quad \log |\det| = \sum_i \log f'(x_i)

    The way back fixes one feature after another. It computes each unit of the net once, as soon as its inputs are
    known (:class:`~counterflow.nets.Stepwise`), so it costs as much arithmetic as one pass, in many small steps. Both
    ways are differentiable.
    ``Invert(Autoregressive(...))`` has the directions' costs the other way round (inverse autoregressive flow).

    Args:
        features: Number of features.
        transformer: The family f: ``ScaleShift()`` makes MAF, ``Spline()`` an autoregressive neural spline flow.
        reverse: Order the features from last to first; alternate it from layer to layer.
        hidden: Widths of the masked net's hidden layers.
        residual: Residual hidden layers, of equal widths.
        context_features: Length of the context; 0 for none.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Reference:
        Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation", 2017, equations 3 to 5.

    Example:
        >>> from counterflow.bijections import ScaleShift
        >>> layer = Autoregressive(3, ScaleShift(), hidden=(16,))
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    one_pass_to_data = False

    def __init__(
        self,
        features: int,
        transformer: AbstractTransformer,
        *,
        reverse: bool = False,
        hidden: tuple[int, ...] = (64, 64),
        residual: bool = False,
        context_features: int = 0,
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        self.transformer = transformer
        self.reverse = reverse
        self.net = MaskedMLP(
            features,
            transformer.size,
            hidden=hidden,
            context_features=context_features,
            reverse=reverse,
            residual=residual,
            activation=activation,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map data to latent in one pass."""
        context = context if self.context_features else None
        return self.transformer.to_latent(broadcast_batch(x, context), run_conditioner(self.net, x, context))

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map latent to data, one feature after another."""
        context = context if self.context_features else None
        z = broadcast_batch(z, context)
        batch, flat = z.shape[:-1], z.reshape(-1, self.features)
        columns = flat.T.contiguous().unbind()
        contexts = None if context is None else context.expand(*batch, -1).reshape(flat.shape[0], context.shape[-1])
        run = Stepwise(self.net, contexts, points=flat.shape[0])
        values, log_slopes = list(columns), []
        for feature in self.net.order:
            x, log_slope = self.transformer.data_and_log_slope(columns[feature], run.conditions().to(z.dtype))
            run.advance(x)
            values[feature] = x
            log_slopes.append(log_slope)
        return torch.stack(values, -1).reshape(z.shape), torch.stack(log_slopes).sum(0).reshape(batch)

    def extra_repr(self) -> str:
        """Name the family and the order."""
        return f"{self.transformer}, reverse={self.reverse}"
