"""Changes that many rows can make, and what they do to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError
from counterflow.counterfactuals.task import Task
from counterflow.counterfactuals.wording import joined, plain_value
from counterflow.tables import Schema

__all__ = ["GroupChange", "GroupOutcome", "apply_change", "changes_of", "choose_change"]

_LENGTHS = (1.0, 1.5, 2.0)
_SHORTENED = (0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class GroupChange:
    """One change for many rows.

    Args:
        schema: The columns.
        by: How much to add to a numeric column, by its name.
        to: What to put into a column instead: a category or an atom, in the codec's form, by its name.

    Example:
        >>> from counterflow.tables import Column
        >>> home = Column("home", "categorical", categories=("own", "rent"))
        >>> GroupChange(Schema((Column("income"), home)), by={"income": 200.0}, to={"home": 0.0}).sentence
        "income up by 200 and home to 'own'"
    """

    schema: Schema
    by: Mapping[str, float] = field(default_factory=dict)
    to: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = [*self.by, *self.to]
        if len(set(names)) != len(names) or not set(names) <= set(self.schema.names):
            raise ArgumentError(f"a change names columns of the schema, each once, got {names}.")

    def __len__(self) -> int:
        return len(self.by) + len(self.to)

    @property
    def sentence(self) -> str:
        """The change in words."""
        steps = [f"{name} {'up' if step > 0 else 'down'} by {abs(step):,.4g}" for name, step in self.by.items()]
        shown = [(name, plain_value(self.schema[name], value)) for name, value in self.to.items()]
        steps += [f"{name} to {value!r}" for name, value in shown]
        return joined(steps) or "no change"

    def without(self, name: str) -> "GroupChange":
        """The same change with one column left as it is."""
        by, to = ({key: value for key, value in part.items() if key != name} for part in (self.by, self.to))
        return GroupChange(self.schema, by=by, to=to)

    def times(self, length: float) -> "GroupChange":
        """The same change with its numeric steps lengthened."""
        return GroupChange(self.schema, by={name: length * step for name, step in self.by.items()}, to=self.to)

    def on(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """The change made, not yet legal; a number that is an atom that stands for none is left."""
        changed = numbers.clone()
        for name, step in self.by.items():
            column, place = self.schema[name], self.schema.index(name)
            codes = [atom.value for atom in column.atoms if atom.kind == "code"]
            coded = torch.isin(numbers[:, place], torch.tensor(codes, dtype=numbers.dtype)) | numbers[:, place].isnan()
            changed[:, place] = torch.where(coded, numbers[:, place], numbers[:, place] + step)
        for name, value in self.to.items():
            changed[:, self.schema.index(name)] = value
        return changed


@dataclass(frozen=True, eq=False)
class GroupOutcome:
    """What one change does to some rows.

    Args:
        change: The change.
        numbers: The rows after it, made legal, in the codec's form.
        valid: Where the model then decides as wished.
        plausible: Where the row is then as plausible as asked.
        distance: How far each row moved, in standard units.
    """

    change: GroupChange
    numbers: Float[np.ndarray, "rows columns"] = field(repr=False)
    valid: Bool[np.ndarray, " rows"] = field(repr=False)
    plausible: Bool[np.ndarray, " rows"] = field(repr=False)
    distance: Float[np.ndarray, " rows"] = field(repr=False)

    @property
    def served(self) -> Bool[np.ndarray, " rows"]:
        """The rows that are valid and plausible."""
        return self.valid & self.plausible

    @property
    def share(self) -> float:
        """The share of rows served; ``nan`` without rows."""
        return float(self.served.mean()) if len(self.served) else float("nan")

    @property
    def sentence(self) -> str:
        """The change, and whom it serves."""
        return (
            f"One change ({self.change.sentence}) serves {self.served.sum():,} of {len(self.served):,} rows "
            f"({self.share:.0%}): the model would decide as wished, and the row would be as plausible as asked."
        )


def apply_change(task: Task, change: GroupChange) -> GroupOutcome:
    """Make one change to all rows of a task, legal for each, and judge every row.

    Args:
        task: The rows.
        change: The change; what the rules of a row do not allow stays as it is there.

    Returns:
        The outcome.
    """
    numbers = task.rules.project(change.on(task.factuals))
    output = task.verdict(numbers)
    met, labels = task.goal.met(output), task.goal.labels(output)
    plausibility = np.zeros(len(numbers))
    scores = task.density.log_density(numbers[met], labels[met])
    plausibility[met.numpy()] = task.density.plausibility(scores, labels[met])
    plausible = plausibility >= task.min_plausibility
    return GroupOutcome(change, numbers.numpy(), met.numpy(), plausible & met.numpy(), task.distance(numbers).numpy())


def changes_of(task: Task, answers: Float[Tensor, "rows columns"]) -> list[GroupChange]:
    """What each answer does to its row, as a change that others can make too; rows that did not move give none."""
    schema, moved = task.rules.schema, task.rules.changed(answers)
    jumps = task.categorical | task.on_atoms(answers) | task.on_atoms(task.factuals)
    found: dict[tuple[Any, ...], GroupChange] = {}
    for row in torch.nonzero(moved.any(1))[:, 0].tolist():
        columns = torch.nonzero(moved[row])[:, 0].tolist()
        by = {schema.names[j]: float(answers[row, j] - task.factuals[row, j]) for j in columns if not jumps[row, j]}
        to = {schema.names[j]: float(answers[row, j]) for j in columns if jumps[row, j]}
        found.setdefault((*by.items(), *to.items()), GroupChange(schema, by=by, to=to))
    return list(found.values())


def choose_change(task: Task, candidates: Sequence[GroupChange], *, most: int = 200) -> GroupOutcome:
    """Of many changes the one that serves the most rows, without what it does not need.

    Each candidate is tried as it is and with its numeric steps 1.5 and 2 times as long. Of changes that serve equally
    many the one with the fewest columns wins, then the one with the smallest mean distance of the rows served.

    Args:
        task: The rows.
        candidates: Changes, for example from :func:`changes_of`.
        most: How many of them are tried, at even steps through the list.

    Returns:
        What the chosen change does to the rows.

    Raises:
        DataError: There are no candidates.
    """
    if not candidates:
        raise DataError("there is no change to choose from: no row of the segment has an answer that changes it.")
    picked = np.unique(np.linspace(0, len(candidates) - 1, min(most, len(candidates))).astype(int))
    tried = [candidates[place].times(length) for place in picked for length in _LENGTHS]
    best = max((apply_change(task, change) for change in tried), key=_worth)
    return _shortened(task, _pruned(task, best))


def _worth(outcome: GroupOutcome) -> tuple[int, int, float]:
    served = outcome.served
    return int(served.sum()), -len(outcome.change), -float(outcome.distance[served].mean()) if served.any() else 0.0


def _pruned(task: Task, best: GroupOutcome) -> GroupOutcome:
    """Leave out columns one by one as long as no row is lost."""
    while len(best.change) > 1:
        fewer = [apply_change(task, best.change.without(name)) for name in (*best.change.by, *best.change.to)]
        better = max(fewer, key=_worth)
        if better.served.sum() < best.served.sum():
            break
        best = better
    return best


def _shortened(task: Task, best: GroupOutcome) -> GroupOutcome:
    """Take shorter numeric steps as long as no row is lost."""
    shorter = [apply_change(task, best.change.times(length)) for length in _SHORTENED] if best.change.by else []
    return max((best, *(each for each in shorter if each.served.sum() >= best.served.sum())), key=_worth)
