"""The uniform law on a box."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import sum_event
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["Uniform"]


class Uniform(AbstractDistribution):
    r"""The uniform law on a box: :math:`p(x) = \prod_i 1 / (u_i - l_i)` inside, zero outside.

    Args:
        low: The lower corner; a number for one feature.
        high: The upper corner, above ``low`` everywhere.

    Raises:
        ArgumentError: If a side of the box has no length.

    Example:
        >>> Uniform(0.0, 2.0).log_prob(torch.tensor([[1.0], [3.0]])).exp()
        tensor([0.5000, 0.0000])
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: float | Tensor, high: float | Tensor) -> None:
        lower, upper = torch.broadcast_tensors(_as_point(low), _as_point(high))
        super().__init__(tuple(lower.shape))
        if not bool((upper > lower).all()):
            raise ArgumentError(
                f"high must be above low everywhere, got high {upper.tolist()} and low {lower.tolist()}. "
                "Exchange the corners."
            )
        self.register_buffer("low", lower.clone())
        self.register_buffer("high", upper.clone())

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point: minus infinity outside the box."""
        inside = (x >= self.low) & (x <= self.high)
        return sum_event(torch.where(inside, -(self.high - self.low).log(), -torch.inf), len(self.event_shape))

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``."""
        size = as_shape(shape) + self.event_shape
        share = torch.rand(size, dtype=self.low.dtype, device=self.low.device, generator=generator)
        return torch.lerp(self.low, self.high, share)


def _as_point(corner: float | Tensor) -> Tensor:
    return torch.atleast_1d(
        torch.as_tensor(corner, dtype=None if isinstance(corner, Tensor) else torch.get_default_dtype())
    )
