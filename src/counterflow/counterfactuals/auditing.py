"""Recourse by group: what it costs, and how often there is none, with intervals.

An audit puts the answers of groups side by side. It describes one model, one set of rows, one set of rules and one
search: a gap between groups may come from any of these, and no gap is no proof of fairness. Costs are distances in
standard units, not money, and are those of the rows that have an answer at all, so read them beside the share without
one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.counterfactuals.wording import interval_text
from counterflow.metrics import Interval, bootstrap_interval, changed_features, wilson_interval

__all__ = ["FIGURES", "Audit", "GroupFigures", "audit"]

FIGURES = {
    "already": "of the rows, decided as desired as they are",
    "no_answer": "of the rows asked about, none that the model decides for as desired was found",
    "plausible": "of the rows asked about, an answer as plausible as asked",
    "witness": "of the valid answers, plausible to a flow that the search never saw",
    "cost_median": "median distance of the valid answers, standard units",
    "cost_mean": "mean distance of the valid answers, standard units",
    "changes_mean": "mean number of changed columns of the valid answers",
}
"""What an audit measures in each group: the names of the figures, and what they are counted among."""


@dataclass(frozen=True)
class GroupFigures:
    """One group, in numbers; every figure is an :class:`~counterflow.metrics.Interval`.

    Args:
        group: The value of the column that makes the group.
        rows: How many rows it has.
        asked: How many of them the model does not decide for as desired already.
        already: The share that it does.
        no_answer: The share of the rows asked about for which no valid answer was found.
        plausible: The share of the rows asked about with an answer as plausible as asked.
        witness: The share of valid answers that the witness finds plausible too.
        cost_median: The median distance of the valid answers.
        cost_mean: Their mean distance.
        changes_mean: Their mean number of changed columns.
    """

    group: str
    rows: int
    asked: int
    already: Interval
    no_answer: Interval
    plausible: Interval
    witness: Interval
    cost_median: Interval
    cost_mean: Interval
    changes_mean: Interval


@dataclass(frozen=True)
class Audit:
    """The figures of every group of one column.

    Args:
        column: The column that makes the groups.
        desired: The decision asked for, in words.
        confidence: That of every interval.
        groups: One record a group, the largest first.
        witness_informative: Whether the witness is fit to judge.
        settings: The question, as plain data.
    """

    column: str
    desired: str
    confidence: float
    groups: tuple[GroupFigures, ...]
    witness_informative: bool
    settings: Mapping[str, Any]

    def widest_gap(self, figure: str) -> tuple[GroupFigures, GroupFigures] | None:
        """The groups with the least and the greatest value of a figure; ``None`` where fewer than two have one."""
        known = [group for group in self.groups if not np.isnan(getattr(group, figure).value)]
        if len(known) < 2:
            return None
        return min(known, key=lambda g: getattr(g, figure).value), max(known, key=lambda g: getattr(g, figure).value)

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: an interval is a list of value, low end and high end; what is not known is ``None``."""
        groups = [
            {key: _plain(value) if isinstance(value, list | tuple) else value for key, value in asdict(group).items()}
            for group in self.groups
        ]
        rest = {key: getattr(self, key) for key in ("column", "desired", "confidence", "witness_informative")}
        return {**rest, "settings": dict(self.settings), "figures": FIGURES, "groups": groups}


def audit(
    answer: CounterfactualAnswer,
    groups: Sequence[Any],
    *,
    column: str,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Audit:
    """Put the answers of groups side by side.

    Shares have Wilson intervals, medians and means bootstrap intervals over rows. Of several answers to a row the
    best is taken: a valid and plausible one before a valid one, then the nearest.

    Args:
        answer: Answers to all rows, those included that are decided as desired already.
        groups: For each row that was asked about, in input order, the group that it belongs to.
        column: What makes the groups, in words.
        confidence: That of every interval, in (0, 1).
        random_state: Where the bootstrap draws.

    Returns:
        The figures of every group, the largest group first.

    Raises:
        ArgumentError: ``groups`` has not one entry for each row.
    """
    best = _best_of_each(answer)
    if len(groups) != len(best):
        raise ArgumentError(f"groups must have one entry for each of the {len(best)} rows, got {len(groups)}.")
    named = np.array(["missing" if label is None else str(label) for label in groups])
    names, sizes = np.unique(named, return_counts=True)
    order = np.lexsort((names, -sizes))
    changed = changed_features(*_finite(answer.factual_numbers[best], answer.numbers[best]))
    figures = [
        _figures(answer, name, best[named == name], changed[named == name], confidence, random_state)
        for name in names[order].tolist()
    ]
    wishes = sorted({interval_text(wish) if isinstance(wish, tuple) else str(wish) for wish in answer.desired})
    return Audit(
        column=column,
        desired=" or ".join(wishes),
        confidence=confidence,
        groups=tuple(figures),
        witness_informative=bool(answer.witness_report.informative),
        settings=answer.settings,
    )


def _figures(
    answer: CounterfactualAnswer, name: str, best: np.ndarray, changed: np.ndarray, confidence: float, seed: int
) -> GroupFigures:
    asked = answer.answered[best]
    valid = answer.valid[best] & asked
    served = valid & answer.plausible[best]
    distance, steps = answer.distance[best][valid], changed[valid].astype(np.float64)

    def share(flags: np.ndarray, among: np.ndarray) -> Interval:
        return wilson_interval(int((flags & among).sum()), int(among.sum()), confidence=confidence)

    return GroupFigures(
        group=name,
        rows=len(best),
        asked=int(asked.sum()),
        already=share(~asked, np.ones_like(asked)),
        no_answer=share(~valid, asked),
        plausible=share(served, asked),
        witness=share(answer.witness[best], valid),
        cost_median=bootstrap_interval(distance, "median", confidence=confidence, random_state=seed),
        cost_mean=bootstrap_interval(distance, "mean", confidence=confidence, random_state=seed),
        changes_mean=bootstrap_interval(steps, "mean", confidence=confidence, random_state=seed),
    )


def _best_of_each(answer: CounterfactualAnswer) -> np.ndarray:
    """For each factual the position of its best answer."""
    served = answer.valid & answer.plausible
    order = np.lexsort((answer.index.rank, answer.distance, ~answer.valid, ~served, answer.index.factual))
    _, firsts = np.unique(answer.index.factual[order], return_index=True)
    return order[firsts]


def _finite(*tables: np.ndarray) -> list[np.ndarray]:
    """Missing values as a number of their own, so that two of them are equal."""
    return [np.nan_to_num(table, nan=np.finfo(np.float64).min / 4) for table in tables]


def _plain(interval: Sequence[float]) -> list[float | None]:
    return [None if np.isnan(end) else end for end in interval]
