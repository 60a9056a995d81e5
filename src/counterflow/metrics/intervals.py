"""How sure a share, a mean or a median is: confidence intervals."""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError

__all__ = ["Interval", "bootstrap_interval", "wilson_interval"]


class Interval(NamedTuple):
    """An estimate, and the ends of its confidence interval; ``nan`` three times where there is nothing to estimate."""

    value: float
    low: float
    high: float


def wilson_interval(successes: int, trials: int, *, confidence: float = 0.95) -> Interval:
    r"""The share of successes, with Wilson's score interval: the shares that a score test does not reject.

    .. math:: \frac{\hat p + \frac{z^2}{2n} \pm z \sqrt{\frac{\hat p (1 - \hat p)}{n} + \frac{z^2}{4 n^2}}}
                   {1 + \frac{z^2}{n}}

    It stays within [0, 1] and has a width where the share is 0 or 1, which the interval of the normal approximation has
    not. The reference library gives shares without intervals.

    Args:
        successes: How often it was so, from 0 to ``trials``.
        trials: How often it was looked at.
        confidence: In (0, 1).

    Returns:
        The share and both ends.

    Raises:
        ArgumentError: The counts are no counts, or ``confidence`` is outside (0, 1).

    Reference:
        Wilson, Probable inference, the law of succession, and statistical inference, 1927.

    Example:
        >>> [round(end, 3) for end in wilson_interval(8, 10)]
        [0.8, 0.49, 0.943]
    """
    z = _quantile(confidence)
    if not 0 <= successes <= trials:
        raise ArgumentError(f"successes must lie between 0 and trials, got {successes} of {trials}.")
    if not trials:
        return Interval(math.nan, math.nan, math.nan)
    share, square = successes / trials, z * z / trials
    center = share + square / 2
    half = z * math.sqrt(share * (1 - share) / trials + square / (4 * trials))
    return Interval(share, max((center - half) / (1 + square), 0.0), min((center + half) / (1 + square), 1.0))


def bootstrap_interval(
    values: Float[np.ndarray, "_"],
    statistic: Literal["mean", "median"] = "mean",
    *,
    confidence: float = 0.95,
    draws: int = 2000,
    random_state: int = 0,
) -> Interval:
    r"""A mean or a median, with the percentile interval of its bootstrap.

    .. math:: \left[ Q_{(1 - c) / 2},\; Q_{(1 + c) / 2} \right] \text{ of } T(x^{*}_1 \dots x^{*}_n)

    Values are drawn again with replacement, as many as there are. It knows the spread among the rows given, not what
    another model or another fit of the flows would give. The reference library has standard deviations over folds.

    Args:
        values: (n,), finite; one for each row. Answers to one row are not independent: give one value a row.
        statistic: ``"mean"`` or ``"median"``.
        confidence: In (0, 1).
        draws: How many samples are drawn.
        random_state: Where they come from.

    Returns:
        The statistic and both ends.

    Raises:
        ArgumentError: The statistic is unknown, or ``confidence`` is outside (0, 1).

    Reference:
        Efron, Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.

    Example:
        >>> bootstrap_interval(np.array([3.0, 3.0, 3.0]))
        Interval(value=3.0, low=3.0, high=3.0)
    """
    _quantile(confidence)
    if statistic not in ("mean", "median"):
        raise ArgumentError(f"statistic must be 'mean' or 'median', got {statistic!r}.")
    if not values.size:
        return Interval(math.nan, math.nan, math.nan)
    measure = np.mean if statistic == "mean" else np.median
    random = np.random.default_rng(random_state)
    blocks = np.array_split(np.arange(draws), max(1, draws * values.size // 2**22))
    found = np.concatenate(
        [measure(values[random.integers(values.size, size=(len(block), values.size))], axis=1) for block in blocks]
    )
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(measure(values)), float(low), float(high))


def _quantile(confidence: float) -> float:
    if not 0 < confidence < 1:
        raise ArgumentError(f"confidence must lie in (0, 1), got {confidence}.")
    return NormalDist().inv_cdf((1 + confidence) / 2)
