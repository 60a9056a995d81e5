"""Further places to start a search: the factual, dressed as a plausible row of the target class."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.counterfactuals.task import Task

__all__ = ["hybrids_of", "leverage", "propose_starts"]

_CANDIDATES = 16
_ROWS_AT_ONCE = 512
_FAR = 4.0


def propose_starts(
    task: Task, rows: Int[Tensor, " some"], *, count: int, aim: float, candidates: int = _CANDIDATES
) -> tuple[Float[Tensor, "starts kept columns"], Int[Tensor, " kept"]]:
    """Make legal starting rows from the pool of plausible rows of each target class.

    A guide of the pool lends its values wherever the rules let the factual change. Of the nearest of these
    hybrids the best ``count`` (valid, plausible, near) are starts: this is how a search reaches other categories.

    Args:
        task: The rows to explain.
        rows: The positions of those that need a start.
        count: How many starts each gets.
        aim: The plausibility aimed for.
        candidates: How many of the nearest hybrids are judged.

    Returns:
        The starts, as many for each row as asked (or none), and the rows that got them.
    """
    kept, found = [], []
    for label in task.goal.target[rows].unique().tolist():
        guides, some = _accepted(task, label), rows[task.goal.target[rows] == label]
        if len(guides) >= max(count, 1) and count > 0:
            kept.append(some)
            parts = some.split(max(1, _ROWS_AT_ONCE * _CANDIDATES // candidates))
            found.extend(_best_hybrids(task, part, guides, count, aim, candidates) for part in parts)
    if not found:
        return task.factuals.new_zeros(count, 0, task.factuals.shape[1]), rows[:0]
    return torch.cat(found, 1), torch.cat(kept)


def hybrids_of(task: Task, rows: Int[Tensor, " some"], *, count: int) -> Float[Tensor, "some guides columns"]:
    """Each row dressed as the guides of its class that are nearest to it, and as as many others spread over the pool.

    Args:
        task: The rows to explain.
        rows: The positions of some of one class.
        count: How many guides of each sort, fewer where there are not so many.

    Returns:
        Legal rows.
    """
    guides = _accepted(task, int(task.goal.target[rows[0]]))
    near = _nearest_guides(task, rows, guides, count)
    spread = torch.arange(0, len(guides), max(1, len(guides) // count))[:count]
    chosen = torch.cat((near, spread.expand(len(rows), -1)), 1)
    batch = task.of_rows(rows.repeat_interleave(chosen.shape[1]))
    return _dress(batch, guides[chosen.reshape(-1)]).reshape(*chosen.shape, -1)


def leverage(task: Task) -> Float[Tensor, "rows columns"]:
    """How much each column alone could do for the prediction: its slope times its way, four units at most."""
    numbers = task.factuals.clone().requires_grad_()
    gap = task.goal.gap(task.model.logits(numbers), margin=0.0)
    (slope,) = torch.autograd.grad(gap.sum(), numbers)
    room = torch.where(slope < 0, task.rules.upper - task.factuals, task.factuals - task.rules.lower)
    reach = torch.minimum(room, _FAR * task.scale)
    return torch.where(task.rules.movable, (slope * reach).abs(), torch.zeros_like(slope)).nan_to_num(0.0)


def _accepted(task: Task, label: int) -> Tensor:
    """The guides of a class that the model decides for; all of them where it has no classes, or too few of it."""
    guides = task.pool[label]
    if not len(guides):
        return guides
    with torch.no_grad():
        output = task.model.logits(guides)
    accepted = guides[output.argmax(1) == label] if output.shape[1] > 1 else guides
    return accepted if len(accepted) >= _CANDIDATES else guides


def _best_hybrids(task: Task, rows: Tensor, guides: Tensor, count: int, aim: float, candidates: int) -> Tensor:
    """``(count, rows, columns)``: the best hybrids of each row with its nearest guides."""
    near = _nearest_guides(task, rows, guides, candidates)
    candidates = near.shape[1]
    repeated = rows.repeat_interleave(candidates)
    batch = task.of_rows(repeated)
    hybrids = _dress(batch, guides[near.reshape(-1)])
    quality = batch.quality(hybrids, aim=aim)
    order = _rank(quality.tier.reshape(len(rows), -1), quality.cost.reshape(len(rows), -1))
    best = order[:, : min(count, candidates)]
    picked = hybrids.reshape(len(rows), candidates, -1).gather(1, best[..., None].expand(-1, -1, hybrids.shape[1]))
    return picked.transpose(0, 1)


def _nearest_guides(task: Task, rows: Tensor, guides: Tensor, candidates: int) -> Tensor:
    """The positions of the guides nearest to each row in what may change; those that change nothing come last."""
    some = task.of_rows(rows)
    numeric = (some.rules.movable & ~some.categorical).double() * task.cost / task.scale
    total = torch.zeros(len(rows), len(guides), dtype=torch.float64)
    for column in range(guides.shape[1]):
        before, after = some.factuals[:, column, None], guides[None, :, column]
        gap = (before - after).abs().nan_to_num(task.scale[column].item()) * ~(before.isnan() & after.isnan())
        jumps = (gap > 0) & some.switchable[:, column, None] & _may_take(some, guides, column)
        total += (gap * numeric[:, column, None]).square() + jumps * task.cost[column].square()
    total = total.masked_fill(total == 0, torch.inf)
    return total.topk(min(candidates, len(guides)), largest=False).indices


def _may_take(task: Task, guides: Tensor, column: int) -> Tensor:
    """Whether each row may have each guide's category in a column; true of columns without categories."""
    categories = task.rules.may_take[:, task.rules.category_column == column]
    return categories[:, guides[:, column].long()] if categories.shape[1] else torch.ones(1, 1, dtype=torch.bool)


def _dress(task: Task, guides: Tensor) -> Tensor:
    """The factuals with the guides' values wherever the rules allow them."""
    landed = task.on_atoms(guides) & (task.rules.project(guides) != guides)
    return task.rules.project(torch.where(landed, task.factuals, guides))


def _rank(tier: Tensor, cost: Tensor) -> Tensor:
    """Order by tier, then by cost."""
    by_cost = cost.argsort(1)
    return by_cost.gather(1, tier.gather(1, by_cost).argsort(dim=1, stable=True))
