"""Answers that differ in kind: each rank goes without something that earlier ranks relied on."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.counterfactuals.task import Task
from counterflow.tables import Rules

__all__ = ["lock_for_next_rank"]


def lock_for_next_rank(task: Task, earlier: Sequence[Float[Tensor, "rows columns"]]) -> Task:
    """Lock, for each earlier answer of a row, the column that it changed most.

    A second answer is of use only to a person for whom the first is not: so it must do without what the first leaned on
    most. Where the locks leave a row nothing to change, the oldest are given up.

    Args:
        task: The rows.
        earlier: The answers of the ranks before, best first.

    Returns:
        The task with those columns fixed; the same task for the first rank.
    """
    if not earlier:
        return task
    locked = torch.zeros_like(task.rules.movable)
    for numbers in earlier:
        size = task.delta(numbers).abs() * task.cost
        size = size.masked_fill(locked, 0.0)
        top = torch.zeros_like(locked).scatter(1, size.argmax(1, keepdim=True), value=True) & (size > 0)
        open_after = (task.rules.movable | task.rules.may_switch) & ~(locked | top)
        locked |= top & open_after.any(1, keepdim=True)
    return replace(task, rules=_lock(task.rules, locked))


def _lock(rules: Rules, columns: Bool[Tensor, "rows columns"]) -> Rules:
    """The rules with some entries immutable."""
    values = rules.factual[:, rules.atom_column]
    at_home = (values == rules.atom_value) | (values.isnan() & rules.atom_value.isnan())
    own = rules.factual[:, rules.category_column] == rules.category_index
    return replace(
        rules,
        movable=rules.movable & ~columns,
        lower=torch.where(columns, rules.factual, rules.lower),
        upper=torch.where(columns, rules.factual, rules.upper),
        may_switch=rules.may_switch & ~columns,
        may_take=torch.where(columns[:, rules.category_column], own, rules.may_take),
        may_land=torch.where(columns[:, rules.atom_column], at_home, rules.may_land),
    )
