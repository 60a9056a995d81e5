"""Toy densities in the plane, on which one sees at a glance what a flow has learned.

Each is a pure function: ``rows`` points from a generator. All have a spread of one or two.
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count

__all__ = ["TOYS", "checkerboard", "eight_gaussians", "pinwheel", "rings", "spiral", "two_moons"]

Points = Float[Tensor, "rows 2"]


def two_moons(rows: int, *, noise: float = 0.08, generator: torch.Generator | None = None) -> Points:
    r"""Draw points from two interleaved half circles.

    .. math:: x = \pm \big(\cos\theta - \tfrac12,\ \sin\theta - \tfrac14\big) + \sigma\varepsilon, \quad
        \theta \sim U[0, \pi]

    Args:
        rows: How many points, at least 1.
        noise: The standard deviation around the circles.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Example:
        >>> two_moons(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 2])
    """
    check_count(rows, "rows")
    angle = math.pi * torch.rand(rows, generator=generator)
    arc = torch.stack([angle.cos() - 0.5, angle.sin() - 0.25], 1)
    return arc * _signs(rows, generator) + noise * torch.randn(rows, 2, generator=generator)


def rings(rows: int, *, count: int = 3, noise: float = 0.06, generator: torch.Generator | None = None) -> Points:
    r"""Draw points from circles of radius :math:`\tfrac{2}{K}, \tfrac{4}{K}, \dots, 2`, equally often from each.

    Args:
        rows: How many points, at least 1.
        count: The number K of circles.
        noise: The standard deviation of the radius.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Example:
        >>> rings(5, count=1, noise=0.0).norm(dim=1).round().tolist()
        [2.0, 2.0, 2.0, 2.0, 2.0]
    """
    check_count(rows, "rows")
    check_count(count, "count")
    which = 1 + torch.randint(count, (rows,), generator=generator)
    radius = 2.0 * which / count + noise * torch.randn(rows, generator=generator)
    angle = 2 * math.pi * torch.rand(rows, generator=generator)
    return radius.unsqueeze(1) * _on_circle(angle)


def pinwheel(rows: int, *, arms: int = 5, twist: float = 0.8, generator: torch.Generator | None = None) -> Points:
    r"""Draw points from the arms of a pinwheel: long normal densities, turned the more the farther out.

    .. math:: x = R(\tfrac{2\pi k}{K} + \beta r)\,(r, t)^\top, \quad r \sim N(1.2, 0.35^2),\ t \sim N(0, 0.1^2)

    Args:
        rows: How many points, at least 1.
        arms: The number K of arms.
        twist: The turn :math:`\beta` for each unit of length, in radians.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Reference:
        Johnson et al., "Composing graphical models with neural networks for structured representations and fast
        inference", 2016, section 5.1, for the picture.

    Example:
        >>> pinwheel(5).shape
        torch.Size([5, 2])
    """
    check_count(rows, "rows")
    check_count(arms, "arms")
    along = 1.2 + 0.35 * torch.randn(rows, generator=generator)
    across = 0.1 * torch.randn(rows, generator=generator)
    angle = 2 * math.pi * torch.randint(arms, (rows,), generator=generator) / arms + twist * along
    cosine, sine = angle.cos(), angle.sin()
    return torch.stack([cosine * along - sine * across, sine * along + cosine * across], 1)


def checkerboard(rows: int, *, cells: int = 4, generator: torch.Generator | None = None) -> Points:
    r"""Draw points evenly from the dark squares of a board.

    .. math:: p(x) = \tfrac18 \ \text{ on the dark squares of } [-2, 2]^2

    Args:
        rows: How many points, at least 1.
        cells: How many squares a side has; an even number, so that half of the board is dark.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Example:
        >>> x = checkerboard(1000)
        >>> bool((x.floor().sum(1) % 2 == 0).all())  # 4 cells: each has side 1
        True
    """
    check_count(rows, "rows")
    check_count(cells, "cells", minimum=2)
    column = torch.randint(cells, (rows,), generator=generator)
    row = 2 * torch.randint(cells // 2, (rows,), generator=generator) + column % 2
    inside = torch.rand(rows, 2, generator=generator)
    return (torch.stack([column, row], 1) + inside) * 4.0 / cells - 2.0


def eight_gaussians(rows: int, *, spread: float = 0.15, generator: torch.Generator | None = None) -> Points:
    r"""Draw points from eight round normal densities on a circle.

    .. math:: p(x) = \frac18 \sum_{k=1}^{8} N\!\big(x;\ 2 (\cos\tfrac{\pi k}{4}, \sin\tfrac{\pi k}{4}),\ \sigma^2 I\big)

    Args:
        rows: How many points, at least 1.
        spread: The standard deviation of each.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Example:
        >>> eight_gaussians(4, spread=0.0).norm(dim=1).round(decimals=3)
        tensor([2., 2., 2., 2.])
    """
    check_count(rows, "rows")
    angle = math.pi / 4 * torch.randint(8, (rows,), generator=generator)
    return 2.0 * _on_circle(angle) + spread * torch.randn(rows, 2, generator=generator)


def spiral(rows: int, *, turns: float = 1.5, noise: float = 0.06, generator: torch.Generator | None = None) -> Points:
    r"""Draw points from two arms of a spiral, evenly along the turns' area.

    .. math:: x = \pm\, 2 t\, \big(\cos 2\pi k t,\ \sin 2\pi k t\big) + \sigma\varepsilon, \quad t = \sqrt{u},
        \ u \sim U[0, 1]

    Args:
        rows: How many points, at least 1.
        turns: The number k of turns.
        noise: The standard deviation around the arms.
        generator: Where the randomness comes from.

    Returns:
        Points of shape (rows, 2).

    Example:
        >>> bool(spiral(100, noise=0.0).norm(dim=1).max() <= 2)
        True
    """
    check_count(rows, "rows")
    along = torch.rand(rows, generator=generator).sqrt()
    arm = 2.0 * along.unsqueeze(1) * _on_circle(2 * math.pi * turns * along) * _signs(rows, generator)
    return arm + noise * torch.randn(rows, 2, generator=generator)


def _signs(rows: int, generator: torch.Generator | None) -> Tensor:
    return 2.0 * torch.randint(2, (rows, 1), generator=generator) - 1.0


def _on_circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], 1)


TOYS: dict[str, Callable[..., Tensor]] = {
    toy.__name__: toy for toy in (checkerboard, eight_gaussians, pinwheel, rings, spiral, two_moons)
}
"""Every toy density by its name."""
