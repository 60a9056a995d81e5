"""How many states there are: as few as predict what was held out as well as any number does."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError, DataError
from counterflow.estimators.flow_hmm import FlowHMM

__all__ = ["StateSelection", "select_states"]

_FEWEST = 5


@dataclass(frozen=True)
class StateSelection:
    """How well each number of states predicts.

    Args:
        scores: For each number, the mean log-density of the held-out observations, in nats.
        shortfall: For each number, how much it falls short of the best.
        error: The standard error of that.
        chosen: The smallest number that falls short of the best by no more than one standard error.
        estimator: The fitted estimator of that number.
    """

    scores: dict[int, float]
    shortfall: dict[int, float]
    error: dict[int, float]
    chosen: int
    estimator: FlowHMM


def select_states(
    estimator: FlowHMM, X: Any, *, lengths: Any = None, candidates: Iterable[int] = range(1, 7)
) -> StateSelection:
    r"""Choose the number of states.

    .. math:: \hat n = \min \{ n : \bar s_{n^*} - \bar s_n \le \mathrm{se}(s_{n^*} - s_n) \}

    One estimator is fitted for each number, all with the same stretches held out; differences are taken row by row, and
    their errors between stretches, since neighbors are alike. Criteria that count parameters do not apply: a flow has
    many, and uses few.

    Args:
        estimator: The settings; ``random_state`` must be a seed, and ``validation`` above zero.
        X: As in :meth:`FlowHMM.fit`.
        lengths: Likewise.
        candidates: The numbers to try.

    Returns:
        Scores, and the estimator that was chosen.

    Raises:
        ArgumentError: Nothing is held out, the seed is not fixed, or there is no candidate.
        DataError: As in :meth:`FlowHMM.fit`, or too few observations are held out.

    Reference:
        Breiman, Friedman, Olshen, Stone, "Classification and Regression Trees", 1984, section 3.4.3 (one standard
        error).

    Example:
        >>> X = np.random.default_rng(0).normal(0, 1, (200, 1)) + 8 * (np.arange(200) // 20 % 2)[:, None]
        >>> settings = FlowHMM(flow="linear", layers=None, max_epochs=2, random_state=0)
        >>> select_states(settings, X, candidates=[1, 2]).chosen
        2
    """
    numbers = sorted(set(candidates))
    if not numbers or not estimator.validation > 0 or not isinstance(estimator.random_state, int | np.integer):
        raise ArgumentError(
            "select_states needs candidates, validation above 0 and a seed as random_state, got "
            f"{numbers}, {estimator.validation} and {estimator.random_state!r}. Pass FlowHMM(random_state=0)."
        )
    settings = estimator.get_params(deep=False)
    fitted: dict[int, FlowHMM] = {}
    for number in reversed(numbers):  # if there are too few rows for the most states, it is said at once
        fitted[number] = FlowHMM(**(settings | {"n_states": number})).fit(X, lengths)
        _check_held(fitted[number].held_out_)
    held = {number: fitted[number].held_out_ for number in numbers}
    best = max(held, key=lambda number: held[number].mean())
    behind = {number: held[best] - scores for number, scores in held.items()}
    shortfall = {number: float(values.mean()) for number, values in behind.items()}
    error = {number: _error(values, estimator.stretch) for number, values in behind.items()}
    chosen = min(number for number in numbers if shortfall[number] <= error[number])
    scores = {number: float(values.mean()) for number, values in held.items()}
    return StateSelection(scores, shortfall, error, chosen, fitted[chosen])


def _check_held(held: Float[np.ndarray, " rows"]) -> None:
    if len(held) < _FEWEST:
        raise DataError(
            f"select_states needs at least {_FEWEST} held-out observations to compare by, got {len(held)}. "
            "Give more rows, or a larger validation."
        )


def _error(values: Float[np.ndarray, " rows"], stretch: int) -> float:
    """The standard error of the mean of a series in stretches."""
    means = [part.mean() for part in np.array_split(values, max(2, len(values) // stretch))]
    return float(np.std(means, ddof=1) / np.sqrt(len(means)))
