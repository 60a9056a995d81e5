"""Couplings of features some of which are angles."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.bijections.circular_spline import CircularSpline, wrap_angle
from counterflow.bijections.transformers import AbstractTransformer
from counterflow.nets import make_conditioner

__all__ = ["CircularCoupling"]


class CircularCoupling(AbstractBijection):
    r"""A coupling whose net sees angles by their cosine and sine, so that it cannot tell a full turn from none.

    .. math:: z_a = x_a, \quad z_b = f(x_b;\ \theta(\cos x_a, \sin x_a, c))

    Free angles are mapped by a circular spline, free numbers by the family given; kept numbers are seen as they are.
    It starts as the identity.

    Args:
        features: Number of features.
        kept: Which features stay; the others are mapped.
        angles: Which features are angles.
        circular: The family for free angles.
        linear: The family for free numbers.
        hidden: Widths of the net's hidden layers.
        context_features: Length of the context; 0 for none.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Reference:
        Rezende et al., "Normalizing flows on tori and spheres", 2020, section 2.2 (couplings on the torus).

    Example:
        >>> layer = CircularCoupling(2, kept=(0,), angles=(0, 1), circular=CircularSpline(), linear=CircularSpline())
        >>> x = torch.tensor([1.0, 2.0])
        >>> bool(torch.allclose(layer.to_latent(x)[0], x))
        True
    """

    def __init__(
        self,
        features: int,
        *,
        kept: tuple[int, ...],
        angles: tuple[int, ...],
        circular: CircularSpline,
        linear: AbstractTransformer,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        free = [i for i in range(features) if i not in kept]
        self.kept_angles = [i for i in kept if i in angles]
        self.kept_numbers = [i for i in kept if i not in angles]
        self.free_angles = [i for i in free if i in angles]
        self.free_numbers = [i for i in free if i not in angles]
        self.circular, self.linear = circular, linear
        self.sizes = (len(self.free_angles) * circular.size, len(self.free_numbers) * linear.size)
        self.net = make_conditioner(
            2 * len(self.kept_angles) + len(self.kept_numbers),
            sum(self.sizes),
            hidden=hidden,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the free features to latent."""
        x, angles, numbers = self._conditions(x, context)
        turned, angle_log_det = self.circular.to_latent(x[..., self.free_angles], angles)
        moved, number_log_det = self.linear.to_latent(x[..., self.free_numbers], numbers)
        return self._put(x, turned, moved), angle_log_det + number_log_det

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Map the free features to data."""
        z, angles, numbers = self._conditions(z, context)
        turned, angle_log_det = self.circular.to_data(z[..., self.free_angles], angles)
        moved, number_log_det = self.linear.to_data(z[..., self.free_numbers], numbers)
        return self._put(z, turned, moved), angle_log_det + number_log_det

    def extra_repr(self) -> str:
        """Name the families and the features that are mapped."""
        return f"{self.circular} on {self.free_angles}, {self.linear} on {self.free_numbers}"

    def _conditions(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """The points with the leading dimensions of the context, and the parameters of free angles and numbers."""
        context = context if self.context_features else None
        x = broadcast_batch(x, context)
        angles = x[..., self.kept_angles]
        seen = torch.cat((angles.cos(), angles.sin(), x[..., self.kept_numbers]), -1)
        first, second = self.net(seen, context).to(x.dtype).split(self.sizes, -1)
        return x, first, second

    def _put(self, x: Tensor, turned: Tensor, moved: Tensor) -> Tensor:
        """The point with its free features exchanged, and every angle within one turn."""
        columns = [wrap_angle(column) if i in self.kept_angles else column for i, column in enumerate(x.unbind(-1))]
        mapped = torch.cat((turned, moved), -1).unbind(-1)
        for i, column in zip(self.free_angles + self.free_numbers, mapped, strict=True):
            columns[i] = column
        return torch.stack(columns, -1)
