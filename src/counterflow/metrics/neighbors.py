"""Which real points lie nearest to an answer, and are they of the class that was wished?"""

import numpy as np
from jaxtyping import Float, Int

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics._arrays import Images, Labels, check_same_rows

__all__ = ["nearest_neighbors", "neighbor_target_share"]

_NUMBERS_AT_ONCE = 2**22


def neighbor_target_share(
    points: Images,
    reference: Images,
    *,
    labels: Labels,
    target: object,
    neighbors: int = 10,
) -> Float[np.ndarray, "_"]:
    r"""Share of the nearest real points of each answer that are of the target class, in [0, 1]; higher is better.

    .. math:: s_i = \frac1k \sum_{j \in N_k(x'_i)} [y_j = t_i]

    An answer that merely fools a model stays among the points of its old class; one that went over lies among those of
    the new. The distance is Euclidean, in whatever space both are given: pixels, or what a network makes of them.

    Args:
        points: ``(answers, *event)``, the answers; more dimensions are flattened.
        reference: ``(rows, *event)``, real points in the same space, best such that no search and no model saw.
        labels: (rows,), their true classes.
        target: One class, or (answers,) classes.
        neighbors: The number k of neighbors.

    Returns:
        (answers,), shares.

    Raises:
        ShapeError: If the arrays do not fit together.
        ArgumentError: If there are fewer than k real points.

    Reference:
        Dombrowski, Gerken, Mueller, Kessel, "Diffeomorphic Counterfactuals with Generative Models", 2022, table 2.

    Example:
        >>> line = np.arange(10.0)[:, None]
        >>> neighbor_target_share(np.array([[1.0], [5.0]]), line, labels=line[:, 0] > 4, target=True, neighbors=3)
        array([0.        , 0.66666667])
    """
    check_same_rows("labels", labels, len(reference))
    wanted = np.asarray(target)
    if wanted.ndim:
        check_same_rows("target", wanted, len(points))
    found = labels[nearest_neighbors(points, reference, neighbors=neighbors)]
    return np.asarray(found == wanted.reshape(-1, 1), dtype=np.float64).mean(axis=1)


def nearest_neighbors(points: Images, reference: Images, *, neighbors: int = 10) -> Int[np.ndarray, "_ _"]:
    """The rows of a reference that are nearest to each point in Euclidean distance, the nearest first.

    Distances are computed in blocks, so that memory does not grow with the reference.

    Args:
        points: ``(answers, *event)``; more dimensions are flattened.
        reference: ``(rows, *event)``, of the same event.
        neighbors: The number k of neighbors, at most the number of rows.

    Returns:
        (answers, k), positions in ``reference``; of points equally far any may come first.

    Raises:
        ShapeError: If the events differ.
        DataError: If a number is NaN or infinite.
        ArgumentError: If there are fewer than k rows.

    Example:
        >>> nearest_neighbors(np.array([[2.2]]), np.arange(5.0)[:, None], neighbors=3)
        array([[2, 3, 1]])
    """
    check_count(neighbors, "neighbors")
    if points.shape[1:] != reference.shape[1:]:
        raise ShapeError(
            f"points and reference must hold the same events, got {points.shape[1:]} and {reference.shape[1:]}."
        )
    if len(reference) < neighbors:
        raise ArgumentError(f"reference must hold at least {neighbors} points, got {len(reference)}.")
    for name, values in (("points", points), ("reference", reference)):
        if not np.isfinite(values).all():
            raise DataError(f"{name} must be finite, got NaN or infinity. Leave out what has no answer.")
    points, reference = points.reshape(len(points), -1), reference.reshape(len(reference), -1)
    parts = np.array_split(points, max(1, len(points) // 512))
    return np.concatenate([_nearest(part, reference, neighbors) for part in parts])


def _nearest(points: np.ndarray, reference: np.ndarray, k: int) -> np.ndarray:
    """The k nearest of one part: each block of the reference contends with the best so far."""
    step = max(k, _NUMBERS_AT_ONCE // max(reference.shape[1], len(points), 1))
    center = reference[:step].mean(axis=0, dtype=np.float64)  # differences of large squares lose digits
    moved = points - center
    best, places = np.empty((len(points), 0)), np.empty((len(points), 0), dtype=np.intp)
    for start in range(0, len(reference), step):
        block = reference[start : start + step] - center
        squares = (block**2).sum(axis=1) - 2 * moved @ block.T
        best = np.concatenate([best, squares], axis=1)
        places = np.concatenate([places, np.broadcast_to(np.arange(start, start + len(block)), squares.shape)], axis=1)
        first = np.argpartition(best, k - 1, axis=1)[:, :k]
        best, places = np.take_along_axis(best, first, axis=1), np.take_along_axis(places, first, axis=1)
    return np.take_along_axis(places, np.argsort(best, axis=1), axis=1)
