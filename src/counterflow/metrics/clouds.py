"""How far clouds of points are from each other."""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.assignment import optimal_assignment
from counterflow.core.clouds import CloudLike, as_clouds, present_points
from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["Assignment", "chamfer_distance", "cloud_distances", "earth_mover_distance"]

Assignment: TypeAlias = Callable[[Float[Tensor, "n n"]], Int[Tensor, " n"]]
"""From the costs of all pairs to the column of each row."""

_NUMBERS_AT_ONCE = 1 << 22


def chamfer_distance(x: CloudLike, y: CloudLike) -> Float[Tensor, " pairs"]:
    r"""Chamfer distance of pairs of clouds: how far, squared, each point is from the nearest of the other cloud.

    .. math:: d(X, Y) = \frac{1}{|X|} \sum_{x \in X} \min_{y \in Y} \lVert x - y \rVert^2
        + \frac{1}{|Y|} \sum_{y \in Y} \min_{x \in X} \lVert x - y \rVert^2

    It is no metric, and does not see how points crowd: a cloud with most of its points in one corner is near to one
    that is spread evenly.

    Args:
        x: Clouds ``(pairs, points, dimensions)``, with rows of NaN where there is no point, or a list of clouds.
        y: As many clouds, of any size.

    Returns:
        One number for each pair, in squared units of the points.

    Raises:
        ShapeError: There are not as many clouds on both sides, or they lie in different spaces.
        DataError: A cloud is empty or not finite.

    Reference:
        Fan, Su, Guibas, "A Point Set Generation Network for 3D Object Reconstruction from a Single Image", 2017
        (with sums for means).

    Example:
        >>> chamfer_distance(torch.zeros(1, 2, 3), torch.ones(1, 5, 3))
        tensor([6.])
    """
    first, second = _paired(x, y)
    return torch.stack([_chamfer(a, b[None])[0] for a, b in zip(first, second, strict=True)])


def earth_mover_distance(
    x: CloudLike, y: CloudLike, *, assignment: Assignment = optimal_assignment
) -> Float[Tensor, " pairs"]:
    r"""Earth mover's distance of pairs of clouds, exact: the mean way when points go to points at the least cost.

    .. math:: d(X, Y) = \min_\pi \frac1n \sum_{i=1}^n \lVert x_i - y_{\pi(i)} \rVert

    Args:
        x: Clouds ``(pairs, points, dimensions)``, with rows of NaN where there is no point, or a list of clouds.
        y: As many clouds; both of a pair have the same number of points.
        assignment: What solves the assignment problem. SciPy's solver is seven times as fast for 256 points:
            ``lambda cost: torch.as_tensor(scipy.optimize.linear_sum_assignment(cost)[1])``.

    Returns:
        One number for each pair, in units of the points.

    Raises:
        ShapeError: Two clouds differ in their number of points, or the sides in their number of clouds.
        DataError: A cloud is empty or not finite.

    Reference:
        Rubner, Tomasi, Guibas, "The Earth Mover's Distance as a Metric for Image Retrieval", 2000, for equal masses.

    Example:
        >>> earth_mover_distance(torch.tensor([[[0.0], [1.0]]]), torch.tensor([[[3.0], [0.0]]]))
        tensor([1.])
    """
    first, second = _paired(x, y)
    return torch.stack([_earth_mover(a, b[None], assignment)[0] for a, b in zip(first, second, strict=True)])


