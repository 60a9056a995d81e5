"""How well generated shapes stand for real ones: measures of two sets, from the distances of all pairs."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.clouds import ArrayLike, CloudLike, as_clouds, as_numbers, present_points
from counterflow.core.errors import ArgumentError, DataError, ShapeError

__all__ = [
    "NeighborAccuracy",
    "matching_coverage",
    "minimum_matching_distance",
    "nearest_neighbor_accuracy",
    "occupancy_divergence",
]


class NeighborAccuracy(NamedTuple):
    """Whether nearest neighbors tell generated shapes from real ones.

    Args:
        accuracy: Of all; one half is best.
        of_reference: The share of real shapes whose nearest neighbor is real.
        of_generated: The share of generated shapes whose nearest neighbor is generated.
    """

    accuracy: float
    of_reference: float
    of_generated: float


def minimum_matching_distance(distances: ArrayLike) -> float:
    r"""How far real shapes are from the nearest generated ones; lower is better.

    .. math:: \frac{1}{|R|} \sum_{r \in R} \min_{g \in G} d(r, g)

    It does not see bad shapes beside good ones, and falls with the number of generated shapes: compare equal numbers,
    with as many training shapes in their place as the floor.

    Args:
        distances: Of real shapes (rows) from generated ones (columns): a tensor, an array or nested lists.

    Returns:
        The mean distance.

    Raises:
        ShapeError: There is no row or no column.

    Reference:
        Achlioptas, Diamanti, Mitliagkas, Guibas, "Learning Representations and Generative Models for 3D Point Clouds",
        2018.

    Example:
        >>> minimum_matching_distance(torch.tensor([[1.0, 5.0], [3.0, 2.0]]))
        1.5
    """
    return float(_table(distances).amin(1).mean())


def matching_coverage(distances: ArrayLike) -> float:
    r"""The share of real shapes that are the nearest one to some generated shape; higher is better.

    .. math:: \frac{1}{|R|} \left| \left\{ \arg\min_{r \in R} d(r, g) : g \in G \right\} \right|

    Args:
        distances: Of real shapes (rows) from generated ones (columns): a tensor, an array or nested lists.

    Returns:
        The share, in (0, 1]; with as many generated shapes as real ones even training shapes stay well below 1.

    Raises:
        ShapeError: There is no row or no column.

    Reference:
        Achlioptas et al., 2018.

    Example:
        >>> matching_coverage(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))  # both are nearest to the first
        0.5
    """
    table = _table(distances)
    return len(table.argmin(0).unique()) / len(table)


def nearest_neighbor_accuracy(distances: ArrayLike, *, reference: ArrayLike, generated: ArrayLike) -> NeighborAccuracy:
    r"""1-NNA: how often the nearest neighbor of a shape, itself left out, is of its own kind; one half is best.

    Two equal laws give one half of either kind. Generated shapes that crowd in few places have of_generated near 1, and
    of_reference may be low all the same, so that the accuracy of both together hides it: look at both. A neighbor of
    the other kind at the same distance counts one half.

    Args:
        distances: Of real shapes (rows) from generated ones (columns).
        reference: Of real shapes from each other.
        generated: Of generated shapes from each other.

    Returns:
        The accuracy over all shapes and of each kind.

    Raises:
        ShapeError: The three do not fit together, or there are fewer than two shapes of a kind.

    Reference:
        Lopez-Paz, Oquab, "Revisiting Classifier Two-Sample Tests", 2017, section 3; Yang et al., "PointFlow: 3D Point
        Cloud Generation with Continuous Normalizing Flows", 2019 (for clouds).

    Example:
        >>> line = torch.tensor([[0.0], [1.0], [5.0], [6.0]])
        >>> far = torch.cdist(line, line)
        >>> nearest_neighbor_accuracy(far[:2, 2:], reference=far[:2, :2], generated=far[2:, 2:])
        NeighborAccuracy(accuracy=1.0, of_reference=1.0, of_generated=1.0)
    """
    between, real, made = _table(distances), as_numbers(reference, "reference"), as_numbers(generated, "generated")
    n, m = between.shape
    if real.shape != (n, n) or made.shape != (m, m) or min(n, m) < 2:
        raise ShapeError(
            f"reference and generated must have shapes ({n}, {n}) and ({m}, {m}) as distances has ({n}, {m}), of two "
            f"shapes each at least, got {tuple(real.shape)} and {tuple(made.shape)}. Measure all pairs."
        )
    right = [_own_kind(real, between.amin(1)), _own_kind(made, between.amin(0))]
    return NeighborAccuracy(float(torch.cat(right).mean()), *(float(part.mean()) for part in right))


def occupancy_divergence(
    x: CloudLike, y: CloudLike, *, cells: int = 28, limits: tuple[float, float] | None = None
) -> float:
    r"""Jensen-Shannon divergence of where the points of two sets of clouds lie, on a grid; lower is better.

    .. math:: \tfrac12 \operatorname{KL}(p \| m) + \tfrac12 \operatorname{KL}(q \| m), \quad m = \tfrac12 (p + q)

    p and q are the shares of all points of a set in each cell. It sees whether the sets fill the same space on the
    whole, not whether any shape is right. With finitely many points it is above zero for equal laws: compare with the
    training set in place of the generated one.

    Args:
        x: Clouds, the reference.
        y: Clouds.
        cells: Cells of the grid along each axis.
        limits: Where the grid begins and ends along each axis; ``None`` for the smallest and largest coordinate of
            ``x``. Points beyond are counted in the outermost cells.

    Returns:
        The divergence in bits, from 0 to 1.

    Raises:
        ArgumentError: The limits are not in order or not finite.
        DataError: All points of ``x`` are the same.

    Reference:
        Achlioptas et al., 2018 (28 cells).

    Example:
        >>> occupancy_divergence(torch.zeros(1, 5, 3), torch.ones(1, 5, 3), limits=(0.0, 1.0))
        1.0
    """
    check_count(cells, "cells")
    first = as_clouds(x, name="x")
    second = as_clouds(y, dimensions=first.shape[2], name="y").to(first.device)
    points = [clouds[present_points(clouds)] for clouds in (first, second)]
    low, high = (float(points[0].min()), float(points[0].max())) if limits is None else limits
    if limits is None and low == high:
        raise DataError("x must have points that differ, got the same everywhere. Pass limits=(low, high).")
    if not -math.inf < low < high < math.inf:
        raise ArgumentError(f"limits must be (low, high), finite and low below high, got {limits}. Choose such limits.")
    p, q = (_shares(part, cells, low, high) for part in points)
    middle = (p + q) / 2
    return max(0.0, (_bits(middle) - (_bits(p) + _bits(q)) / 2))


def _table(distances: ArrayLike) -> Tensor:
    table = as_numbers(distances, "distances").double()
    if table.dim() != 2 or 0 in table.shape:
        raise ShapeError(
            f"distances must have shape (reference, generated), got {tuple(table.shape)}. "
            "Make them with cloud_distances(reference, generated)."
        )
    return table


def _own_kind(own: Tensor, other: Tensor) -> Tensor:
    """1 where the nearest of the others is of the own kind, one half where both are as near."""
    nearest = own.clone().fill_diagonal_(torch.inf).amin(1)
    return (nearest < other).double() + 0.5 * (nearest == other).double()


def _shares(points: Tensor, cells: int, low: float, high: float) -> Tensor:
    places = ((points.double() - low) / (high - low) * cells).clamp(0, cells - 1).long()
    index = places[:, 0]
    for axis in range(1, places.shape[1]):
        index = index * cells + places[:, axis]
    return torch.bincount(index, minlength=cells ** places.shape[1]).double() / len(points)


def _bits(shares: Tensor) -> float:
    """The entropy of a law of cells."""
    return float(-torch.special.xlogy(shares, shares).sum() / torch.log(torch.tensor(2.0, dtype=torch.float64)))
