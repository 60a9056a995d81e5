"""A step along one direction, as large as a plane says: the planar flow."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import soft_floor
from counterflow.core.rootfinding import solve_increasing
from counterflow.nets import make_conditioner

__all__ = ["LEAST_SLOPE", "Planar"]

LEAST_SLOPE = 1e-3
"""No direction is squeezed by more than this factor."""
LEAK = 0.1
"""The slope of the leaky activation on the negative side."""


class Planar(AbstractBijection):
    r"""A step along one direction u, as large as the point's side of a plane says.

    .. math:: z = x + u\, h(w^\top x + b), \quad \log |\det| = \log\left(1 + h'(w^\top x + b)\, u^\top w\right)

    It is invertible where :math:`u^\top w > -1`, so u is moved along w until that holds. The way back is one equation
    for one number, the place along w: a root for tanh, a quotient for the leaky activation. All rows are solved at
    once, with gradients. u starts at zero, which makes the identity; a net of the context adds to u, w and b.

    Args:
        features: Number of features.
        activation: h: ``"tanh"``, smooth, or ``"leaky_relu"``, whose inverse needs no root.
        context_features: Length of the context; 0 for none.
        hidden: Widths of the hidden layers of the context's net.
        generator: Where w and the net's weights are drawn from.

    Raises:
        ArgumentError: If the activation is another one.

    Reference:
        Rezende, Mohamed, "Variational Inference with Normalizing Flows", 2015, equations 10 to 12 and appendix A.1.

    Example:
        >>> layer = Planar(3)
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    direction: Tensor

    one_pass_to_data = False

    def __init__(
        self,
        features: int,
        *,
        activation: str = "tanh",
        context_features: int = 0,
        hidden: tuple[int, ...] = (),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        if activation not in ("tanh", "leaky_relu"):
            raise ArgumentError(f"activation must be 'tanh' or 'leaky_relu', got {activation!r}. Choose one of them.")
        self.activation = activation
        self.register_buffer("direction", functional.normalize(torch.randn(features, generator=generator), dim=0))
        self.net = make_conditioner(
            0, 2 * features + 1, hidden=hidden, context_features=context_features, generator=generator
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the step."""
        u, w, b, stretch = self._settings(x, context)
        place = (x * w).sum(-1) + b
        step, slope = self._step_and_slope(place)
        return x + u * step.unsqueeze(-1), torch.log1p(stretch * slope)

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Find how large the step was, and take it back."""
        u, w, b, stretch = self._settings(z, context)
        place = self._place_before((z * w).sum(-1) + b, stretch)
        step, slope = self._step_and_slope(place)
        return z - u * step.unsqueeze(-1), -torch.log1p(stretch * slope)

    def extra_repr(self) -> str:
        """Name the sizes and the activation."""
        return f"{self.features}, activation='{self.activation}', context_features={self.context_features}"

    def _settings(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give u, w, b and the product of u and w, which is above -1."""
        context = context if self.context_features else None
        raw = self.net((x if context is None else context)[..., :0], context).to(x.dtype)
        u, w, b = raw.split((self.features, self.features, 1), -1)
        w = self.direction + w
        product = (u * w).sum(-1)
        stretch = soft_floor(product, LEAST_SLOPE - 1)
        length = w.square().sum(-1).clamp(min=torch.finfo(w.dtype).tiny)
        return u + w * ((stretch - product) / length).unsqueeze(-1), w, b.squeeze(-1), stretch

    def _step_and_slope(self, place: Tensor) -> tuple[Tensor, Tensor]:
        if self.activation == "tanh":
            step = torch.tanh(place)
            return step, 1 - step.square()
        slope = torch.where(place > 0, torch.ones_like(place), LEAK)
        return place * slope, slope

    def _place_before(self, place: Tensor, stretch: Tensor) -> Tensor:
        """Solve place = a + stretch * h(a) for a."""
        if self.activation == "leaky_relu":
            return place / (1 + stretch * self._step_and_slope(place)[1])
        reach = stretch.abs()

        def after(place: Tensor) -> tuple[Tensor, Tensor]:
            step, slope = self._step_and_slope(place)
            return place + stretch * step, 1 + stretch * slope

        return solve_increasing(after, place, place - reach, place + reach)
