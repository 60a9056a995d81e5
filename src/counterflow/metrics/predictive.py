"""How good is a predicted law? Proper scores, and whether its probabilities keep their word."""

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["crps", "interval_coverage", "pinball_loss", "pit_distance"]


def crps(points: Float[np.ndarray, "rows points"], y: Float[np.ndarray, " _"]) -> Float[np.ndarray, " rows"]:
    r"""The continuous ranked probability score of each row, in the unit of y; smaller is better.

    .. math:: \int (F(t) - [y \le t])^2\, dt = \mathbb{E}|Y - y| - \tfrac12 \mathbb{E}|Y - Y'|

    exactly, for the law that puts an even weight on each of the points.

    Args:
        points: Draws of the predicted law of each row, or its quantiles at even levels.
        y: What came.

    Returns:
        One score for each row.

    Raises:
        ShapeError: If there is not one y for each row.

    Reference:
        Gneiting, Raftery, "Strictly Proper Scoring Rules, Prediction, and Estimation", 2007, equation 21.

    Example:
        >>> crps(np.array([[1.0, 3.0]]), np.array([2.0]))  # 1 - 1/2
        array([0.5])
    """
    _check_rows(points, y)
    ordered, count = np.sort(points, 1), points.shape[1]
    weights = (2 * np.arange(1, count + 1) - count - 1) / count**2
    return np.abs(ordered - y[:, None]).mean(1) - ordered @ weights


def pinball_loss(
    quantiles: Float[np.ndarray, "rows levels"], y: Float[np.ndarray, " _"], *, levels: Float[np.ndarray, " levels"]
) -> Float[np.ndarray, " levels"]:
    r"""The mean loss that the true quantile of each level makes least, in the unit of y.

    .. math:: \frac1n \sum_i \max\big( p (y_i - q_i),\; (p - 1)(y_i - q_i) \big)

    Args:
        quantiles: Predicted quantiles.
        y: What came.
        levels: Their levels, in (0, 1).

    Returns:
        One number for each level.

    Raises:
        ShapeError: If there is not one y for each row.

    Reference:
        Koenker, Bassett, "Regression Quantiles", 1978.

    Example:
        >>> pinball_loss(np.array([[1.0], [1.0]]), np.array([0.0, 3.0]), levels=np.array([0.5]))
        array([0.75])
    """
    _check_rows(quantiles, y)
    gap = y[:, None] - quantiles
    return np.maximum(levels * gap, (levels - 1) * gap).mean(0)


def interval_coverage(intervals: Float[np.ndarray, "rows ends *targets"], y: Float[np.ndarray, "rows *_"]) -> float:
    """The share of rows whose targets all lie in their intervals, ends included.

    Args:
        intervals: Lower and upper ends, (rows, 2) or (rows, 2, targets).
        y: What came, (rows,) or (rows, targets).

    Returns:
        A share in [0, 1].

    Raises:
        ShapeError: If the shapes do not go together.

    Example:
        >>> interval_coverage(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0.5, 2.0]))
        0.5
    """
    if intervals.shape[1:2] != (2,) or intervals[:, 0].shape != y.shape:
        raise ShapeError(
            f"intervals must have shape (rows, 2) or (rows, 2, targets) for y of shape {y.shape}, got "
            f"{intervals.shape}."
        )
    inside = (intervals[:, 0] <= y) & (y <= intervals[:, 1])
    return float(inside.reshape(len(y), -1).all(1).mean())


def pit_distance(pit: Float[np.ndarray, " rows"]) -> float:
    r"""How far probability integral transforms are from uniform: the largest gap of their distribution function.

    .. math:: \sup_u |\hat F(u) - u|

    About :math:`1.36 / \sqrt{n}` is exceeded by chance once in twenty times if the law is right.

    Args:
        pit: F(y | x) of each row, in [0, 1].

    Returns:
        A number in [0, 1].

    Raises:
        ArgumentError: If a number lies outside of [0, 1].

    Reference:
        Dawid, "Statistical Theory: The Prequential Approach", 1984.

    Example:
        >>> round(pit_distance(np.array([0.125, 0.375, 0.625, 0.875])), 3)
        0.125
    """
    if not ((pit >= 0) & (pit <= 1)).all():
        raise ArgumentError(f"pit must lie in [0, 1], got {pit.min():.6g} to {pit.max():.6g}. Give F(y | x).")
    ordered, count = np.sort(pit), len(pit)
    above = np.arange(1, count + 1) / count - ordered
    return float(max(above.max(), (ordered - np.arange(count) / count).max()))


def _check_rows(rows: np.ndarray, y: np.ndarray) -> None:
    if y.shape != (len(rows),):
        raise ShapeError(f"y must have one number for each of the {len(rows)} rows, got shape {y.shape}.")
