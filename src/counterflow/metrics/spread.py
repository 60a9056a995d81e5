"""Do the answers to one row differ from each other?"""

import math

import numpy as np
from jaxtyping import Float

from counterflow.metrics._arrays import Groups, Rows, check_same_rows

__all__ = ["diversity"]


def _mean_pair_distance(sets: Float[np.ndarray, "g k d"], p: float) -> np.ndarray:
    """Mean distance over all pairs of each set: one pass per lag, so that memory stays that of the answers."""
    size = sets.shape[1]
    total = np.zeros(len(sets))
    for lag in range(1, size):
        total += np.linalg.norm(sets[:, lag:] - sets[:, :-lag], ord=p, axis=-1).sum(axis=1)
    return total / (size * (size - 1) / 2)


def diversity(rows: Rows, group: Groups, *, scale: Float[np.ndarray, "_"] | None = None, p: float | int = 2.0) -> float:
    r"""Mean distance between two answers to one factual, averaged over factuals, >= 0; higher is more diverse.

    .. math:: \frac1{|G|} \sum_{g \in G} \binom{k_g}{2}^{-1} \sum_{a < b \in g} \lVert (x'_a - x'_b) / s \rVert_p

    ``G`` holds the factuals with at least two answers. The reference library's ``pairwise_distance_diversity`` is the
    same for ``p=2`` and no scale, but says 0.0 where no factual has two answers; here that is ``nan``.

    Args:
        rows: (answers, features), all answers.
        group: (answers,), the position of the factual that each answer belongs to.
        scale: (features,), positive; ``None`` for 1.
        p: The norm, 1, 2 or infinity.

    Returns:
        The mean, in units of the scale; ``nan`` if no factual has two answers.

    Raises:
        ShapeError: If ``group`` is not as long as ``rows``.

    Example:
        >>> diversity(np.array([[0.0], [2.0], [7.0], [8.0], [5.0]]), np.array([0, 0, 1, 1, 2]))
        1.5
    """
    check_same_rows("group", group, len(rows))
    rows = rows.astype(np.float64) if scale is None else rows / scale
    order = np.argsort(group, kind="stable")
    _, start, sizes = np.unique(group[order], return_index=True, return_counts=True)
    means = [
        _mean_pair_distance(rows[order[start[sizes == size][:, None] + np.arange(size)]], p)
        for size in np.unique(sizes[sizes > 1])
    ]
    return float(np.concatenate(means).mean()) if means else math.nan
