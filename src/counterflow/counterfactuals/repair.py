"""Where a stand-in led a search astray: answers that the model itself accepts, found without any slope.

A search that follows a stand-in may stop at rows that the model refuses. These rows are led on, further the same way,
then to plausible rows of the wished class that the model accepts, and from there back toward the factual, one column at
a time, as far as the model and the density allow. Nothing is drawn at random, and no row depends on its company.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.finish import NOT_PLAUSIBLE, NOT_VALID, Incumbent, round_to_grid
from counterflow.counterfactuals.recombine import recombine
from counterflow.counterfactuals.starts import propose_starts
from counterflow.counterfactuals.task import Task

__all__ = ["mend", "repair"]

_CUSHION = 0.3
_FURTHER = (1.1, 1.25, 1.5, 2.0)
_REACHES = (16, 64, 256, 2048)
_WAYS_BACK = (0.0, 0.5, 0.75)
_ROUNDS = 2
_LEVELS = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)


def mend(
    task: Task, numbers: Float[Tensor, "rows columns"]
) -> tuple[Float[Tensor, "rows columns"], Bool[Tensor, " rows"]]:
    """Repair the answers of a search that followed a stand-in, where the model itself says otherwise.

    Args:
        task: The rows; without an oracle the search followed the model itself, and nothing is done.
        numbers: What was found for each.

    Returns:
        The answers, and which of them were repaired: those that are now valid, or plausible as well, and were not.
    """
    untouched = torch.zeros(len(numbers), dtype=torch.bool)
    if task.oracle is None or not len(numbers):
        return numbers, untouched
    incumbent = Incumbent(task, aim=task.min_plausibility + _CUSHION * (1 - task.min_plausibility))
    incumbent.offer(numbers)
    wanting = incumbent.quality.tier >= NOT_PLAUSIBLE
    done = repair(incumbent, torch.nonzero(wanting & task.rules.can_change)[:, 0])
    recombine(incumbent, done)
    return torch.where(wanting[:, None], incumbent.numbers, numbers), untouched.index_fill(0, done, True)


def repair(incumbent: Incumbent, rows: Int[Tensor, " some"]) -> Int[Tensor, " repaired"]:
    """Find rows that the model accepts in the place of some that it does not, or not plausibly.

    Args:
        incumbent: The best rows so far; better ones are put into it.
        rows: The positions of those to repair.

    Returns:
        The positions of those that rose to a better tier.
    """
    before = incumbent.quality.tier.clone()
    _go_further(incumbent, rows)
    for reach in _REACHES:
        left = _wanting(incumbent, rows)
        if not len(left) or incumbent.task.deadline.passed():
            break
        starts, reached = propose_starts(incumbent.task, left, count=1, aim=incumbent.aim, candidates=reach)
        for start in starts:
            incumbent.offer(start, reached)
    _climb(incumbent, rows)
    risen = rows[incumbent.quality.tier[rows] < before[rows]]
    for _ in range(_ROUNDS):
        _walk_back(incumbent, risen)
    return risen


def _wanting(incumbent: Incumbent, rows: Tensor) -> Tensor:
    return rows[incumbent.quality.tier[rows] >= NOT_PLAUSIBLE]


def _go_further(incumbent: Incumbent, rows: Tensor) -> None:
    """Follow the change of each row beyond its end: the model often has its step a little behind the stand-in."""
    task = incumbent.task.of_rows(rows)
    found = incumbent.numbers[rows]
    numeric = task.rules.movable & ~task.categorical & ~task.on_atoms(found) & ~task.on_atoms(task.factuals)
    for length in _FURTHER:
        beyond = torch.where(numeric, torch.lerp(task.factuals, found, length), found)
        left = torch.isin(rows, _wanting(incumbent, rows))
        if not bool(left.any()):
            break
        round_to_grid(incumbent, beyond[left], rows[left])


def _climb(incumbent: Incumbent, rows: Tensor) -> None:
    """The last resort of rows that are still not valid: whatever value of a column raises the model's answer most."""
    for position, column in enumerate(incumbent.task.rules.schema.columns):
        left = rows[incumbent.quality.tier[rows] == NOT_VALID]
        if not len(left) or incumbent.task.deadline.passed():
            break
        for value in _probes(incumbent.task.of_rows(left), position, labels=len(column.categories)):
            numbers = incumbent.numbers[left].clone()
            numbers[:, position] = value
            _offer_changed(incumbent, numbers, left)


def _probes(task: Task, position: int, *, labels: int) -> list[Tensor]:
    """Values of a column to try in all rows: every category, or quantiles of plausible rows and the ends of its box."""
    if labels:
        return list(torch.arange(float(labels)))
    known = torch.cat(task.pool)[:, position]
    known = known[known.isfinite()]
    middle = known.quantile(torch.tensor(_LEVELS, dtype=known.dtype)) if len(known) else known
    return [*middle, task.rules.lower[:, position], task.rules.upper[:, position]]


def _walk_back(incumbent: Incumbent, rows: Tensor) -> None:
    """Take the changes of each row back, the largest first: wholly, or by half, wherever the row does not get worse."""
    task = incumbent.task.of_rows(rows)
    size = task.delta(incumbent.numbers[rows]).abs() * task.cost
    order = size.argsort(dim=1, descending=True, stable=True)
    numeric = task.rules.movable & ~task.categorical & ~task.on_atoms(task.factuals)
    for place in range(int((size > 0).sum(1).max()) if len(rows) else 0):
        if task.deadline.passed():
            break
        here = torch.zeros_like(numeric).scatter(1, order[:, place, None], True)
        for share in _WAYS_BACK:
            found = incumbent.numbers[rows]
            movable = numeric & ~task.on_atoms(found)
            between = torch.where(movable, torch.lerp(task.factuals, found, share), found if share else task.factuals)
            _offer_changed(incumbent, torch.where(here, between, found), rows)


def _offer_changed(incumbent: Incumbent, numbers: Tensor, rows: Tensor) -> None:
    """Offer legal rows near some numbers where they differ from what is there."""
    trial = incumbent.task.rules.take(rows).project(numbers)
    found = incumbent.numbers[rows]
    changed = ((trial != found) & ~(trial.isnan() & found.isnan())).any(1)
    if bool(changed.any()):
        incumbent.offer(trial[changed], rows[changed])
