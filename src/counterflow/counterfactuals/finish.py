"""From the point where a search stopped to the row that is returned: on the grid, with no needless change.

The search moves real numbers; a row to return has whole accounts and known categories. Every candidate here is a legal
row and is ranked by :meth:`Task.quality` exactly as it stands, so nothing is judged that is not returned.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.counterfactuals.task import Quality, Task

__all__ = ["NOT_PLAUSIBLE", "NOT_VALID", "Incumbent", "pull_back", "round_to_grid", "undo_needless"]

_PUSHES = (0.0, 0.49, -0.49)
NOT_PLAUSIBLE = 2
NOT_VALID = 3


class Incumbent:
    """The best legal row so far of each row of a task; it starts with the factuals themselves.

    Args:
        task: The rows and how they are ranked.
        aim: The plausibility aimed for.
    """

    def __init__(self, task: Task, *, aim: float) -> None:
        self.task = task
        self.aim = aim
        self.numbers = task.rules.project(task.factuals)
        self.quality = task.quality(self.numbers, aim=aim)

    def offer(self, numbers: Float[Tensor, "rows columns"], rows: Tensor | None = None) -> None:
        """Take legal candidates, one for each row (or for the rows named) where they are better."""
        rows = torch.arange(len(self.numbers)) if rows is None else rows
        quality = self.task.of_rows(rows).quality(numbers, aim=self.aim)
        better = quality.better_than(self._of_rows(rows))
        self.replace(rows[better], numbers[better], quality=Quality(quality.tier[better], quality.cost[better]))

    def replace(self, rows: Tensor, numbers: Tensor, *, quality: Quality) -> None:
        """Put these rows, whatever their quality, in the place of the ones named."""
        self.numbers[rows] = numbers
        self.quality.tier[rows] = quality.tier
        self.quality.cost[rows] = quality.cost

    def _of_rows(self, rows: Tensor) -> Quality:
        return Quality(self.quality.tier[rows], self.quality.cost[rows])


def round_to_grid(incumbent: Incumbent, x: Float[Tensor, "rows columns"], rows: Tensor) -> None:
    """Offer the legal row nearest to a point; where that is not good enough, those rounded outward and inward too."""
    spacing = torch.tensor([column.grid or 0.0 for column in incumbent.task.rules.schema.columns], dtype=x.dtype)
    for push in _PUSHES:
        rules, factuals = incumbent.task.rules.take(rows), incumbent.task.factuals[rows]
        direction = torch.sign(x - factuals).nan_to_num(0.0)
        incumbent.offer(rules.project(x + push * direction * spacing), rows)
        left = incumbent.quality.tier[rows] > 0
        rows, x = rows[left], x[left]
        if not len(rows):
            break


def pull_back(incumbent: Incumbent, *, halvings: int = 4) -> None:
    """Draw each row toward its factual as far as its tier allows, by bisection along the line between both.

    Categories stay as the incumbent has them; numbers go back together, and onto the grid.
    """
    task = incumbent.task
    numeric = task.rules.movable & ~task.categorical & ~task.on_atoms(incumbent.numbers) & ~task.on_atoms(task.factuals)
    found = incumbent.numbers.clone()
    low, high = torch.zeros(len(found), dtype=found.dtype), torch.ones(len(found), dtype=found.dtype)
    for _ in range(halvings):
        middle = (low + high) / 2
        between = torch.lerp(task.factuals, found, middle[:, None])
        trial = task.rules.project(torch.where(numeric, between, found))
        quality = task.quality(trial, aim=incumbent.aim)
        kept = (quality.tier <= incumbent.quality.tier) & (quality.tier < NOT_PLAUSIBLE)
        low, high = torch.where(kept, low, middle), torch.where(kept, middle, high)
        _accept(incumbent, trial, quality, kept)


def undo_needless(incumbent: Incumbent) -> None:
    """Undo the smallest changes of each row, as many as its tier allows, then each of the others that it allows.

    Fewer changes are easier to read and to act on. A row never falls to a worse tier by it: one that was as plausible
    as aimed for stays so. How many of the smallest go is found by bisection; the rest are tried one by one, the
    smallest first.
    """
    _undo_smallest(incumbent)
    _undo_singly(incumbent)


def _undo_smallest(incumbent: Incumbent) -> None:
    """Take back as many of the smallest changes as may be, by bisection over their number."""
    task, (rank, changed) = incumbent.task, _by_size(incumbent)
    low, high = torch.zeros_like(changed), (changed - 1).clamp(min=0)
    while bool((low < high).any()):
        middle = (low + high + 1) // 2
        trial = _undone(incumbent, rank, middle)
        kept = task.quality(trial, aim=incumbent.aim).tier <= incumbent.quality.tier
        low, high = torch.where(kept, middle, low), torch.where(kept, high, middle - 1)
    _take_back(incumbent, _undone(incumbent, rank, low), torch.nonzero(low)[:, 0])


def _undone(incumbent: Incumbent, rank: Tensor, count: Tensor) -> Tensor:
    """The rows with their ``count`` smallest changes taken back, and what rules between columns then ask."""
    task = incumbent.task
    fewer = torch.where(rank < count[:, None], task.factuals, incumbent.numbers)
    return task.rules.project(fewer) if task.rules.links else fewer


def _undo_singly(incumbent: Incumbent) -> None:
    """Take back single changes; the smallest of all was tried by the bisection."""
    task, (rank, changed) = incumbent.task, _by_size(incumbent)
    for place in range(1, max(changed.tolist(), default=0)):
        trial = torch.where(rank == place, task.factuals, incumbent.numbers)
        trial = task.rules.project(trial) if task.rules.links else trial
        _take_back(incumbent, trial, torch.nonzero(changed > place)[:, 0])


def _by_size(incumbent: Incumbent) -> tuple[Tensor, Tensor]:
    """The rank of each change among those of its row, smallest first and what is unchanged last; and their count."""
    task, changed = incumbent.task, incumbent.task.rules.changed(incumbent.numbers)
    size = (task.delta(incumbent.numbers).abs() * task.cost).masked_fill(~changed, torch.inf)
    return size.argsort(1).argsort(1), changed.sum(1)


def _take_back(incumbent: Incumbent, trial: Tensor, rows: Tensor) -> None:
    """Take the rows named where they change less than before and keep their tier."""
    if not len(rows):
        return
    task, trial = incumbent.task.of_rows(rows), trial[rows]
    quality = task.quality(trial, aim=incumbent.aim)
    counts = [task.rules.changed(numbers).sum(1) for numbers in (trial, incumbent.numbers[rows])]
    kept = (quality.tier <= incumbent.quality.tier[rows]) & (counts[0] < counts[1])
    incumbent.replace(rows[kept], trial[kept], quality=Quality(quality.tier[kept], quality.cost[kept]))


def _accept(incumbent: Incumbent, numbers: Tensor, quality: Quality, kept: Tensor) -> None:
    """Replace some rows."""
    rows = torch.nonzero(kept)[:, 0]
    incumbent.replace(rows, numbers[kept], quality=Quality(quality.tier[kept], quality.cost[kept]))
