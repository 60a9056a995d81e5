"""Half of the features decides what happens to the other half."""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.core.errors import ArgumentError
from counterflow.nets import FilmMLP, make_conditioner, run_conditioner

__all__ = ["Coupling"]


class Coupling(AbstractBijection):
    r"""A coupling layer: one half stays, and sets the parameters of the map of the other half.

    .. math:: z_a = x_a, \quad z_b = f(x_b;\ \theta(x_a, c))

    Both directions cost one evaluation of the net. It starts as the identity, because the net's last layer starts at
    zero. With a single feature the parameters depend on the context alone.

    Args:
        features: Number of features.
        transformer: The family f: ``Shift()`` makes NICE, ``ScaleShift()`` RealNVP, ``Spline()`` a neural spline flow.
        flip: Let the last features stay and map the first; alternate it from layer to layer.
        kept: How many features stay; half of them, rounded down, if not given.
        hidden: Widths of the net's hidden layers.
        context_features: Length of the context; 0 for none.
        conditioning: How the context enters: ``"concat"``, joined to the net's input, or ``"film"``, as gates and
            shifts of its hidden layers.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Raises:
        ArgumentError: All features would stay, or ``"film"`` has no context or nothing that stays.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, equations 4 and 5.

    Example:
        >>> from counterflow.bijections import ScaleShift
        >>> layer = Coupling(3, ScaleShift(), hidden=(16,))
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    def __init__(
        self,
        features: int,
        transformer: AbstractTransformer,
        *,
        flip: bool = False,
        kept: int | None = None,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        conditioning: Literal["concat", "film"] = "concat",
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        self.transformer = transformer
        self.flip = flip
        kept = features // 2 if kept is None else kept
        if not 0 <= kept < features:
            raise ArgumentError(f"kept must be from 0 to {features - 1}, got {kept}. One feature at least must move.")
        self.sizes = (features - kept, kept) if flip else (kept, features - kept)
        make = _conditioner(conditioning, kept, context_features)
        self.net = make(
            kept,
            (features - kept) * transformer.size,
            hidden=hidden,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the free half to latent."""
        kept, free, context = self._split(x, context)
        mapped, log_det = self.transformer.to_latent(free, run_conditioner(self.net, kept, context))
        return self._join(kept, mapped), log_det

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the free half to data."""
        kept, free, context = self._split(z, context)
        mapped, log_det = self.transformer.to_data(free, run_conditioner(self.net, kept, context))
        return self._join(kept, mapped), log_det

    def extra_repr(self) -> str:
        """Name the family and the sizes of the halves."""
        return f"{self.transformer}, sizes={self.sizes}, flip={self.flip}"

    def _split(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        context = context if self.context_features else None
        first, second = broadcast_batch(x, context).split(self.sizes, -1)
        return (second, first, context) if self.flip else (first, second, context)

    def _join(self, kept: Tensor, mapped: Tensor) -> Tensor:
        return torch.cat((mapped, kept) if self.flip else (kept, mapped), -1)


def _conditioner(conditioning: str, kept: int, context_features: int) -> Callable[..., nn.Module]:
    if conditioning == "concat":
        return make_conditioner
    if conditioning != "film" or not kept or not context_features:
        raise ArgumentError(
            "conditioning must be 'concat', or 'film' with a context and features that stay, got "
            f"{conditioning!r} with context_features={context_features} and kept={kept}. Use conditioning='concat'."
        )
    return FilmMLP
