"""Clouds of points on shapes of known families, drawn exactly: what generative models of shapes can be judged on."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError

__all__ = ["SOLIDS", "Ellipses", "Solids", "ellipses", "solids"]


class Ellipses(NamedTuple):
    """Clouds in the plane whose law is known.

    Args:
        clouds: The points.
        log_area: Of each ellipse: minus the log-density of its points.
    """

    clouds: Float[Tensor, "n points 2"]
    log_area: Float[Tensor, " n"]


class Solids(NamedTuple):
    """Clouds on the surfaces of solids.

    Args:
        clouds: The points.
        family: The place of each cloud's family in ``names``.
        names: The families.
    """

    clouds: Float[Tensor, "n points 3"]
    family: Int[Tensor, " n"]
    names: tuple[str, ...]


def ellipses(n: int, points: int = 128, *, generator: torch.Generator | None = None) -> Ellipses:
    r"""Draw clouds that fill ellipses of random axes and tilt evenly.

    .. math:: p(x) = \frac{1}{\pi a b} \ \text{ inside}, \qquad a, b \sim U[0.3, 1], \ \text{ turned by } U[0, \pi]

    Args:
        n: How many clouds.
        points: How many points of each.
        generator: Where the randomness comes from.

    Returns:
        The clouds, with what a model that knew each ellipse would say of its points.

    Example:
        >>> drawn = ellipses(5, 100, generator=torch.Generator().manual_seed(0))
        >>> drawn.clouds.shape, bool((drawn.log_area < math.log(math.pi)).all())
        (torch.Size([5, 100, 2]), True)
    """
    check_count(n, "n")
    check_count(points, "points")
    axes = _uniform(n, 1, 2, low=0.3, high=1.0, generator=generator)
    tilt = math.pi * torch.rand(n, 1, generator=generator)
    angle = 2 * math.pi * torch.rand(n, points, generator=generator)
    x, y = (axes * _circle(angle) * torch.rand(n, points, 1, generator=generator).sqrt()).unbind(-1)
    turned = torch.stack([tilt.cos() * x - tilt.sin() * y, tilt.sin() * x + tilt.cos() * y], -1)
    return Ellipses(turned, (math.pi * axes.prod(-1)).log().squeeze(1))


def solids(
    n: int, points: int = 512, *, families: Sequence[str] | None = None, generator: torch.Generator | None = None
) -> Solids:
    """Draw clouds that lie evenly by area on boxes, cylinders, cones and tori of random sizes.

    Each shape fits about into [-1, 1]^3, upright, with its middle at the origin. The points of a cloud are independent,
    so that its two halves are two samplings of the same shape.

    Args:
        n: How many clouds; each is of a random family.
        points: How many points of each.
        families: Some of ``SOLIDS``; ``None`` for all.
        generator: Where the randomness comes from.

    Returns:
        The clouds and their families.

    Raises:
        ArgumentError: There is no family of that name.

    Example:
        >>> drawn = solids(5, 100, families=["torus", "box"], generator=torch.Generator().manual_seed(0))
        >>> drawn.clouds.shape, drawn.names
        (torch.Size([5, 100, 3]), ('torus', 'box'))
    """
    check_count(n, "n")
    check_count(points, "points")
    names = tuple(SOLIDS) if families is None else tuple(families)
    unknown = [name for name in names if name not in SOLIDS]
    if unknown or not names:
        raise ArgumentError(f"families must be among {', '.join(SOLIDS)}, got {unknown or 'none'}. Choose of these.")
    family = torch.randint(len(names), (n,), generator=generator)
    clouds = torch.empty(n, points, 3)
    for place, name in enumerate(names):
        chosen = family == place
        if bool(chosen.any()):
            clouds[chosen] = SOLIDS[name](int(chosen.sum()), points, generator)
    return Solids(clouds, family, names)


def _box(n: int, points: int, generator: torch.Generator | None) -> Tensor:
    """Half edges U[0.3, 1]; a side is chosen by its area."""
    edges = _uniform(n, 1, 3, low=0.3, high=1.0, generator=generator)
    areas = edges.prod(-1, keepdim=True) / edges
    axis = torch.multinomial(areas.squeeze(1), points, replacement=True, generator=generator).unsqueeze(-1)
    inside = _uniform(n, points, 3, low=-1.0, high=1.0, generator=generator)
    return edges * inside.scatter(-1, axis, inside.gather(-1, axis).sign())


def _cylinder(n: int, points: int, generator: torch.Generator | None) -> Tensor:
    """Radius and half height U[0.3, 1]: the mantle, or one of the lids."""
    radius, height = _uniform(n, 1, 2, low=0.3, high=1.0, generator=generator).unbind(-1)
    mantle = torch.rand(n, points, generator=generator) < 2 * height / (2 * height + radius)
    reach = torch.where(mantle, 1.0, torch.rand(n, points, generator=generator).sqrt())
    level = _uniform(n, points, low=-1.0, high=1.0, generator=generator)
    return _around(radius * reach, height * torch.where(mantle, level, level.sign()), generator)


def _cone(n: int, points: int, generator: torch.Generator | None) -> Tensor:
    """Radius and half height U[0.3, 1], the tip above: the mantle, or the base."""
    radius, height = _uniform(n, 1, 2, low=0.3, high=1.0, generator=generator).unbind(-1)
    slant = (radius.square() + 4 * height.square()).sqrt()
    mantle = torch.rand(n, points, generator=generator) < slant / (slant + radius)
    reach = torch.rand(n, points, generator=generator).sqrt()
    return _around(radius * reach, height * torch.where(mantle, 1 - 2 * reach, -1.0), generator)


def _torus(n: int, points: int, generator: torch.Generator | None) -> Tensor:
    """Radii U[0.5, 0.8] and U[0.1, 0.35]; outer points are as much more frequent as there is more area."""
    large = _uniform(n, 1, low=0.5, high=0.8, generator=generator)
    small = _uniform(n, 1, low=0.1, high=0.35, generator=generator)
    angle = 2 * math.pi * torch.rand(n, points, generator=generator)
    stays = torch.rand(n, points, generator=generator) < (1 + small / large * angle.cos()) / 2
    angle = torch.where(stays, angle, angle + math.pi)
    return _around(large + small * angle.cos(), small * angle.sin(), generator)


SOLIDS: dict[str, Callable[[int, int, torch.Generator | None], Tensor]] = {
    "box": _box,
    "cylinder": _cylinder,
    "cone": _cone,
    "torus": _torus,
}
"""Every family of solids by its name."""


def _uniform(*shape: int, low: float, high: float, generator: torch.Generator | None) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=generator)


def _circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], -1)


def _around(radius: Tensor, level: Tensor, generator: torch.Generator | None) -> Tensor:
    """Points of given distance from the vertical axis, at given levels, anywhere around it."""
    angle = 2 * math.pi * torch.rand(radius.shape, generator=generator)
    return torch.cat([radius.unsqueeze(-1) * _circle(angle), level.unsqueeze(-1)], -1)
