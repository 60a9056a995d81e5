"""Exchangeable data: sorted numbers go through the flow, the order is drawn."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.surjection import AbstractSurjection
from counterflow.core.numerics import safe_log

__all__ = ["Sort"]


class Sort(AbstractSurjection):
    r"""Numbers whose order means nothing, by the smallest and the gaps between neighbors; the likelihood is exact.

    .. math:: z_1 = x_{(1)}, \quad z_i = \log\left(x_{(i)} - x_{(i-1)}\right), \quad
        w = -\log d\,! - \sum_{i > 1} z_i

    Whatever the flow, the density does not change when numbers change places. On the way to data the order is drawn.

    Args:
        features: d, the number of features.

    Reference:
        Nielsen et al., "SurVAE Flows", 2020, section 3 (inference surjections: sorting).

    Example:
        >>> z, _ = Sort(3).to_latent(torch.tensor([5.0, 3.0, 4.0]))
        >>> z.tolist()
        [3.0, 0.0, 0.0]
    """

    def __init__(self, features: int) -> None:
        super().__init__(features, features, noise_features=0, exact=True)

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows n"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Sort, and take the logarithms of the gaps."""
        x = x.expand(*torch.broadcast_shapes(x.shape[:-1], noise.shape[:-1]), -1).sort(-1).values
        log_gaps = safe_log(x.diff(dim=-1))
        z = torch.cat((x[..., :1], log_gaps), -1)
        return z, -log_gaps.sum(-1) - math.lgamma(self.event_shape[0] + 1)

    def to_data(
        self,
        z: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch features"]:
        """Add the gaps up, and draw the order."""
        x = torch.cat((z[..., :1], z[..., 1:].exp()), -1).cumsum(-1)
        order = torch.rand(x.shape, dtype=x.dtype, device=x.device, generator=generator).argsort(-1)
        return x.gather(-1, order)
