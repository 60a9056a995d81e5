"""Whole numbers as rounded-down reals: noise makes a density of a table of counts."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection
from counterflow.bijections.chain import Chain
from counterflow.bijections.coupling import Coupling
from counterflow.bijections.sigmoid import clamp_open
from counterflow.bijections.surjection import AbstractSurjection
from counterflow.bijections.transformers import ScaleShift
from counterflow.core.errors import ShapeError
from counterflow.core.numerics import normal_log_prob

__all__ = ["UniformDequantization", "VariationalDequantization"]


class UniformDequantization(AbstractSurjection):
    r"""Whole numbers as reals rounded down, placed anywhere in their cell with equal probability.

    .. math:: x = \lfloor z \rfloor, \quad z = x + r, \quad r \sim U(0, 1), \quad w = 0

    Args:
        event_shape: Number of features, or the shape of one point.

    Reference:
        Theis, van den Oord, Bethge, "A Note on the Evaluation of Generative Models", 2016, section 3.1.

    Example:
        >>> z, weight = UniformDequantization(1).place(torch.tensor([3.0]), torch.tensor([0.25]))
        >>> z.item(), weight.item()
        (3.25, 0.0)
    """

    def __init__(self, event_shape: int | tuple[int, ...]) -> None:
        shape = (event_shape,) if isinstance(event_shape, int) else event_shape
        super().__init__(shape, shape, noise_features=math.prod(shape))

    def place(
        self,
        x: Float[Tensor, "*batch"],
        noise: Float[Tensor, "*rows n"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Add the noise."""
        z = _in_cell(x, noise.reshape(*noise.shape[:-1], *self.event_shape))
        return z, z.new_zeros(z.shape[: z.dim() - len(self.event_shape)])

    def to_data(
        self,
        z: Float[Tensor, "*batch"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch"]:
        """Round down."""
        return z.floor()


class VariationalDequantization(AbstractSurjection):
    r"""Whole numbers as reals rounded down, placed in their cell by a conditional flow that is trained along.

    .. math:: x = \lfloor z \rfloor, \quad z = x + \Phi(y), \quad y \sim q(y \mid x, c), \quad
        w = \log \varphi(y) - \log q(y \mid x, c)

    The bound is the tighter, the more q looks like the density inside the cell. It starts as the uniform one.

    Args:
        features: Number of features.
        noise: The bijection of q, of ``features`` numbers, which turns a standard normal draw into y by ``to_data`` and
            whose context is :math:`\operatorname{arsinh} x` followed by c; ``None`` for two couplings.
        hidden: Widths of the hidden layers of those couplings' nets.
        context_features: Length of the context c; 0 for none.
        generator: Where the nets' weights are drawn from.

    Raises:
        ShapeError: If the bijection has other shapes.

    Reference:
        Ho, Chen, Srinivas, Duan, Abbeel, "Flow++: Improving Flow-Based Generative Models with Variational
        Dequantization and Architecture Design", 2019, equation 12.

    Example:
        >>> z, weight = VariationalDequantization(1).place(torch.tensor([3.0]), torch.tensor([0.25]))
        >>> round(z.item(), 6), round(weight.item(), 6)
        (3.25, 0.0)
    """

    def __init__(
        self,
        features: int,
        *,
        noise: AbstractBijection | None = None,
        hidden: tuple[int, ...] = (32,),
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(features, features, noise_features=features, context_features=context_features)
        length = features + context_features
        self.noise = noise or Chain(
            Coupling(features, ScaleShift(), flip=flip, hidden=hidden, context_features=length, generator=generator)
            for flip in (False, True)
        )
        if self.noise.event_shape != self.event_shape or self.noise.context_features != length:
            raise ShapeError(
                f"noise must map points of shape {self.event_shape} under contexts of length {length}, got "
                f"{self.noise.event_shape} and {self.noise.context_features}. The context is x followed by c."
            )

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows features"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Turn the noise into a place in the cell."""
        given = torch.asinh(x)
        if self.context_features and context is not None:
            rows = torch.broadcast_shapes(given.shape[:-1], context.shape[:-1])
            given = torch.cat((given.expand(*rows, -1), context.expand(*rows, -1)), -1)
        normal = torch.special.ndtri(clamp_open(noise))
        y, log_det = self.noise.to_data(normal, given)
        weight = (normal_log_prob(y) - normal_log_prob(normal)).sum(-1) + log_det
        return _in_cell(x, torch.special.ndtr(y)), weight

    def to_data(
        self,
        z: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch features"]:
        """Round down."""
        return z.floor()


def _in_cell(x: Tensor, share: Tensor) -> Tensor:
    """Give x + share, short of x + 1 even where the dtype would round up to it."""
    return torch.minimum(x + share, torch.nextafter(x.detach() + 1, x.detach()))
