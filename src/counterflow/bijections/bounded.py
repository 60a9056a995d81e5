"""Features between bounds of their own, spread over all real numbers."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.elementwise import AbstractElementwise
from counterflow.bijections.sigmoid import clamp_open
from counterflow.core.checks import check_bounds
from counterflow.core.numerics import normal_log_prob

__all__ = ["Bounded"]


class Bounded(AbstractElementwise):
    r"""Features with a lower bound, an upper bound, both or none, spread over all real numbers.

    .. math:: z = \Phi^{-1} \left( \frac{x - a}{b - a} \right), \quad z = \log (x - a), \quad z = -\log (b - x),
        \quad z = x

    With two bounds it is the normal quantile, so that a density that is even between them becomes the standard
    normal one, and one that ends at a bound without falling keeps normal tails. Values that round to a bound are
    moved to the nearest number inside.

    Args:
        low: The lower bound a of each feature; ``-inf`` for none.
        high: The upper bound b of each; ``inf`` for none.

    Raises:
        ShapeError: If the bounds are not two vectors of one length.
        ArgumentError: If a lower bound is not below its upper bound.

    Example:
        >>> spread = Bounded(torch.tensor([0.0, 0.0, -math.inf]), torch.tensor([4.0, math.inf, math.inf]))
        >>> spread.to_latent(torch.tensor([2.0, 1.0, 7.0]))[0].tolist()
        [0.0, 0.0, 7.0]
    """

    low: Tensor
    high: Tensor

    def __init__(self, low: Float[Tensor, " features"], high: Float[Tensor, " _"]) -> None:
        check_bounds(low, high)
        super().__init__(len(low))
        self.register_buffer("low", low.clone())
        self.register_buffer("high", high.clone())

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the quantile, the logarithm or the number itself."""
        below, above, both, low, width = self._kinds()
        quantile = torch.special.ndtri(clamp_open((x - low) / width))
        left = torch.where(below, x - self.low, 1.0).clamp(min=torch.finfo(x.dtype).tiny).log()
        right = torch.where(above, self.high - x, 1.0).clamp(min=torch.finfo(x.dtype).tiny).log()
        z = torch.where(both, quantile, torch.where(below, left, torch.where(above, -right, x)))
        slope = -normal_log_prob(quantile) - width.log()
        return z, torch.where(both, slope, -left - right)

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the share of the width, the exponential or the number itself."""
        below, above, both, low, width = self._kinds()
        inside = low + width * clamp_open(torch.special.ndtr(z))
        left = self.low + torch.where(below, z, 0.0).exp()
        right = self.high - torch.where(above, -z, 0.0).exp()
        x = torch.where(both, inside, torch.where(below, left, torch.where(above, right, z)))
        one_sided = torch.where(below, z, 0.0) + torch.where(above, -z, 0.0)
        return x, torch.where(both, normal_log_prob(z) + width.log(), one_sided)

    def _kinds(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Which features are bounded below only, above only, on both sides; with safe bounds for the last."""
        has_low, has_high = self.low > -math.inf, self.high < math.inf
        both = has_low & has_high
        low = torch.where(both, self.low, 0.0)
        width = torch.where(both, self.high - self.low, 1.0)
        return has_low & ~both, has_high & ~both, both, low, width

    def extra_repr(self) -> str:
        """Name the bounds."""
        return f"low={self.low.tolist()}, high={self.high.tolist()}"
