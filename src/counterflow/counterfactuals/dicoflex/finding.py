"""From draws to answers: what is valid, near and plausible, and several that differ."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.finish import NOT_PLAUSIBLE, NOT_VALID, Incumbent, undo_needless
from counterflow.counterfactuals.task import Quality, Task

__all__ = ["first_of_its_kind", "pick_answers", "shortlist", "without_needless"]

_WORST = 9


def first_of_its_kind(draws: Float[Tensor, "draws rows columns"]) -> Bool[Tensor, "draws rows"]:
    """Which draws of each row no earlier draw equals."""
    weights = torch.rand(draws.shape[-1], dtype=torch.float64, generator=torch.Generator().manual_seed(0)) + 0.5
    keys = draws.nan_to_num(-1e9) @ weights
    order = keys.argsort(dim=0, stable=True)
    ordered = keys.gather(0, order)
    new = torch.ones_like(ordered, dtype=torch.bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return torch.zeros_like(new).scatter(0, order, new)


def shortlist(task: Task, draws: Float[Tensor, "draws rows columns"], *, most: int) -> Int[Tensor, "most rows"]:
    """For each row the positions of its best draws: valid ones first, and of these the nearest.

    The user's model is asked once for every different draw; a draw that changes nothing comes last.
    """
    count, rows = draws.shape[:2]
    place, row = torch.nonzero(first_of_its_kind(draws) & task.rules.changed(draws).any(-1), as_tuple=True)
    some = task.of_rows(row)
    numbers = draws[place, row]
    output = some.verdict(numbers)
    met, missing = some.goal.met(output), some.goal.gap(output, margin=0.0)
    cost = torch.where(met, some.distance(numbers), 1e6 + missing.clamp(max=1e6))
    table = torch.full((count, rows), torch.inf, dtype=torch.float64)
    table[place, row] = cost
    return table.argsort(dim=0)[:most]


def pick_answers(
    task: Task, draws: Float[Tensor, "draws rows columns"], *, count: int, most: int
) -> Float[Tensor, "count rows columns"]:
    """The best answers to each row: by quality the first, by difference from those before them the others.

    Args:
        task: The rows.
        draws: Legal candidates.
        count: How many answers each row gets; a row with fewer candidates repeats its best.
        most: How many candidates of a row are looked at closely.

    Returns:
        The answers; the factual where nothing else was drawn.
    """
    best = shortlist(task, draws, most=min(max(most, 2 * count), len(draws)))
    close = draws.gather(0, best.unsqueeze(-1).expand(-1, -1, draws.shape[-1]))
    tier, cost = _qualities(task, close)
    first = _order(tier, cost)[0]
    chosen = [first]
    for _ in range(count - 1):
        chosen.append(_most_different(task, close, tier, chosen))
    return torch.stack([_take(close, place) for place in chosen])


def without_needless(task: Task, answers: Float[Tensor, "count rows columns"]) -> Float[Tensor, "count rows columns"]:
    """The answers with every change undone that they do not need; one that would then repeat another stays."""
    found: list[Tensor] = []
    for answer in answers:
        incumbent = Incumbent(task, aim=task.min_plausibility)
        incumbent.offer(answer)
        undo_needless(incumbent)
        same = [_same(incumbent.numbers, earlier).all(1) for earlier in found]
        repeated = torch.stack(same).any(0) if same else torch.zeros(len(answer), dtype=torch.bool)
        found.append(torch.where(repeated.unsqueeze(1), answer, incumbent.numbers))
    return torch.stack(found)


def _qualities(task: Task, close: Tensor) -> tuple[Tensor, Tensor]:
    kept, rows = close.shape[:2]
    index = torch.arange(rows).repeat(kept)
    quality: Quality = task.of_rows(index).quality(close.flatten(0, 1), aim=task.min_plausibility)
    return quality.tier.reshape(kept, rows), quality.cost.reshape(kept, rows)


def _order(tier: Tensor, cost: Tensor) -> Tensor:
    """Candidates by tier, then by cost."""
    by_cost = cost.argsort(dim=0)
    return by_cost.gather(0, tier.gather(0, by_cost).argsort(dim=0, stable=True))


def _most_different(task: Task, close: Tensor, tier: Tensor, chosen: list[Tensor]) -> Tensor:
    """The candidate farthest from all that were chosen; a valid one before others, a plausible one before these."""
    gaps = [_gap(task, close, _take(close, place)) for place in chosen]
    nearest = torch.stack(gaps).amin(0)
    rank = torch.where(tier < NOT_PLAUSIBLE, 0, torch.where(tier < NOT_VALID, 1, 2))
    rank = torch.where(nearest > 0, rank, _WORST)
    return _order(rank, -nearest)[0]


def _gap(task: Task, close: Tensor, other: Tensor) -> Tensor:
    """How far candidates are from a row: standardized numbers, 1 for another category."""
    change = ((close - other) / task.scale).abs().nan_to_num(1.0).clamp(max=3.0)
    return torch.where(_same(close, other), 0.0, torch.where(task.categorical, 1.0, change)).sum(-1)


def _same(a: Tensor, b: Tensor) -> Tensor:
    """Equal, where a missing value equals a missing value."""
    return (a == b) | (a.isnan() & b.isnan())


def _take(close: Tensor, place: Tensor) -> Tensor:
    return close.gather(0, place[None, :, None].expand(1, -1, close.shape[-1]))[0]