def cloud_distances(
    x: CloudLike,
    y: CloudLike | None = None,
    *,
    kind: Literal["chamfer", "earth_mover"] = "chamfer",
    assignment: Assignment = optimal_assignment,
) -> Float[Tensor, "rows columns"]:
    """Distances of all clouds from all others: what :func:`minimum_matching_distance` and its like are made from.

    Memory grows with the size of a cloud and of the answer, not with the number of pairs.

    Args:
        x: Clouds.
        y: Clouds; ``None`` for those of ``x``, each pair of which is measured once.
        kind: :func:`chamfer_distance` or :func:`earth_mover_distance`.
        assignment: As in :func:`earth_mover_distance`.

    Returns:
        The distance of each cloud of ``x`` (rows) from each of ``y`` (columns).

    Raises:
        ArgumentError: There is no such distance.
        ShapeError: They lie in different spaces, or differ in their number of points where that matters.

    Example:
        >>> cloud_distances(torch.zeros(2, 4, 3), torch.ones(3, 4, 3)).shape
        torch.Size([2, 3])
    """
    if kind not in ("chamfer", "earth_mover"):
        raise ArgumentError(f"kind must be 'chamfer' or 'earth_mover', got {kind!r}. Choose one of these.")
    first = as_clouds(x, name="x")
    first, second = (first, first) if y is None else _alike(first, y)
    found = first.new_zeros(len(first), len(second))
    for row, cloud in enumerate(first):
        start = row + 1 if y is None else 0
        others = second[start:]
        if len(others):
            far = _chamfer(cloud, others) if kind == "chamfer" else _earth_mover(cloud, others, assignment)
            found[row, start:] = far
    return found if y is not None else found + found.T


def _paired(x: CloudLike, y: CloudLike) -> tuple[Tensor, Tensor]:
    first, second = _alike(as_clouds(x, name="x"), y)
    if len(first) != len(second):
        raise ShapeError(f"x and y must be as many clouds, got {len(first)} and {len(second)}. Pass pairs.")
    return first, second


def _alike(first: Tensor, y: CloudLike) -> tuple[Tensor, Tensor]:
    """Both sides in the more exact dtype of the two, so that neither loses digits, on the first one's device."""
    second = as_clouds(y, dimensions=first.shape[2], name="y")
    dtype = torch.promote_types(first.dtype, second.dtype)
    return first.to(dtype), second.to(first.device, dtype)


def _chamfer(cloud: Tensor, others: Tensor) -> Tensor:
    """The distances of one cloud from several."""
    cloud = cloud[present_points(cloud)]
    most = max(1, _NUMBERS_AT_ONCE // (len(cloud) * others.shape[1]))
    return torch.cat([_chamfer_part(cloud, part) for part in others.split(most)])


def _chamfer_part(cloud: Tensor, others: Tensor) -> Tensor:
    there = present_points(others)
    squares = _distances(cloud, others).square()
    forward = squares.masked_fill(~there.unsqueeze(1), torch.inf).amin(2).mean(1)
    nearest = torch.where(there, squares.amin(1), 0.0)
    return forward + nearest.sum(1) / there.sum(1)


def _earth_mover(cloud: Tensor, others: Tensor, assignment: Assignment) -> Tensor:
    cloud = cloud[present_points(cloud)]
    counts = present_points(others).sum(1)
    if bool((counts != len(cloud)).any()):
        raise ShapeError(
            f"clouds must have the same number of points for the earth mover's distance, got {len(cloud)} and "
            f"{counts.unique().tolist()}. Draw as many of each: pointclouds.draw_points(clouds, count)."
        )
    return torch.stack([_mean_way(_distances(cloud, other[None])[0], assignment) for other in _whole(others)])


def _mean_way(costs: Tensor, assignment: Assignment) -> Tensor:
    columns = assignment(costs)
    return costs.gather(1, columns.unsqueeze(1)).mean()


def _whole(clouds: Tensor) -> list[Tensor]:
    return [cloud[present_points(cloud)] for cloud in clouds]


def _distances(cloud: Tensor, others: Tensor) -> Tensor:
    """Of each point of a cloud (rows) from each of the others (columns); by differences, which lose no digits."""
    return torch.cdist(
        cloud.expand(len(others), -1, -1), others.nan_to_num(0.0), compute_mode="donot_use_mm_for_euclid_dist"
    )
