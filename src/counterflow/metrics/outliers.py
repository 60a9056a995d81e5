"""Outlier scores of answers among real rows: second opinions on plausibility that know no flow."""

from typing import Any

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics._arrays import Rows

__all__ = ["isolation_forest_scores", "lof_scores"]


def _check(rows: Rows, reference: Rows) -> None:
    if rows.shape[1] != reference.shape[1]:
        raise ShapeError(f"rows must have {reference.shape[1]} features like reference, got {rows.shape[1]}.")
    for name, table in (("rows", rows), ("reference", reference)):
        if not np.isfinite(table).all():
            raise DataError(f"{name} must be finite, got NaN or infinity. Leave out the rows without an answer.")


def lof_scores(rows: Rows, reference: Rows, *, neighbors: int = 20) -> Float[np.ndarray, "_"]:
    r"""Local outlier factor of each row among real rows: about 1 inside, larger outside, > 0; lower is better.

    .. math:: \mathrm{LOF}_k(x) = \frac1k \sum_{o \in N_k(x)} \frac{\mathrm{lrd}_k(o)}{\mathrm{lrd}_k(x)}

    The same as the reference library's ``lof_scores_cf`` (20 neighbors, novelty mode, fitted on all training rows).
    Report the median beside the mean: real rows that occur more often than ``neighbors`` times have an infinite local
    density, and one answer near them has a score of 1e7 or more.

    Args:
        rows: (answers, features), in the same space as ``reference``. Distances are Euclidean: scale first.
        reference: (rows, features), real rows; at least two.
        neighbors: The number k of neighbors, at least 1; at most the number of reference rows minus one is used.

    Returns:
        (answers,), scikit-learn's ``-score_samples``.

    Raises:
        ShapeError: If the numbers of features differ.
        ArgumentError: If there are fewer than two reference rows, or no neighbor is asked for.

    Reference:
        Breunig et al., LOF: identifying density-based local outliers, SIGMOD 2000, definition 7.

    Example:
        >>> grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
        >>> lof_scores(np.array([[2.5, 2.5], [30.0, 30.0]]), grid, neighbors=5) > 2
        array([False,  True])
    """
    from sklearn.neighbors import LocalOutlierFactor

    _check(rows, reference)
    if neighbors < 1 or len(reference) < 2:
        raise ArgumentError(
            f"lof_scores needs neighbors >= 1 and at least two reference rows, got {neighbors} and {len(reference)}."
        )
    if not len(rows):
        return np.zeros(0)
    forest: Any = LocalOutlierFactor(n_neighbors=min(neighbors, len(reference) - 1), novelty=True)
    return -np.asarray(forest.fit(reference).score_samples(rows), dtype=np.float64)


def isolation_forest_scores(
    rows: Rows, reference: Rows, *, trees: int = 100, random_state: int = 0
) -> Float[np.ndarray, "_"]:
    r"""Isolation-forest decision of each row among real rows, in [-0.5, 0.5]: above 0 inside; higher is better.

    .. math:: s(x) = \tfrac12 - 2^{-\mathrm{E}[h(x)] / c(\psi)}

    The same as the reference library's ``isolation_forest_scores_cf``, whose seed is 42.

    Args:
        rows: (answers, features), in the same space as ``reference``. Monotone maps of a feature change little.
        reference: (rows, features), real rows.
        trees: The number of trees, at least 1.
        random_state: The seed of the forest.

    Returns:
        (answers,), scikit-learn's ``decision_function``.

    Raises:
        ShapeError: If the numbers of features differ.

    Reference:
        Liu, Ting and Zhou, Isolation forest, ICDM 2008, equation (2).

    Example:
        >>> grid = np.stack(np.meshgrid(np.arange(6.0), np.arange(6.0)), axis=-1).reshape(-1, 2)
        >>> isolation_forest_scores(np.array([[2.5, 2.5], [30.0, 30.0]]), grid) > 0
        array([ True, False])
    """
    from sklearn.ensemble import IsolationForest

    _check(rows, reference)
    if not len(rows):
        return np.zeros(0)
    forest: Any = IsolationForest(n_estimators=trees, random_state=random_state)
    return np.asarray(forest.fit(reference).decision_function(rows), dtype=np.float64)
