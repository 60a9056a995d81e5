"""Does the model answer as was wished, and was there an answer at all?"""

import math

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError
from counterflow.metrics._arrays import Flags, Groups, Labels, check_same_rows, share

__all__ = [
    "actionability",
    "coverage",
    "interval_validity",
    "plausible_share",
    "pool_validity",
    "target_distance",
    "validity",
    "witness_share",
]


def validity(predicted: Labels, target: object) -> float:
    r"""Share of answers for which the model predicts the *target*, in [0, 1]; higher is better.

    .. math:: \frac1n \sum_i [f(x'_i) = t_i]

    The reference library counts every answer whose prediction differs from the factual's label, so that in a problem of
    three classes an answer that lands in the wrong one is valid there; here it is not. For two classes, and factuals
    that the model puts in the unwanted class, both agree.

    Args:
        predicted: (answers,), labels the model gives to the answers.
        target: One label, or (answers,) labels.

    Returns:
        The share; ``nan`` without answers.

    Raises:
        ShapeError: If the number of targets is not the number of answers.

    Reference:
        Wielopolski et al., Probabilistically Plausible Counterfactual Explanations with Normalizing Flows, section 4.

    Example:
        >>> validity(np.array(["good", "bad", "fair"]), "good").__round__(3)
        0.333
    """
    wanted = np.asarray(target)
    if wanted.ndim:
        check_same_rows("target", wanted, len(predicted))
    return share(np.atleast_1d(np.asarray(predicted == wanted, dtype=np.bool_)))


def interval_validity(
    values: Float[np.ndarray, "*n"], low: float | int | None = None, high: float | int | None = None
) -> float:
    r"""Share of answers whose predicted value lies in the closed interval, in [0, 1]; higher is better.

    .. math:: \frac1n \sum_i [l \le f(x'_i) \le u]

    It serves regression, and classes whose cut-off is a probability other than the arg max. The reference library's
    "validity" of a regression is the mean absolute change of the prediction, which is no share at all.

    Args:
        values: (answers,), predicted values or probabilities.
        low: The least allowed value; ``None`` for no bound.
        high: The largest allowed value; ``None`` for no bound.

    Returns:
        The share; ``nan`` without answers.

    Raises:
        ArgumentError: If ``low`` is above ``high``.

    Example:
        >>> interval_validity(np.array([0.4, 0.7, 0.9, 1.0]), 0.6, 0.9)
        0.5
    """
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    if not low <= high:
        raise ArgumentError(f"An interval needs low <= high, got ({low}, {high}).")
    return share((values >= low) & (values <= high))


def target_distance(
    values: Float[np.ndarray, "*n"], low: float | int | None = None, high: float | int | None = None
) -> float:
    r"""Mean distance of the predicted value to the wished interval, >= 0; 0 if all reach it.

    .. math:: \frac1n \sum_i \max(l - f(x'_i),\; f(x'_i) - u,\; 0)

    The reference library has the same for a single wished value (``low == high``).

    Args:
        values: (answers,), predicted values.
        low: The least wished value; ``None`` for no bound.
        high: The largest wished value; ``None`` for no bound.

    Returns:
        The mean, in the unit of the values; ``nan`` without answers.

    Example:
        >>> target_distance(np.array([1.0, 2.0, 5.0]), 2.0, 4.0).__round__(3)
        0.667
    """
    if not values.size:
        return math.nan
    low, high = -math.inf if low is None else low, math.inf if high is None else high
    return float(np.maximum(np.maximum(low - values, values - high), 0.0).mean())


