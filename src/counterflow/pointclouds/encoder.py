"""The encoder of clouds: what it says depends neither on the order of points nor, much, on their number."""

from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterflow.core.numerics import LOG_SQRT_2PI
from counterflow.nets import MLP

__all__ = ["CloudEncoder", "normal_entropy"]

_FIRST_LOG_DEVIATION = -2.0


class CloudEncoder(nn.Module):
    r"""A function of a set of points: each is mapped alone, then the largest and the mean of each number are kept.

    .. math:: y = \rho\Big( \max_i \phi(x_i),\ \tfrac1n \textstyle\sum_i \phi(x_i) \Big)

    Unlike :class:`counterflow.nets.SetEncoder` it is not told how many points there are, so that clouds of another
    size than those it learned from are read alike.

    Args:
        dimensions: Of the space.
        outputs: Length of what comes out.
        each: Widths of the layers for each point; the last is how many numbers are pooled.
        head: Widths of the hidden layers behind the pooling.
        generator: Where weights are drawn from.

    Reference:
        Qi, Su, Mo, Guibas, "PointNet: Deep Learning on Point Sets for 3D Classification and Segmentation", 2017
        (with the maximum); Zaheer et al., "Deep Sets", 2017, theorem 2 (with the sum).

    Example:
        >>> encoder = CloudEncoder(3, 4)
        >>> cloud, present = torch.randn(1, 7, 3), torch.ones(1, 7, dtype=torch.bool)
        >>> torch.allclose(encoder(cloud, present), encoder(cloud.flip(1), present), atol=1e-6)
        True
    """

    def __init__(
        self,
        dimensions: int,
        outputs: int,
        *,
        each: tuple[int, ...] = (64, 128, 256),
        head: tuple[int, ...] = (128,),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        *hidden, pooled = each
        self.each = MLP(dimensions, pooled, hidden=tuple(hidden), activation="relu", zero=False, generator=generator)
        self.head = MLP(2 * pooled, outputs, hidden=head, activation="silu", zero=False, generator=generator)

    def forward(
        self, points: Float[Tensor, "clouds points dimensions"], present: Bool[Tensor, "clouds points"]
    ) -> Float[Tensor, "clouds outputs"]:
        """Encode clouds.

        Args:
            points: Finite everywhere, also where no point is.
            present: Which of them are points; at least one of each cloud.
        """
        states, there = self.each(points), present.unsqueeze(-1)
        largest = torch.where(there, states, -torch.inf).amax(1)
        mean = torch.where(there, states, 0.0).sum(1) / there.sum(1)
        return self.head(torch.cat([largest, mean], 1))

    @torch.no_grad()
    def standardize(
        self, points: Float[Tensor, "clouds points dimensions"], present: Bool[Tensor, "clouds points"], *, means: int
    ) -> None:
        """Let the first outputs have mean 0 and deviation 1 over some clouds, and the others be -2 for all of them."""
        answers, last = self(points, present), cast("nn.Linear", self.head.layers[-1])
        deviation = answers.std(0, correction=0)
        scale = torch.where(deviation > 0, 1 / deviation, 1.0)
        last.weight.mul_(scale.unsqueeze(1))
        last.bias.copy_((last.bias - answers.mean(0)) * scale)
        last.weight[means:] = 0.0
        last.bias[means:] = _FIRST_LOG_DEVIATION


def normal_entropy(log_deviation: Float[Tensor, "rows d"]) -> Float[Tensor, " rows"]:
    r"""The entropy of normal laws with independent features: :math:`\sum_j (\log \sigma_j + \tfrac12 \log 2 \pi e)`.

    Example:
        >>> round(normal_entropy(torch.zeros(1, 2)).item(), 4)  # log(2 pi e)
        2.8379
    """
    return (log_deviation + LOG_SQRT_2PI + 0.5).sum(1)
