r"""From a row to its counterfactual in small steps, over rows that are legal and as plausible as can be.

A counterfactual is a place, not a way there. Its changes are cut into parts (one for a category, several for a long
way along a number), and of all orders in which these parts may be made that one is looked for whose least plausible
row is as plausible as possible: the widest path through the lattice of partly changed rows,

.. math:: \max_{\text{orders}} \min_t \pi(x_t), \qquad \pi(x) = \max_y \hat p_y(x)

with :math:`\hat p_y` the conformal p-value of x among held-out rows of class y. It is searched level by level; a beam
that holds all states of a level makes it exact. What lies between two rows of a path is nobody's claim, nor that the
steps can be taken in life.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.counterfactuals.fitted import Fitted, task_of
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.task import Task
from counterflow.counterfactuals.wording import joined, plain_value
from counterflow.tables import Constraints, Schema, describe_change, take_rows

__all__ = ["PathSettings", "RecoursePath", "find_path", "recourse_path"]

_MOST_PARTS = 4


@dataclass(frozen=True)
class PathSettings:
    """How a path is cut and searched.

    Args:
        stride: The longest part of a change along a number, in standard units; a change has four parts at most.
        beam: How many partly changed rows are kept at each level; more are better and slower.

    Raises:
        ArgumentError: A number is outside its range.

    Example:
        >>> PathSettings(stride=0.5).beam
        64
    """

    stride: float = 1.0
    beam: int = 64

    def __post_init__(self) -> None:
        if not self.stride > 0:
            raise ArgumentError(f"stride must be above 0, got {self.stride}.")
        if self.beam < 1:
            raise ArgumentError(f"beam must be at least 1, got {self.beam}.")


@dataclass(frozen=True, eq=False)
class RecoursePath:
    """A sequence of legal rows, the factual first and the counterfactual last.

    Args:
        schema: The columns.
        numbers: The rows, in the codec's form.
        plausibility: For each row the largest of its conformal p-values among held-out rows of the classes.
        probability: Of the wished class for each row, as the model says; ``nan`` where there is none.
        met: Where the model decides as wished.
    """

    schema: Schema
    numbers: Float[np.ndarray, "steps columns"]
    plausibility: Float[np.ndarray, " steps"]
    probability: Float[np.ndarray, " steps"]
    met: Bool[np.ndarray, " steps"]

    def __len__(self) -> int:
        return len(self.numbers) - 1

    @property
    def least_plausibility(self) -> float:
        """That of the least plausible row between the ends; that of the less plausible end where there is none."""
        inner = self.plausibility[1:-1]
        return float((inner if len(inner) else self.plausibility).min())

    def sentences(self) -> list[str]:
        """One sentence for each step: what changes, and how plausible the row is that it leads to."""
        return [self._sentence(step) for step in range(len(self))]

    def _sentence(self, step: int) -> str:
        pairs = zip(self.schema.columns, self.numbers[step], self.numbers[step + 1], strict=True)
        changed = [
            describe_change(column, plain_value(column, before), plain_value(column, after))
            for column, before, after in pairs
            if before != after and not (np.isnan(before) and np.isnan(after))
        ]
        decision = "as wished" if self.met[step + 1] else "as before"
        words = f"Step {step + 1}: {joined(changed)} (plausibility {self.plausibility[step + 1]:.2f}"
        return f"{words}; the model decides {decision})."


def recourse_path(
    explainer: Fitted, answer: CounterfactualAnswer, *, row: int = 0, settings: PathSettings | None = None
) -> RecoursePath:
    """A way from a row to one of its counterfactuals over plausible, legal rows.

    Args:
        explainer: The fitted explainer that answered.
        answer: What it answered.
        row: The position of the answer, from 0.
        settings: How the change is cut and how hard is searched.

    Returns:
        The path; it has no step where the answer is the row itself.

    Raises:
        ArgumentError: There is no such answer.
    """
    if not 0 <= row < len(answer):
        raise ArgumentError(f"row must be the position of one of the {len(answer)} answers, got {row}.")
    asked, factual = answer.settings, answer.index.factual[row : row + 1]
    question = Question(
        desired=[answer.desired[row]],
        probability=None if asked["probability"] is None else tuple(asked["probability"]),
        constraints=Constraints.from_dict(asked["constraints"]),
        min_plausibility=asked["min_plausibility"],
    )
    task = task_of(explainer, take_rows(answer.factuals, factual), question)
    return find_path(task, torch.from_numpy(answer.numbers[row : row + 1]), settings=settings)


class _State(NamedTuple):
    """A partly changed row: how many parts of each change are made, the best worst score so far, and the way here."""

    worst: float
    total: float
    way: tuple[tuple[int, ...], ...]


def find_path(task: Task, answer: Float[Tensor, "1 columns"], *, settings: PathSettings | None = None) -> RecoursePath:
    """Order the parts of one row's change so that the rows on the way are as plausible as possible.

    Args:
        task: One row.
        answer: Its counterfactual, a legal row.
        settings: How the change is cut and how hard is searched.

    Returns:
        The path; a single step where the rules let nothing between both ends stand.

    Raises:
        ArgumentError: The task has not exactly one row.
    """
    if len(task.factuals) != 1:
        raise ArgumentError(f"a path starts from one row, got a task of {len(task.factuals)}.")
    settings = settings or PathSettings()
    ladders = _ladders(task, answer, settings.stride)
    states = {(0,) * len(ladders): _State(np.inf, 0.0, ())}
    for _ in range(sum(len(rungs) - 1 for _, rungs in ladders)):
        states = _next_level(task, ladders, states, settings.beam)
        if not states:
            break
    way = next(iter(states.values())).way if states else ()
    rows = [task.factuals[0], *(_row(task.factuals[0], ladders, state) for state in way[:-1])]
    rows += [answer[0]] if ladders else []
    return _judged(task, torch.stack(rows))


def _ladders(task: Task, answer: Tensor, stride: float) -> list[tuple[int, list[float]]]:
    """For each changed column its values on the way, the factual's first."""
    delta, ladders = task.delta(answer)[0], []
    jumps = task.categorical | task.on_atoms(answer)[0] | task.on_atoms(task.factuals)[0]
    for column in torch.nonzero(task.rules.changed(answer)[0])[:, 0].tolist():
        parts = 1 if jumps[column] else min(max(int(np.ceil(float(delta[column].abs()) / stride)), 1), _MOST_PARTS)
        trial = task.factuals.repeat(parts + 1, 1)
        trial[:, column] = torch.lerp(
            task.factuals[0, column], answer[0, column], torch.linspace(0, 1, parts + 1).double()
        )
        trial[[0, -1], column] = torch.stack((task.factuals[0, column], answer[0, column]))
        inner = task.rules.take(torch.zeros(parts + 1, dtype=torch.long)).project(trial)[1:-1, column].tolist()
        ends = trial[[0, -1], column].tolist()
        ladders.append((column, [ends[0], *(rung for rung in dict.fromkeys(inner) if rung not in ends), ends[1]]))
    return ladders


