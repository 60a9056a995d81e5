"""How far is the answer from the row as it was?

Every function gives one distance per row; averages are the caller's (or :func:`counterflow.metrics.evaluate`'s).
"""

import numpy as np
from jaxtyping import Bool, Float

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics._arrays import Rows, check_pair

__all__ = [
    "gower_distance",
    "l1_distance",
    "l2_distance",
    "lp_distance",
    "mad_distance",
    "mad_scale",
    "mixed_distance",
    "range_scale",
    "standard_scale",
]


def _scaled_steps(factuals: Rows, counterfactuals: Rows, scale: np.ndarray | None) -> np.ndarray:
    check_pair(factuals, counterfactuals)
    steps = np.abs(counterfactuals.astype(np.float64) - factuals.astype(np.float64))
    if scale is None:
        return steps
    if np.shape(scale) != factuals.shape[1:]:
        raise ShapeError(f"scale must have one entry per feature, shape {factuals.shape[1:]}, got {np.shape(scale)}.")
    if not (scale > 0).all():
        raise ArgumentError("scale must be positive in every feature. For a constant feature use 1.")
    return steps / scale


def _check_columns(categorical: np.ndarray, features: int) -> None:
    if categorical.shape != (features,) or categorical.dtype != np.bool_:
        raise ShapeError(
            f"categorical must hold one Boolean per feature, shape ({features},), "
            f"got {categorical.dtype} of shape {categorical.shape}."
        )


def lp_distance(
    factuals: Rows, counterfactuals: Rows, *, p: float | int, scale: Float[np.ndarray, "_"] | None = None
) -> Float[np.ndarray, "_"]:
    r"""The p-norm of the scaled change of each row, >= 0 (a quasi-norm for p < 1).

    .. math:: d_i = \left( \sum_j |x'_{ij} - x_{ij}|^p / s_j^p \right)^{1/p}

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        p: The power, > 0; infinity for the largest change.
        scale: (features,), positive, in the unit of each feature; ``None`` for 1.

    Returns:
        (rows,), in units of the scale.

    Raises:
        ShapeError: If the shapes do not fit.
        ArgumentError: If ``p`` or a scale is not positive.

    Example:
        >>> lp_distance(np.zeros((1, 2)), np.array([[3.0, 4.0]]), p=2)
        array([5.])
    """
    if not p > 0:
        raise ArgumentError(f"p must be positive, got {p}.")
    steps = _scaled_steps(factuals, counterfactuals, scale)
    largest = steps.max(axis=1, keepdims=True, initial=0.0)
    if np.isinf(p):
        return largest[:, 0]
    relative = steps / np.where(largest > 0, largest, 1.0)  # neither overflow nor underflow, whatever p
    return largest[:, 0] * (relative**p).sum(axis=1) ** (1.0 / p)


def l1_distance(
    factuals: Rows, counterfactuals: Rows, *, scale: Float[np.ndarray, "_"] | None = None
) -> Float[np.ndarray, "_"]:
    r"""The sum of the scaled absolute changes of each row, >= 0.

    .. math:: d_i = \sum_j |x'_{ij} - x_{ij}| / s_j

    The reference library takes it over the continuous columns, unscaled, in its MinMax space; choose columns and scale
    (:func:`range_scale`) to compare.

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        scale: (features,), positive; ``None`` for 1.

    Returns:
        (rows,), in units of the scale.

    Example:
        >>> l1_distance(np.zeros((1, 2)), np.array([[3.0, -4.0]]))
        array([7.])
    """
    return _scaled_steps(factuals, counterfactuals, scale).sum(axis=1)


def l2_distance(
    factuals: Rows, counterfactuals: Rows, *, scale: Float[np.ndarray, "_"] | None = None
) -> Float[np.ndarray, "_"]:
    r"""The Euclidean length of the scaled change of each row, >= 0.

    .. math:: d_i = \sqrt{\sum_j (x'_{ij} - x_{ij})^2 / s_j^2}

    The reference library takes it over the continuous columns, unscaled, in its MinMax space.

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        scale: (features,), positive; ``None`` for 1.

    Returns:
        (rows,), in units of the scale.

    Example:
        >>> l2_distance(np.zeros((1, 2)), np.array([[3.0, 4.0]]), scale=np.array([1.0, 2.0])).round(3)
        array([3.606])
    """
    return lp_distance(factuals, counterfactuals, p=2.0, scale=scale)


def mad_distance(factuals: Rows, counterfactuals: Rows, *, scale: Float[np.ndarray, "_"]) -> Float[np.ndarray, "_"]:
    r"""The sum of the changes in units of the median absolute deviation, >= 0.

    .. math:: d_i = \sum_j |x'_{ij} - x_{ij}| / \mathrm{MAD}_j

    The reference library divides by a MAD of zero unguarded; :func:`mad_scale` never gives one. (DiCE averages over the
    features instead of adding.)

    Args:
        factuals: (rows, features), the rows as they were.
        counterfactuals: (rows, features), in the same order.
        scale: (features,), the MADs of real rows, see :func:`mad_scale`.

    Returns:
        (rows,), in MADs.

    Reference:
        Wachter, Mittelstadt and Russell, Counterfactual explanations without opening the black box, 2018, equation (4).

    Example:
        >>> mad_distance(np.zeros((1, 2)), np.array([[1.0, 1.0]]), scale=np.array([0.5, 1.0]))
        array([3.])
    """
    return l1_distance(factuals, counterfactuals, scale=scale)


