"""Growing spheres: draw around the row in layers that widen, until the model decides otherwise."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.core.random import derive_seed, make_generator
from counterflow.counterfactuals.finish import Incumbent, undo_needless
from counterflow.counterfactuals.task import Task

__all__ = ["GrowingSpheres"]

_HALVINGS = 8
_ROWS_AT_ONCE = 256
_JUMP = 0.5


@dataclass(frozen=True)
class GrowingSpheres:
    r"""A search that only asks the model: no gradient, no density, no data.

    Points are drawn uniformly from a ball around the row. The ball is halved while it holds a row that the model
    decides for as wished; then layers of the last radius are put around it, one after the other, until one holds such
    a row. The nearest is taken, and changes that are not needed are undone. Every drawn point is made a legal row
    before the model sees it.

    The radius is measured in standard units divided by each column's cost; a category is switched (to another allowed
    one, by chance) where the point lies half a unit or more from the row in that column. All rows see the same draws,
    so an answer does not hang on the rows beside it.

    Args:
        radius: The radius of the first ball, above 0, in standard units.
        draws: Points a layer.
        layers: The most layers.
        norm: The exponent of the distance by which the nearest is chosen, unless :meth:`explain` is given one.
        seed: Where the draws come from.

    Raises:
        ArgumentError: A number is outside its range.

    Reference:
        Laugel, Lesot, Marsala, Renard, Detyniecki, "Comparison-based Inverse Classification for Interpretability in
        Machine Learning", IPMU 2018, algorithms 1 and 2. Theirs undoes changes one by one, this one by bisection.

    Example:
        >>> GrowingSpheres(draws=500).radius
        0.5
    """

    radius: float = 0.5
    draws: int = 200
    layers: int = 24
    norm: float = 2.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ArgumentError(f"radius must be above 0, got {self.radius}.")
        if self.draws < 1 or self.layers < 1:
            raise ArgumentError(f"draws and layers must be at least 1, got {self.draws} and {self.layers}.")

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The nearest drawn row for which the model decides as wished, for each row of the task."""
        task = replace(task, min_plausibility=0.0)
        incumbent = Incumbent(task, aim=0.0)
        for rows in torch.nonzero(task.rules.can_change)[:, 0].split(_ROWS_AT_ONCE):
            self._grow(incumbent, rows, self._shrink(incumbent, rows))
        undo_needless(incumbent)
        return incumbent.numbers

    def _shrink(self, incumbent: Incumbent, rows: Tensor) -> Tensor:
        """Halve the ball of each row while it holds an answer; gives the radius of the last ball."""
        radius = torch.full((len(rows),), self.radius, dtype=torch.float64)
        left = torch.arange(len(rows))
        for turn in range(_HALVINGS):
            if not len(left) or incumbent.task.deadline.passed():
                break
            inner = torch.zeros(len(left), dtype=torch.float64)
            hit = self._offer(incumbent, rows[left], inner, radius[left], turn=f"ball {turn}")
            left = left[hit]
            radius[left] /= 2
        return radius

    def _grow(self, incumbent: Incumbent, rows: Tensor, radius: Tensor) -> None:
        """Put layer around layer until one holds an answer."""
        inner, left = radius.clone(), torch.nonzero(incumbent.quality.tier[rows] > 0)[:, 0]
        for layer in range(self.layers):
            if not len(left) or incumbent.task.deadline.passed():
                break
            hit = self._offer(incumbent, rows[left], inner[left], inner[left] + radius[left], turn=f"layer {layer}")
            inner[left] += radius[left]
            left = left[~hit]

    def _offer(self, incumbent: Incumbent, rows: Tensor, inner: Tensor, outer: Tensor, *, turn: str) -> Tensor:
        """Draw between two radii around each row and offer the nearest answer; gives which rows had one."""
        task = incumbent.task.of_rows(rows.repeat_interleave(self.draws))
        generator = make_generator(derive_seed(self.seed, "spheres", turn))
        drawn = _drawn(incumbent.task.of_rows(rows), inner, outer, self.draws, generator)
        numbers = task.rules.project(drawn.flatten(0, 1))
        met = _allowed(task, numbers, task.goal.met(task.verdict(numbers)) & task.rules.changed(numbers).any(1))
        distance = task.distance(numbers).masked_fill(~met, torch.inf).reshape(len(rows), self.draws)
        length, nearest = distance.min(1)
        hit = length.isfinite()
        best = numbers.reshape(len(rows), self.draws, -1)[torch.arange(len(rows)), nearest]
        incumbent.offer(best[hit], rows[hit])
        return hit


def _allowed(task: Task, numbers: Tensor, met: Tensor) -> Tensor:
    """Which of the rows that are as wished are no copies of training rows, where these are not allowed."""
    if task.copies is not None:
        met[met.clone()] = ~task.copies.contains(numbers[met])
    return met


def _drawn(task: Task, inner: Tensor, outer: Tensor, draws: int, generator: torch.Generator) -> Tensor:
    """Points between two spheres around each row, ``(rows, draws, columns)``, in the columns that may change."""
    columns = task.factuals.shape[1]
    normal = torch.randn(draws, columns, generator=generator, dtype=torch.float64)
    height = torch.rand(draws, 1, generator=generator, dtype=torch.float64)
    turn = torch.rand(draws, columns, generator=generator, dtype=torch.float64)
    free = (task.rules.movable & ~task.categorical) | task.rules.may_switch
    direction = normal * free[:, None]
    direction = direction / direction.norm(dim=-1, keepdim=True).clamp(min=1e-12)
    power = free.sum(1).clamp(min=1)[:, None, None].double()
    low, high = (edge[:, None, None].pow(power) for edge in (inner, outer))
    step = direction * (low + height * (high - low)).pow(1 / power) / task.cost
    moved = task.factuals[:, None] + step * task.scale
    switched = _other_categories(task, turn)
    jumps = task.categorical & task.rules.may_switch[:, None] & (step.abs() >= _JUMP)
    return torch.where(task.categorical, torch.where(jumps, switched, task.factuals[:, None]), moved)


def _other_categories(task: Task, turn: Tensor) -> Tensor:
    """For each column of categories one of those a row may have besides its own, chosen by a number in [0, 1)."""
    chosen = task.factuals[:, None].expand(-1, len(turn), -1).clone()
    for column in torch.nonzero(task.categorical)[:, 0].tolist():
        own = task.factuals[:, column].long()
        may = task.rules.may_take[:, task.rules.category_column == column].clone()
        may[torch.arange(len(own)), own] = False
        count = may.sum(1, keepdim=True)
        place = (turn[:, column] * count).long().clamp(max=(count - 1).clamp(min=0))
        order = (~may).to(torch.int8).argsort(dim=1, stable=True)  # allowed categories first
        chosen[:, :, column] = torch.where(count > 0, order.gather(1, place).to(chosen.dtype), own[:, None])
    return chosen
