"""The uniform law on a torus, or on a product of circles and lines."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.numerics import normal_log_prob
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["Torus", "check_angles"]


def check_angles(angles: Iterable[int] | None, features: int) -> tuple[int, ...]:
    """Say which features are angles; ``None`` names them all.

    Raises:
        ArgumentError: If one is no feature, or named twice.

    Example:
        >>> check_angles(None, 3), check_angles([2, 0], 3)
        ((0, 1, 2), (0, 2))
    """
    check_count(features, "features")
    chosen = tuple(range(features)) if angles is None else tuple(sorted(angles))
    if len(set(chosen)) < len(chosen) or not set(chosen) <= set(range(features)):
        raise ArgumentError(
            f"angles must name each feature at most once, from 0 to {features - 1}, got {chosen}. "
            "Leave it out if all features are angles."
        )
    return chosen


class Torus(AbstractDistribution):
    r"""Independent features: angles, uniform on :math:`[-\pi, \pi)`, and numbers, which are standard normal.

    .. math:: \log p(x) = -|A| \log 2\pi + \sum_{i \notin A} \log \mathcal{N}(x_i;\ 0, 1)

    It is a density on circles and lines: an angle and the same angle a turn later are one point.

    Args:
        features: Number of features.
        angles: Which features are angles, A; ``None`` for all.

    Raises:
        ArgumentError: If ``angles`` names a feature twice or one that does not exist.

    Example:
        >>> base = Torus(2)
        >>> round(base.log_prob(torch.zeros(2)).exp().item() * (2 * math.pi) ** 2, 6)
        1.0
    """

    circles: Tensor

    def __init__(self, features: int, *, angles: Iterable[int] | None = None) -> None:
        super().__init__(features)
        self.angles = check_angles(angles, features)
        circles = torch.zeros(features, dtype=torch.bool)
        circles[list(self.angles)] = True
        self.register_buffer("circles", circles, persistent=False)

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        return torch.where(self.circles, -math.log(2 * math.pi), normal_log_prob(x)).sum(-1)

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``."""
        size, settings = as_shape(shape) + self.event_shape, {"dtype": self.anchor.dtype, "device": self.anchor.device}
        numbers = torch.randn(size, generator=generator, **settings)
        turns = torch.rand(size, generator=generator, **settings)
        return torch.where(self.circles, (2 * turns - 1) * math.pi, numbers)

    def extra_repr(self) -> str:
        """Name the angles."""
        return f"features={self.event_shape[0]}, angles={self.angles}"