def gower_distance(
    factuals: Rows,
    counterfactuals: Rows,
    *,
    scale: Float[np.ndarray, "_"],
    categorical: Bool[np.ndarray, "_"] | None = None,
) -> Float[np.ndarray, "_"]:
    r"""Gower's distance of mixed rows: the mean over features of a change between 0 and 1.

    .. math:: d_i = \frac1d \sum_j \begin{cases} [x'_{ij} \ne x_{ij}] & j \text{ categorical} \\
              \min(|x'_{ij} - x_{ij}| / R_j,\, 1) & \text{otherwise} \end{cases}

    The reference library has none; the nearest is :func:`mixed_distance`.

    Args:
        factuals: (rows, features), the rows as they were; categorical features as codes.
        counterfactuals: (rows, features), in the same order.
        scale: (features,), the ranges of real rows, see :func:`range_scale`; ignored where categorical.
        categorical: (features,), which features are compared by equality; ``None`` for none.

    Returns:
        (rows,), in [0, 1].

    Reference:
        Gower, A general coefficient of similarity and some of its properties, Biometrics 27, 1971.

    Example:
        >>> columns = np.array([False, True])
        >>> gower_distance(np.zeros((1, 2)), np.array([[2.0, 1.0]]), scale=np.array([8.0, 1.0]), categorical=columns)
        array([0.625])
    """
    steps = np.minimum(_scaled_steps(factuals, counterfactuals, scale), 1.0)
    if categorical is not None:
        _check_columns(categorical, factuals.shape[1])
        steps = np.where(categorical, factuals != counterfactuals, steps)
    return steps.mean(axis=1)


def mixed_distance(
    factuals: Rows,
    counterfactuals: Rows,
    *,
    categorical: Bool[np.ndarray, "_"],
    scale: Float[np.ndarray, "_"] | None = None,
    p: float | int = 2.0,
    ratio: float | None = None,
) -> Float[np.ndarray, "_"]:
    r"""The p-norm of the continuous change and the share of changed categories, weighted.

    .. math:: d_i = r \, \lVert x'_{i,C} - x_{i,C} \rVert_p + (1 - r) \frac1{|K|} \sum_{j \in K} [x'_{ij} \ne x_{ij}]

    The same as the reference library's ``proximity_euclidean_hamming`` for ``p=2``, ``scale=None`` and MinMax-scaled
    rows, but defined also where there is no categorical column (there the second term is zero).

    Args:
        factuals: (rows, features), the rows as they were; categorical features as codes.
        counterfactuals: (rows, features), in the same order.
        categorical: (features,), which features belong to K; the others are C.
        scale: (features,), positive; ``None`` for 1.
        p: The power of the continuous part, > 0.
        ratio: The weight ``r`` in [0, 1]; ``None`` for the share of continuous features.

    Returns:
        (rows,), >= 0.

    Example:
        >>> columns = np.array([False, True])
        >>> mixed_distance(np.zeros((1, 2)), np.array([[3.0, 1.0]]), categorical=columns)
        array([2.])
    """
    _check_columns(categorical, factuals.shape[1])
    weight = float((~categorical).mean()) if ratio is None else ratio
    if not 0.0 <= weight <= 1.0:
        raise ArgumentError(f"ratio must lie in [0, 1], got {ratio}.")
    continuous = None if scale is None else scale[~categorical]
    check_pair(factuals, counterfactuals)
    near = lp_distance(factuals[:, ~categorical], counterfactuals[:, ~categorical], p=p, scale=continuous)
    changed = (factuals != counterfactuals)[:, categorical].sum(axis=1) / max(int(categorical.sum()), 1)
    return weight * near + (1.0 - weight) * changed


def standard_scale(reference: Rows) -> Float[np.ndarray, "_"]:
    """The standard deviation of each feature over real rows; 1 where a feature is constant.

    Args:
        reference: (rows, features), real rows.

    Returns:
        (features,), positive.

    Example:
        >>> standard_scale(np.array([[0.0, 5.0], [2.0, 5.0]]))
        array([1., 1.])
    """
    spread = reference.astype(np.float64).std(axis=0)
    return np.where(np.ptp(reference, axis=0) > 0, spread, 1.0)


def range_scale(reference: Rows) -> Float[np.ndarray, "_"]:
    """The range (maximum - minimum) of each feature over real rows; 1 where a feature is constant.

    Args:
        reference: (rows, features), real rows.

    Returns:
        (features,), positive.

    Example:
        >>> range_scale(np.array([[0.0, 5.0], [2.0, 5.0]]))
        array([2., 1.])
    """
    spread = np.ptp(reference.astype(np.float64), axis=0)
    return np.where(spread > 0, spread, 1.0)


def mad_scale(reference: Rows) -> Float[np.ndarray, "_"]:
    r"""The median absolute deviation of each feature over real rows, never zero.

    .. math:: \mathrm{MAD}_j = \mathrm{median}_i \, |x_{ij} - \mathrm{median}_k \, x_{kj}|

    Where more than half of the rows hold one value the MAD is zero; the standard deviation stands in, and 1 where the
    feature is constant.

    Args:
        reference: (rows, features), real rows.

    Returns:
        (features,), positive, in the unit of each feature.

    Example:
        >>> mad_scale(np.array([[1.0], [2.0], [3.0], [10.0]]))
        array([1.])
    """
    deviation = np.median(np.abs(reference - np.median(reference, axis=0)), axis=0)
    return np.where(deviation > 0, deviation, standard_scale(reference))
