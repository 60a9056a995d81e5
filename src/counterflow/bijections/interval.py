"""An open interval, spread over all real numbers."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.elementwise import AbstractElementwise
from counterflow.bijections.sigmoid import clamp_open
from counterflow.core.errors import ArgumentError

__all__ = ["Interval"]


class Interval(AbstractElementwise):
    r"""Data between two bounds, spread over all real numbers: the scaled logit.

    .. math:: z = \log \frac{x - a}{b - x}, \quad x = a + (b - a)\, \sigma(z)

    Values that round to a bound are moved to the nearest number inside. Data that lie on a bound more often than by
    rounding have an atom there: see :class:`Clip`.

    Args:
        low: a, below ``high``.
        high: b.
        event_shape: Number of features, or the shape of one point.

    Raises:
        ArgumentError: If ``low`` is not below ``high``.

    Example:
        >>> share = Interval(0.0, 100.0)
        >>> share.to_latent(torch.tensor([50.0]))[0].item()
        0.0
    """

    def __init__(self, low: float, high: float, *, event_shape: int | tuple[int, ...] = 1) -> None:
        super().__init__(event_shape)
        if not low < high:
            raise ArgumentError(f"low must be below high, got {low} and {high}. Swap them.")
        self.low, self.high = low, high

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the logit of the place in the interval."""
        width = self.high - self.low
        place = clamp_open((x - self.low) / width)
        below, above = place.log(), torch.log1p(-place)
        return below - above, -below - above - torch.log(torch.full_like(place, width))

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the place in the interval whose logit is z."""
        width = self.high - self.low
        log_slope = functional.logsigmoid(z) + functional.logsigmoid(-z) + torch.log(torch.full_like(z, width))
        return self.low + width * clamp_open(torch.sigmoid(z)), log_slope

    def extra_repr(self) -> str:
        """Name the bounds."""
        return f"low={self.low}, high={self.high}, event_shape={self.event_shape}"
