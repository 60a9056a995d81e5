"""Normal laws with independent coordinates."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.numerics import LOG_SQRT_2PI, normal_log_prob, sum_event
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["DiagonalNormal", "StandardNormal"]


class StandardNormal(AbstractDistribution):
    r"""The standard normal law: the latent space of most flows.

    .. math:: \log p(x) = -\tfrac{1}{2} \lVert x \rVert^2 - \tfrac{d}{2} \log 2 \pi

    Args:
        event_shape: The shape of one point, or a number of features.

    Example:
        >>> base = StandardNormal(2)
        >>> base.log_prob(torch.zeros(5, 2))
        tensor([-1.8379, -1.8379, -1.8379, -1.8379, -1.8379])
        >>> base.sample(3, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([3, 2])
    """

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        constant = math.prod(self.event_shape) * LOG_SQRT_2PI
        return sum_event(x.square(), len(self.event_shape)) * -0.5 - constant

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``."""
        size = as_shape(shape) + self.event_shape
        return torch.randn(size, dtype=self.anchor.dtype, device=self.anchor.device, generator=generator)


class DiagonalNormal(AbstractDistribution):
    r"""A normal law with independent coordinates, each with its learned mean and standard deviation.

    .. math:: \log p(x) = \sum_i \log \mathcal{N}(x_i;\ \mu_i, \sigma_i^2)

    Args:
        mean: The means; their shape is the shape of one point.
        deviation: The standard deviations, above zero; ``None`` for ones.

    Example:
        >>> base = DiagonalNormal(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 3.0]))
        >>> round(base.log_prob(torch.tensor([1.0, 2.0])).item(), 4)  # -log(2 pi) - log(3)
        -2.9365
    """

    def __init__(self, mean: Tensor, deviation: Tensor | None = None) -> None:
        super().__init__(tuple(mean.shape))
        self.mean = nn.Parameter(mean.detach().clone())
        self.log_deviation = nn.Parameter(torch.zeros_like(mean) if deviation is None else deviation.detach().log())

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        standard = (x - self.mean) * torch.exp(-self.log_deviation)
        return sum_event(normal_log_prob(standard) - self.log_deviation, len(self.event_shape))

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``, with gradients to mean and deviation."""
        size = as_shape(shape) + self.event_shape
        noise = torch.randn(size, dtype=self.mean.dtype, device=self.mean.device, generator=generator)
        return torch.addcmul(self.mean, noise, self.log_deviation.exp())
