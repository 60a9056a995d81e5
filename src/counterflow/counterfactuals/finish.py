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
    """Undo the smallest changes of each row, as many as its tier allows, by bisection over their number.

    Fewer changes are easier to read and to act on. A row never falls to a worse tier by it: one that was as plausible
    as aimed for stays so.
    """
    task = incumbent.task
    delta = task.delta(incumbent.numbers).abs() * task.cost
    order = delta.masked_fill(delta == 0, torch.inf).argsort(1)
    rank = order.argsort(1)
    changed = (delta > 0).sum(1)
    low, high = torch.zeros_like(changed), (changed - 1).clamp(min=0)
    while bool((low < high).any()):
        middle = (low + high + 1) // 2
        trial = _undone(incumbent, rank, middle)
        kept = task.quality(trial, aim=incumbent.aim).tier <= incumbent.quality.tier
        low, high = torch.where(kept, middle, low), torch.where(kept, high, middle - 1)
    trial = _undone(incumbent, rank, low)
    quality = task.quality(trial, aim=incumbent.aim)
    _accept(incumbent, trial, quality, quality.tier <= incumbent.quality.tier)


def _undone(incumbent: Incumbent, rank: Tensor, count: Tensor) -> Tensor:
    """The rows with their ``count`` smallest changes taken back."""
    return torch.where(rank < count[:, None], incumbent.task.factuals, incumbent.numbers)


def _accept(incumbent: Incumbent, numbers: Tensor, quality: Quality, kept: Tensor) -> None:
    """Replace some rows."""
    rows = torch.nonzero(kept)[:, 0]
    incumbent.replace(rows, numbers[kept], quality=Quality(quality.tier[kept], quality.cost[kept]))
