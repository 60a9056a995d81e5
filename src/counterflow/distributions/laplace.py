"""The Laplace law."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.numerics import sum_event
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["Laplace"]


class Laplace(AbstractDistribution):
    r"""A Laplace law with independent coordinates: a sharp middle and tails that fall exponentially.

    .. math:: \log p(x) = -\sum_i \left( \frac{|x_i - \mu_i|}{b_i} + \log 2 b_i \right)

    Args:
        location: The medians; their shape is the shape of one point.
        scale: b, above zero; ``None`` for ones.

    Example:
        >>> round(Laplace(torch.zeros(1)).log_prob(torch.tensor([1.0])).item(), 4)  # -1 - log 2
        -1.6931
    """

    def __init__(self, location: Tensor, scale: Tensor | None = None) -> None:
        super().__init__(tuple(location.shape))
        self.location = nn.Parameter(location.detach().clone())
        self.log_scale = nn.Parameter(torch.zeros_like(location) if scale is None else scale.detach().log())

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        standard = (x - self.location).abs() * torch.exp(-self.log_scale)
        return sum_event(-standard - self.log_scale - math.log(2), len(self.event_shape))

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``, with gradients to location and scale."""
        size = as_shape(shape) + self.event_shape
        uniform = torch.rand(size, dtype=self.location.dtype, device=self.location.device, generator=generator) - 0.5
        noise = -uniform.sign() * torch.log1p((-2 * uniform.abs()).clamp(min=torch.finfo(uniform.dtype).eps - 1))
        return torch.addcmul(self.location, noise, self.log_scale.exp())
