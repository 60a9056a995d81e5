"""Every feature is mapped by a function that the features before it decide."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.nets import MaskedMLP

__all__ = ["Autoregressive"]


class Autoregressive(AbstractBijection):
    r"""A masked autoregressive map: one pass towards the latent, one pass per feature towards data.

    .. math:: z_i = f(x_i;\ \theta_i(x_{<i}, c)), \quad \log |\det| = \sum_i \log f'(x_i)

    The way back fixes one more feature in each pass: after pass k the first k features are right, and the others are
    held at zero until their turn (a wild guess could overflow). The last pass has the parameters of all of them. All
    of it is differentiable.
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
        return self.transformer.to_latent(broadcast_batch(x, context), self._conditions(x, context))

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map latent to data in as many passes as there are features."""
        context = context if self.context_features else None
        z = broadcast_batch(z, context)
        x = log_det = torch.zeros_like(z)
        for step in range(self.features):
            guess, log_det = self.transformer.to_data(z, self._conditions(x, context))
            x = torch.where(self.net.degrees <= step, guess, 0.0)
        return x, log_det

    def extra_repr(self) -> str:
        """Name the family and the order."""
        return f"{self.transformer}, reverse={self.reverse}"

    def _conditions(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.net(x, context).to(x.dtype)
