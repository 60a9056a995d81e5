"""How many features does an answer change?"""

import numpy as np
from jaxtyping import Float, Int

from counterflow.core.errors import ArgumentError
from counterflow.metrics._arrays import Rows, check_pair

__all__ = ["changed_features", "sparsity"]


def changed_features(
    factuals: Rows, counterfactuals: Rows, *, tolerance: float | int | Float[np.ndarray, "_"] = 0.0
) -> Int[np.ndarray, "_"]:
    r"""The number of features that each answer changes, between 0 and the number of features; fewer is sparser.

    .. math:: c_i = \sum_j \left[ |x'_{ij} - x_{ij}| > \tau_j \right]

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        tolerance: The largest change that counts as none: one number or one per feature, >= 0, in the feature's unit.
            (The DiCoFlex paper's epsilon-sparsity: 0.05 of the range in the continuous features.)

    Returns:
        (rows,), counts.

    Raises:
        ShapeError: If the shapes differ.
        ArgumentError: If a tolerance is negative.

    Example:
        >>> changed_features(np.zeros((2, 3)), np.array([[0.0, 1.0, 2.0], [0.0, 0.0, 0.0]]))
        array([2, 0])
    """
    check_pair(factuals, counterfactuals)
    if (np.asarray(tolerance) < 0).any():
        raise ArgumentError("tolerance must be >= 0.")
    return (np.abs(counterfactuals.astype(np.float64) - factuals.astype(np.float64)) > tolerance).sum(axis=1)


def sparsity(
    factuals: Rows, counterfactuals: Rows, *, tolerance: float | int | Float[np.ndarray, "_"] = 0.0
) -> Float[np.ndarray, "_"]:
    r"""The share of features that each answer changes, in [0, 1]; lower is sparser.

    .. math:: s_i = c_i / d

    Its mean is the reference library's ``sparsity`` (exact comparison). Some papers report one minus it.

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        tolerance: As in :func:`changed_features`.

    Returns:
        (rows,), shares.

    Example:
        >>> sparsity(np.zeros((1, 4)), np.array([[0.0, 1.0, 0.0, 0.0]]))
        array([0.25])
    """
    return changed_features(factuals, counterfactuals, tolerance=tolerance) / max(factuals.shape[1], 1)
