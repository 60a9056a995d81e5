"""The distribution function of the standard normal law."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.elementwise import AbstractElementwise
from counterflow.bijections.sigmoid import clamp_open
from counterflow.core.numerics import normal_log_prob

__all__ = ["NormalCDF"]


class NormalCDF(AbstractElementwise):
    r"""The normal distribution function, :math:`z = \Phi(x)`; ``Invert(NormalCDF())`` is the normal quantile.

    Values that round to 0 or 1 are moved to the nearest number inside, so that quantiles stay finite.

    Args:
        event_shape: Number of features, or the shape of one point.

    Example:
        >>> z, log_det = NormalCDF().to_latent(torch.zeros(1))
        >>> z.item(), round(log_det.exp().item(), 4)
        (0.5, 0.3989)
    """

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the distribution function; its log-slope is the log-density."""
        return clamp_open(torch.special.ndtr(x)), normal_log_prob(x)

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the quantile."""
        x = torch.special.ndtri(clamp_open(z))
        return x, -normal_log_prob(x)
