"""From log-densities to statements: conformal p-values, thresholds, and whether a judge judges at all."""

import math

import numpy as np
from jaxtyping import Bool, Float, Int, Num

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics._arrays import share

__all__ = [
    "conformal_pvalue",
    "conformal_threshold",
    "is_informative_witness",
    "permutation_rejection",
    "permute_one_column",
]


def _check_calibration(scores: np.ndarray) -> None:
    if not scores.size:
        raise DataError("Calibration needs at least one score, got none. Hold out more rows of the target class.")
    if np.isnan(scores).any():
        raise DataError("Calibration scores must not be NaN. Check the flow's log-density on the calibration rows.")


def conformal_pvalue(
    calibration_scores: Float[np.ndarray, "n"], scores: Float[np.ndarray, "*rows"]
) -> Float[np.ndarray, "*rows"]:
    r"""Split-conformal p-value of each score: small for rows stranger than the held-out ones, in [1/(n+1), 1].

    .. math:: p(s) = \frac{1 + \#\{i : c_i \le s\}}{n + 1}

    If a fresh row is exchangeable with the calibration rows, then its p-value is at most ``a`` with a chance of at
    most ``a``, averaged over calibrations; nothing follows for one particular row, person or subgroup, nor for a row
    made by a search that saw the scores. The reference library has a plain quantile of training scores instead.

    Args:
        calibration_scores: (n,), scores (log-densities) of held-out real rows; any order.
        scores: Scores to judge, any shape; ``-inf`` is allowed, NaN counts as ``-inf``.

    Returns:
        p-values of the same shape.

    Raises:
        DataError: If there are no calibration scores or one is NaN.

    Reference:
        Vovk, Gammerman and Shafer, Algorithmic Learning in a Random World, 2005, section 2.2.

    Example:
        >>> conformal_pvalue(np.array([1.0, 2.0, 3.0]), np.array([0.0, 2.0, 9.0]))
        array([0.25, 0.75, 1.  ])
    """
    _check_calibration(calibration_scores)
    scores = np.where(np.isnan(scores), -np.inf, scores)
    below = np.searchsorted(np.sort(calibration_scores), scores, side="right")
    return (1.0 + below) / (calibration_scores.size + 1.0)


def conformal_threshold(calibration_scores: Float[np.ndarray, "n"], level: float) -> float:
    r"""The least score whose :func:`conformal_pvalue` reaches ``level``.

    .. math:: \delta = c_{(k)}, \quad k = \lceil a (n + 1) \rceil - 1, \qquad \delta = -\infty \text{ if } k < 1

    ``score >= conformal_threshold(c, a)`` and ``conformal_pvalue(c, score) >= a`` say the same of every score.

    Args:
        calibration_scores: (n,), scores of held-out real rows; any order.
        level: The p-value to reach, in [0, 1]; 0.1 lets about nine fresh rows in ten pass.

    Returns:
        The threshold, in the unit of the scores.

    Raises:
        ArgumentError: If ``level`` is outside [0, 1].
        DataError: If there are no calibration scores or one is NaN.

    Example:
        >>> conformal_threshold(np.arange(1.0, 20.0), 0.1)
        1.0
    """
    _check_calibration(calibration_scores)
    if not 0.0 <= level <= 1.0:
        raise ArgumentError(f"level must lie in [0, 1], got {level}.")
    n = calibration_scores.size
    counts = np.arange(n + 1)
    k = int(np.searchsorted((1.0 + counts) / (n + 1.0), level))  # the p-value's own arithmetic, so that both agree
    return -math.inf if k == 0 else float(np.sort(calibration_scores)[k - 1])


def permute_one_column(
    rows: Num[np.ndarray, "n d"], *, generator: np.random.Generator
) -> tuple[Num[np.ndarray, "n d"], Int[np.ndarray, "n"]]:
    """Real rows made subtly wrong: in each, one feature is taken from another row.

    Every margin stays as it was (nearly) and only the dependence between features breaks, so a judge that knows the
    margins alone lets these rows pass.

    Args:
        rows: (n, d), real rows, at least two.
        generator: Draws the feature and the donor of each row.

    Returns:
        The changed rows (n, d) and the changed feature of each (n,). The donor may hold the same value.

    Raises:
        DataError: If there are fewer than two rows.

    Example:
        >>> wrong, column = permute_one_column(np.arange(6).reshape(3, 2), generator=np.random.default_rng(0))
        >>> (wrong != np.arange(6).reshape(3, 2)).sum(axis=1)
        array([1, 1, 1])
    """
    n, features = rows.shape
    if n < 2:
        raise DataError(f"Permuting a column needs at least two rows, got {n}.")
    column = generator.integers(features, size=n)
    donor = (np.arange(n) + generator.integers(1, n, size=n)) % n
    wrong = rows.copy()
    wrong[np.arange(n), column] = rows[donor, column]
    return wrong, column


def permutation_rejection(
    permuted_scores: Float[np.ndarray, "..."], threshold: float, *, changed: Bool[np.ndarray, "..."] | None = None
) -> float:
    r"""Share of real rows with one column permuted that a judge rejects, in [0, 1]; higher is a sharper judge.

    .. math:: \frac1n \sum_i [\log q(\tilde x_i) < \delta_q]

    Real rows fall under a conformal threshold of level ``a`` with a chance of about ``a``: a judge whose rejection is
    not far above that knows nothing of how the features hang together. The reference library has no such number.

    Args:
        permuted_scores: Scores of permuted rows (:func:`permute_one_column`), any shape; NaN counts as rejected.
        threshold: The score that a plausible row reaches.
        changed: Of the same shape: rows to count, for example those whose value really differs; ``None`` for all.

    Returns:
        The share; ``nan`` if nothing is to be counted.

    Raises:
        ShapeError: If ``changed`` has another shape.

    Example:
        >>> permutation_rejection(np.array([-9.0, -1.0, -8.0, -7.0]), threshold=-5.0)
        0.75
    """
    if changed is not None and changed.shape != permuted_scores.shape:
        raise ShapeError(f"changed must have the shape of the scores {permuted_scores.shape}, got {changed.shape}.")
    return share(~(permuted_scores >= threshold), changed)


def is_informative_witness(
    *, rejection: float, witness_log_density: float, search_log_density: float, least_rejection: float = 0.5
) -> bool:
    r"""Whether a witness's word counts: it is at least as good a density and it rejects permuted rows.

    .. math:: \overline{\log q} \ge \overline{\log p} \;\wedge\; \rho \ge \rho_{\min}

    Args:
        rejection: :func:`permutation_rejection` of the witness, in [0, 1].
        witness_log_density: Mean held-out log-density of the witness, nats.
        search_log_density: The same of the flow that the search climbs, on the same rows and in the same space.
        least_rejection: The rejection asked for, in [0, 1].

    Returns:
        True if both hold; False too where a number is NaN.

    Example:
        >>> is_informative_witness(rejection=0.62, witness_log_density=-3.1, search_log_density=-3.2)
        True
    """
    return bool(witness_log_density >= search_log_density and rejection >= least_rejection)
