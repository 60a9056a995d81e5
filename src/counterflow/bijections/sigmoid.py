"""The logistic function."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.elementwise import AbstractElementwise

__all__ = ["Sigmoid"]


class Sigmoid(AbstractElementwise):
    r"""The logistic distribution function, :math:`z = 1 / (1 + e^{-x})`; ``Invert(Sigmoid())`` is the logit.

    For data between 0 and 1 put ``Invert(Sigmoid(features))`` first. Values that round to 0 or 1 are moved to the
    nearest number inside, so that logits stay finite.

    Args:
        event_shape: Number of features, or the shape of one point.

    Example:
        >>> z, log_det = Sigmoid().to_latent(torch.zeros(1))
        >>> z.item(), round(log_det.exp().item(), 4)
        (0.5, 0.25)
    """

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the logistic function; its log-slope is log z + log(1 - z), written without cancellation."""
        return clamp_open(torch.sigmoid(x)), functional.logsigmoid(x) + functional.logsigmoid(-x)

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the logit."""
        z = clamp_open(z)
        low, high = z.log(), torch.log1p(-z)
        return low - high, -low - high


def clamp_open(z: Float[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """Keep probabilities strictly between 0 and 1, as far as the dtype can.

    Example:
        >>> bool(torch.logit(clamp_open(torch.tensor(1.0))).isfinite())
        True
    """
    limits = torch.finfo(z.dtype)
    return z.clamp(limits.tiny, 1 - limits.eps)
