"""How sure a share, a difference of shares, a mean or a median is: confidence intervals."""

import math
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["Interval", "bootstrap_interval", "paired_difference", "wilson_interval"]


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


def paired_difference(
    first: Bool[np.ndarray, "_"], second: Bool[np.ndarray, "_"], *, confidence: float = 0.95
) -> Interval:
    r"""How much larger one share is than another that was counted on the same things, with Newcombe's interval.

    .. math:: \hat\Delta = \hat p_1 - \hat p_2, \qquad
        \hat\Delta - \sqrt{a_1^2 - 2 \hat\phi\, a_1 b_2 + b_2^2} \;\le\; \Delta \;\le\;
        \hat\Delta + \sqrt{b_1^2 - 2 \hat\phi\, b_1 a_2 + a_2^2}

    with :math:`a_k = \hat p_k - l_k` and :math:`b_k = u_k - \hat p_k` from Wilson's intervals of both shares, and their
    correlation :math:`\hat\phi`, which is corrected toward zero. Two methods judged on the same images, for example:
    images that are easy for both do not widen it.

    Args:
        first: (n,), how it went with the one.
        second: (n,), with the other, in the same order.
        confidence: In (0, 1).

    Returns:
        The difference and both ends, in [-1, 1].

    Raises:
        ShapeError: The lengths differ.
        ArgumentError: ``confidence`` is outside (0, 1).

    Reference:
        Newcombe, "Improved confidence intervals for the difference between binomial proportions based on paired data",
        1998, method 10.

    Example:
        >>> agreed = np.arange(20) < 18
        >>> [round(end, 2) for end in paired_difference(agreed, np.arange(20) < 5)]
        [0.65, 0.35, 0.81]
    """
    if first.shape != second.shape:
        raise ShapeError(f"first and second must have one entry each, got shapes {first.shape} and {second.shape}.")
    one, two = (wilson_interval(int(flags.sum()), len(flags), confidence=confidence) for flags in (first, second))
    correlation = _correlation(first, second)

    def reach(down: float, up: float) -> float:
        return math.sqrt(max(down**2 - 2 * correlation * down * up + up**2, 0.0))

    difference = one.value - two.value
    low = difference - reach(one.value - one.low, two.high - two.value)
    return Interval(difference, low, difference + reach(one.high - one.value, two.value - two.low))


def _correlation(first: np.ndarray, second: np.ndarray) -> float:
    """The correlation of two columns of flags as Newcombe corrects it; 0 where one of them is constant."""
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    one, other = int((first & ~second).sum()), int((~first & second).sum())
    margins = math.prod((both + one, other + neither, both + other, one + neither))
    product = both * neither - one * other
    corrected = max(product - len(first) / 2, 0.0) if product > 0 else product
    return corrected / math.sqrt(margins) if margins else 0.0


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
