r"""One change for a segment: the same step, and how many rows it serves.

Answers to single rows differ from row to row. For a segment (a region, a product, a letter to all) one asks for a
single change :math:`\delta` which, made legal for each row by :math:`\Pi`, serves as many rows as possible:

.. math:: \max_\delta \frac1n \sum_i \left[ f(\Pi_i(x_i + \delta)) = y' \right]
          \left[ \hat p_{y'}(\Pi_i(x_i + \delta)) \ge a \right]

The candidates are the changes of answers to the rows themselves, each as it is and lengthened. The share is measured
on the rows that the change was chosen on; for other rows ask :func:`try_change`.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int

from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.counterfactuals.fitted import Fitted, task_of
from counterflow.counterfactuals.group_changes import GroupChange, GroupOutcome, apply_change, changes_of, choose_change
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.task import Task
from counterflow.tables import Constraints, Table, TableCodec

__all__ = ["GroupAnswer", "explain_group", "try_change"]


@dataclass(frozen=True, eq=False)
class GroupAnswer:
    """One change for a segment, and whom it serves.

    Args:
        outcome: The change, and what it does to each row that was asked about.
        rows: The positions of these rows in the frame: those that are not decided as desired already.
        witness: Where a row served is plausible to the witness too. alone: The share of the rows for which a change
            of their own was found, valid and plausible; ``nan`` where none was searched for. No single change can be
            expected to serve more.
        frame: The rows after the change, of the user's kind.
    """

    outcome: GroupOutcome
    rows: Int[np.ndarray, " rows"] = field(repr=False)
    witness: Bool[np.ndarray, " rows"] = field(repr=False)
    alone: float
    frame: Any = field(repr=False)

    @property
    def change(self) -> GroupChange:
        """The change."""
        return self.outcome.change

    @property
    def share(self) -> float:
        """The share of the rows asked about that it serves."""
        return self.outcome.share

    @property
    def witness_share(self) -> float:
        """Of the rows served, the share that the witness finds plausible too; ``nan`` where none is served."""
        served = self.outcome.served
        return float(self.witness[served].mean()) if served.any() else float("nan")

    @property
    def sentence(self) -> str:
        """The change, and whom it serves."""
        return self.outcome.sentence


def explain_group(
    explainer: Fitted,
    rows: Any,
    *,
    desired: Any,
    count: int = 1,
    constraints: Constraints | None = None,
    min_plausibility: float = 0.1,
    most: int = 200,
) -> GroupAnswer:
    """Find one change that serves as many rows of a segment as can be.

    The explainer answers each row first, with its own method (the amortized one answers fast, and ``count`` answers a
    row then cost little); of all these changes the one that serves the most rows is chosen and freed of what it does
    not need.

    Args:
        explainer: A fitted explainer.
        rows: The segment, a frame of the user's kind.
        desired: The decision wished for all rows.
        count: How many answers each row contributes.
        constraints: What may not change, beyond the schema.
        min_plausibility: The plausibility that a row has to have after the change.
        most: How many changes are tried.

    Returns:
        The change, and whom it serves. The share is that of the rows it was chosen on: :func:`try_change` gives that of
        others.

    Raises:
        DataError: No row has an answer, or all are decided as desired already.
    """
    wishes = [desired] * len(Table(rows))
    answer: CounterfactualAnswer = explainer.explain(
        rows, wishes, count=count, constraints=constraints, min_plausibility=min_plausibility
    )
    task = task_of(explainer, rows, Question(wishes, constraints=constraints, min_plausibility=min_plausibility))
    asked = np.unique(answer.index.factual[answer.answered])
    good = answer.answered & answer.valid
    good = good & answer.plausible if (good & answer.plausible).any() else good
    own = task.of_rows(torch.from_numpy(answer.index.factual[good]))
    candidates = changes_of(own, torch.from_numpy(answer.numbers[good]))
    outcome = choose_change(task.of_rows(torch.from_numpy(asked)), candidates, most=most)
    served_alone = np.unique(answer.index.factual[answer.answered & answer.valid & answer.plausible])
    return _answered(explainer, rows, task, outcome=outcome, asked=asked, alone=len(served_alone) / len(asked))


def try_change(
    explainer: Fitted,
    rows: Any,
    *,
    desired: Any,
    change: GroupChange,
    constraints: Constraints | None = None,
    min_plausibility: float = 0.1,
) -> GroupAnswer:
    """What a given change does to rows, for example to rows that it was not chosen on.

    Args:
        explainer: A fitted explainer.
        rows: A frame of the user's kind.
        desired: The decision wished for all rows.
        change: The change.
        constraints: What may not change, beyond the schema.
        min_plausibility: The plausibility that a row has to have after the change.

    Returns:
        Whom it serves among the rows that are not decided as desired already.
    """
    question = Question([desired] * len(Table(rows)), constraints=constraints, min_plausibility=min_plausibility)
    task = task_of(explainer, rows, question)
    asked = np.flatnonzero(~task.goal.met(task.verdict(task.factuals)).numpy())
    outcome = apply_change(task.of_rows(torch.from_numpy(asked)), change)
    return _answered(explainer, rows, task, outcome=outcome, asked=asked, alone=float("nan"))


def _answered(
    explainer: Fitted, rows: Any, task: Task, *, outcome: GroupOutcome, asked: np.ndarray, alone: float
) -> GroupAnswer:
    numbers, some = torch.from_numpy(outcome.numbers), task.of_rows(torch.from_numpy(asked))
    labels, witness = some.goal.labels(some.verdict(numbers)), explainer.background_.witness
    plausibility = witness.plausibility(witness.log_density(numbers, labels), labels)
    frame = TableCodec(task.rules.schema).to_frame(outcome.numbers, like=rows, rows=asked)
    return GroupAnswer(outcome, asked, plausibility >= task.min_plausibility, alone, frame)