def _row(factual: Tensor, ladders: list[tuple[int, list[float]]], state: tuple[int, ...]) -> Tensor:
    row = factual.clone()
    for (column, rungs), made in zip(ladders, state, strict=True):
        row[column] = rungs[made]
    return row


def _next_level(
    task: Task, ladders: list[tuple[int, list[float]]], states: dict[tuple[int, ...], _State], beam: int
) -> dict[tuple[int, ...], _State]:
    """All legal rows with one part more, each by the best way to it; the ``beam`` best of them."""
    reached: dict[tuple[int, ...], list[_State]] = {}
    for made, state in states.items():
        for place, (_, rungs) in enumerate(ladders):
            if made[place] + 1 < len(rungs):
                further = (*made[:place], made[place] + 1, *made[place + 1 :])
                reached.setdefault(further, []).append(state)
    keys = list(reached)
    rows = torch.stack([_row(task.factuals[0], ladders, key) for key in keys])
    many = task.of_rows(torch.zeros(len(rows), dtype=torch.long))
    scores, legal = _scores(many, rows), many.rules.legal(rows)
    level = {
        key: max(_State(min(state.worst, score), state.total + score, (*state.way, key)) for state in reached[key])
        for key, score, allowed in zip(keys, scores.tolist(), legal.tolist(), strict=True)
        if allowed
    }
    best = sorted(level, key=lambda key: level[key], reverse=True)[:beam]
    return {key: level[key] for key in best}


def _scores(task: Task, rows: Tensor) -> np.ndarray:
    """The largest plausibility of each row among the classes."""
    return np.max([_plausibility(task, rows, label) for label in range(task.density.classes)], axis=0)


def _plausibility(task: Task, rows: Tensor, label: int) -> np.ndarray:
    labels = torch.full((len(rows),), label)
    return task.density.plausibility(task.density.log_density(rows, labels), labels)


def _judged(task: Task, rows: Tensor) -> RecoursePath:
    many = task.of_rows(torch.zeros(len(rows), dtype=torch.long))
    output = many.verdict(rows)
    chances = (
        output.softmax(1)[:, int(task.goal.target)] if output.shape[1] > 1 else torch.full((len(rows),), torch.nan)
    )
    return RecoursePath(
        schema=task.rules.schema,
        numbers=rows.numpy(),
        plausibility=_scores(many, rows),
        probability=chances.double().numpy(),
        met=many.goal.met(output).numpy(),
    )
