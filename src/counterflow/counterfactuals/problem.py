"""The plausible counterfactual of a row as something to minimize."""

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.objectives import Terms, density_gap, lp_distance
from counterflow.counterfactuals.search import Box
from counterflow.counterfactuals.task import Task
from counterflow.tables.links_compile import LinearTest

__all__ = ["PlausibleProblem"]

_LOWEST = -1e6
_SLACK = 0.01  # of the unit of a column; projection closes what is left
_ALL = slice(None)


class PlausibleProblem:
    """The objective of a task from given starts: discrete columns stay as the start has them, numbers move.

    Args:
        task: The rows.
        start: Where each starts, a legal row.
        aim: The plausibility to reach; 0 for any.
        margin: How far beyond its cut-off the target's probability must lie.
        scale: The scale of the validity gap, ``"log-odds"`` or ``"probability"``.
        columns: The columns that may move at all; ``None`` for those the rules let move.
    """

    def __init__(
        self,
        task: Task,
        start: Float[Tensor, "rows columns"],
        *,
        aim: float,
        margin: float,
        scale: Literal["log-odds", "probability"],
        columns: Bool[Tensor, "rows columns"] | None = None,
    ) -> None:
        self.margin = margin
        self.scale = scale
        self.task = task
        self.start = start
        self.calls = 0
        self.moving = task.rules.movable & ~task.on_atoms(start)
        if columns is not None:
            self.moving = self.moving & columns
        self.threshold = task.density.threshold(aim).clamp(min=_LOWEST)
        self.origin = self.to_steps(task.factuals)
        self.switched = task.delta(start)
        lower, upper = (
            self.to_steps(torch.where(self.moving, bound, start)) for bound in (task.rules.lower, task.rules.upper)
        )
        self.box = Box(lower, upper)
        self.linked = any(isinstance(link, LinearTest) for link in task.rules.links)

    def to_steps(self, numbers: Tensor) -> Tensor:
        """From the codec's numbers to standardized units."""
        return (numbers / self.task.scale).nan_to_num(0.0)

    def to_numbers(self, x: Tensor, rows: Tensor | slice = _ALL) -> Tensor:
        """Back, with everything that does not move as the start has it."""
        return torch.where(self.moving[rows], x * self.task.scale, self.start[rows])

    def __call__(self, x: Float[Tensor, "some columns"], rows: Int[Tensor, " some"]) -> Terms:
        """The terms at ``x``; every call sees the next dequantization draw."""
        numbers = self.to_numbers(x, rows)
        delta = torch.where(self.moving[rows], x - self.origin[rows], self.switched[rows])
        goal = self.task.goal.of_rows(rows)
        output = self.task.model.logits(numbers)
        labels = goal.labels(output)
        log_density = self.task.density.at_draw(self.calls, numbers, labels)
        self.calls += 1
        return Terms(
            lp_distance(delta, self.task.cost, norm=self.task.norm),
            goal.gap(output, margin=self.margin, scale=self.scale),
            density_gap(log_density, self.threshold[labels]),
            self.task.rules.take(rows).link_gap(numbers) - _SLACK if self.linked else None,
        )