def coverage(found: Flags, group: Groups | None = None, *, factuals: int | None = None) -> float:
    r"""Share of factuals with at least one answer, in [0, 1]; higher is better.

    .. math:: \frac1n \sum_i \max_{j : g_j = i} [\mathrm{found}_j]

    With ``found`` = valid this is "at least one valid answer among the k": what the DiCoFlex paper calls validity.
    The reference library counts answers without NaN, one per factual, which agrees where each factual has one answer.

    Args:
        found: (answers,), whether the answer is one.
        group: (answers,), the position of the factual of each answer, from 0; ``None`` for one answer each.
        factuals: The number of factuals; ``None`` for the largest position plus one.

    Returns:
        The share; ``nan`` without factuals.

    Raises:
        ShapeError: If ``group`` is not as long as ``found``.

    Example:
        >>> coverage(np.array([True, False, False, False]), np.array([0, 0, 1, 1]))
        0.5
    """
    if group is None:
        return share(found)
    check_same_rows("group", group, len(found))
    covered = np.zeros(int(group.max(initial=-1)) + 1 if factuals is None else factuals, dtype=np.bool_)
    covered[group[found].astype(np.intp)] = True
    return share(covered)


def pool_validity(valid: Flags) -> float:
    r"""Share of valid rows among *all* raw draws of a generative method, in [0, 1]; higher is better.

    .. math:: \frac1{nm} \sum_{i,j} [f(x'_{ij}) = t_i]

    Counted before any call of the model, any filter and any choice among the draws; coverage says how many factuals
    have at least one. The reference library reports only one of the two at a time, under the same name.

    Args:
        valid: Booleans of any shape, one per draw.

    Returns:
        The share; ``nan`` without draws.

    Example:
        >>> pool_validity(np.array([[True, False], [True, True]]))
        0.75
    """
    return share(valid)


def actionability(kept: Flags) -> float:
    r"""Share of answers that keep every constraint and every rule of the schema, in [0, 1]; higher is better.

    .. math:: \frac1n \sum_i [x'_i \in \mathcal{C}(x_i)]

    The reference library gives this name to the share of answers that are identical to their factual.

    Args:
        kept: Booleans of any shape.

    Returns:
        The share; ``nan`` without answers.

    Example:
        >>> actionability(np.array([True, True, False, True]))
        0.75
    """
    return share(kept)


def plausible_share(plausible: Flags, valid: Flags | None = None) -> float:
    r"""Share of (valid) answers whose log-density reaches the threshold, in [0, 1]; higher is better.

    .. math:: \frac{\sum_i [f(x'_i) = t_i]\,[\log p(x'_i \mid t_i) \ge \delta]}{\sum_i [f(x'_i) = t_i]}

    The paper takes the median of the training log-densities for the threshold and counts valid answers only; the
    reference library counts all answers. A flow that was climbed by the search is no fair judge: see
    :func:`witness_share`.

    Args:
        plausible: Booleans of any shape.
        valid: Booleans of the same shape: answers to count; ``None`` for all.

    Returns:
        The share; ``nan`` if nothing is to be counted.

    Reference:
        Wielopolski et al., Probabilistically Plausible Counterfactual Explanations with Normalizing Flows, section 4.

    Example:
        >>> plausible_share(np.array([True, False, True]), valid=np.array([True, True, False]))
        0.5
    """
    return share(plausible, valid)


def witness_share(witness: Flags, valid: Flags | None = None) -> float:
    r"""Share of (valid) answers that are plausible to a flow the search never saw, in [0, 1]; higher is better.

    .. math:: \frac{\sum_i [f(x'_i) = t_i]\,[\log q(x'_i \mid t_i) \ge \delta_q]}{\sum_i [f(x'_i) = t_i]}

    with ``q`` of another family, trained on disjoint rows, and its threshold from rows of its own. Fresh real rows pass
    at about one minus the level. The number means something only if the witness is informative:
    :func:`~counterflow.metrics.is_informative_witness`. The reference library has no such number.

    Args:
        witness: Booleans of any shape.
        valid: Booleans of the same shape: answers to count; ``None`` for all.

    Returns:
        The share; ``nan`` if nothing is to be counted.

    Example:
        >>> witness_share(np.array([True, False, True, True]))
        0.75
    """
    return share(witness, valid)
