"""Reading a learned law of places: its density over the plane, and where it is highest."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator
from counterflow.metrics import Modes, mean_shift_modes
from counterflow.regression.fitted import DensityRegression

__all__ = ["DensityMap", "Limits", "density_map", "likeliest_places"]

Limits = tuple[tuple[float, float], tuple[float, float]]
_CLIMB = 40


class DensityMap(NamedTuple):
    """A log-density over an even grid of the plane.

    Args:
        x: The first coordinates, of the middles of the cells.
        y: The second ones.
        log_density: Natural, per unit of area; a row for each second coordinate.
    """

    x: Float[Tensor, " columns"]
    y: Float[Tensor, " rows"]
    log_density: Float[Tensor, "rows columns"]

    @property
    def mass(self) -> float:
        """How much of the law lies on the grid: about 1, if the limits are wide and the cells fine enough."""
        area = (self.x[1] - self.x[0]) * (self.y[1] - self.y[0])
        return float(self.log_density.exp().sum() * area)


@torch.no_grad()
def density_map(
    law: DensityRegression,
    x: Float[Tensor, "1 *shape"],
    *,
    limits: Limits,
    resolution: int = 100,
    horizon: float | None = None,
) -> DensityMap:
    """Evaluate the law of a target of two numbers on a grid, under one x.

    Args:
        law: The law.
        x: What is known, one row.
        limits: ``((x low, x high), (y low, y high))``, in units of the target.
        resolution: Cells a side, at least 10.
        horizon: How long after x, if that was learned.

    Returns:
        The map; look at its ``mass`` to see whether the grid holds the law.

    Raises:
        ShapeError: The target has not two numbers, or x is more than one row.
        ArgumentError: The limits are not in order, or the resolution is too low.

    Example:
        >>> from counterflow.regression import fit_regression
        >>> generator = torch.Generator().manual_seed(0)
        >>> x, y = torch.rand(200, 1, generator=generator), torch.randn(200, 2, generator=generator)
        >>> law = fit_regression(x, y, method="gaussian", members=1, max_epochs=5, generator=generator)
        >>> round(density_map(law, x[:1], limits=((-6.0, 6.0), (-6.0, 6.0))).mass, 2)
        1.0
    """
    check_count(resolution, "resolution", 10)
    if law.targets != 2:
        raise ShapeError(f"a map is of two targets, and this law has {law.targets}. Read it by its quantiles.")
    if len(x) != 1:
        raise ShapeError(f"x must be one row, got {len(x)}. Draw one map after the other.")
    if not all(low < high for low, high in limits):
        raise ArgumentError(f"limits must be two pairs in order, got {limits}. Give ((-5, 5), (-5, 5)).")
    sides = [low + (torch.arange(resolution).double() + 0.5) * (high - low) / resolution for low, high in limits]
    down, along = torch.meshgrid(sides[1], sides[0], indexing="ij")
    found = law.log_prob_many(torch.stack([along, down], -1).flatten(0, 1), x, horizon=horizon)
    return DensityMap(sides[0], sides[1], found.view(resolution, resolution))


def likeliest_places(
    law: DensityRegression,
    x: Float[Tensor, "rows *shape"],
    *,
    count: int = 3,
    bandwidth: float,
    horizon: Any = None,
    draws: int = 300,
    generator: torch.Generator | None = None,
) -> Modes:
    r"""Find the modes of each row's law: mean shift on draws, then a climb of the density itself.

    .. math:: m \leftarrow m + s\, \frac{\nabla \log q(m \mid x)}{\lVert \nabla \log q(m \mid x) \rVert}

    The step s begins at half a bandwidth and is halved whenever the density would fall, so that the density at a mode
    is never below that where mean shift ended. Modes that meet are one.

    Args:
        law: The law.
        x: What is known.
        count: k, the most modes of a row: those with the largest mass.
        bandwidth: Of the kernel, in units of the targets: what is nearer than that is one mode.
        horizon: How long after x, if that was learned.
        draws: How many draws of each row.
        generator: Where the randomness comes from.

    Returns:
        Modes in falling order of mass, the share of draws that climbed to each.

    Raises:
        ArgumentError: The bandwidth is not above zero.

    Example:
        >>> from counterflow.regression import fit_regression
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.rand(200, 1, generator=generator)
        >>> y = 5 + torch.randn(200, 2, generator=generator)
        >>> law = fit_regression(x, y, method="gaussian", members=1, max_epochs=30, generator=generator)
        >>> bool((likeliest_places(law, x[:4], count=1, bandwidth=0.8).points - 5).abs().max() < 1)
        True
    """
    generator = make_generator(generator)
    sample = law.sample(draws, x, horizon=horizon, generator=generator)
    found = mean_shift_modes(sample, count, bandwidth=bandwidth)
    known = found.mass > 0
    rows = known.nonzero()[:, 0]
    at = found.points.clone()
    times = None if horizon is None else torch.as_tensor(horizon).expand(len(x))[rows]
    at[known] = _climbed(law, at[known], x[rows], horizon=times, step=bandwidth / 2)
    return _joined(Modes(at, found.mass), bandwidth)


def _climbed(law: DensityRegression, y: Tensor, x: Tensor, *, horizon: Tensor | None, step: float) -> Tensor:
    """Go uphill from each point by steps that shorten."""
    steps = y.new_full((len(y), 1), step)
    height, slope = _height_and_slope(law, y, x, horizon)
    for _ in range(_CLIMB):
        there = y + steps * torch.nn.functional.normalize(slope, dim=1)
        height_there, slope_there = _height_and_slope(law, there, x, horizon)
        higher = (height_there > height).unsqueeze(1)
        y, slope = torch.where(higher, there, y), torch.where(higher, slope_there, slope)
        height = torch.maximum(height, height_there)
        steps = torch.where(higher, steps, steps / 2)
    return y


def _height_and_slope(law: DensityRegression, y: Tensor, x: Tensor, horizon: Tensor | None) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        y = y.detach().requires_grad_()
        height = law.log_prob(y, x, horizon=horizon)
        (slope,) = torch.autograd.grad(height.sum(), y)
    return height.detach(), slope


def _joined(modes: Modes, bandwidth: float) -> Modes:
    """Let a lighter mode that met a heavier one give it its mass."""
    points, mass = modes.points.clone(), modes.mass.clone()
    for light in range(1, mass.shape[1]):
        away = torch.linalg.vector_norm(points[:, :light] - points[:, light : light + 1], dim=-1)
        nearest = away.nan_to_num(torch.inf).min(1)
        meets = (nearest.values < bandwidth).nonzero()[:, 0]
        mass[meets, nearest.indices[meets]] += mass[meets, light]
        points[meets, light], mass[meets, light] = torch.nan, 0.0
    order = mass.argsort(1, descending=True)
    return Modes(points.gather(1, order.unsqueeze(-1).expand_as(points)), mass.gather(1, order))
