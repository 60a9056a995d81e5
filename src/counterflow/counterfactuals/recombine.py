"""Nearer answers by fewer columns: what a few values of plausible rows, put into the factual, can do.

A slope leads nowhere between categories. Here every choice of up to three columns of each guide is a candidate. Those
that are nearer than what was found are sifted by the formula and by the density, and the nearest that remain are ranked
as they stand. Nothing is drawn at random, and no row depends on its company.
"""

from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.finish import Incumbent
from counterflow.counterfactuals.starts import hybrids_of

__all__ = ["recombine"]

_GUIDES = 96
_MOST_CHANGED = 4
_MOST_SUBSETS = 600
_SIFTED, _RANKED = 512, 64
_TRIED = 4096
_SLACK = 1.0
_GAIN = 1e-6
_TINY = 1e-12
_NO_NUMBER = -1.2345e30
_ROWS_AT_ONCE = 32


def recombine(incumbent: Incumbent, rows: Int[Tensor, " some"]) -> None:
    """Offer rows that differ from the factual in few columns, with values of plausible rows, wherever they are nearer.

    Args:
        incumbent: The best rows so far; better ones are put into it.
        rows: The positions of those to bring nearer.
    """
    subsets = _subsets(incumbent.task.rules.movable | incumbent.task.switchable)
    for label in incumbent.task.goal.target[rows].unique().tolist():
        some = rows[incumbent.task.goal.target[rows] == label]
        for part in some.split(_ROWS_AT_ONCE):
            if len(incumbent.task.pool[label]) and not incumbent.task.deadline.passed():
                _bring_nearer(incumbent, part, hybrids_of(incumbent.task, part, count=_GUIDES), subsets)


def _subsets(free: Bool[Tensor, "rows columns"]) -> Bool[Tensor, "subsets columns"]:
    """Every choice of one, two or three of the columns that may change; of fewer where these would be too many."""
    columns = torch.nonzero(free.any(0))[:, 0].tolist()
    chosen: list[tuple[int, ...]] = []
    for size in range(1, _MOST_CHANGED + 1):
        larger = list(combinations(columns, size))
        if len(chosen) + len(larger) > _MOST_SUBSETS:
            break
        chosen += larger
    masks = torch.zeros(len(chosen), free.shape[1], dtype=torch.bool)
    for place, subset in enumerate(chosen):
        masks[place, list(subset)] = True
    return masks


class _Candidates(NamedTuple):
    """Rows to try, the nearest of each owner first: their numbers, whose they are, and how far from the factual."""

    numbers: Float[Tensor, "candidates columns"]
    owner: Int[Tensor, " candidates"]
    distance: Float[Tensor, " candidates"]

    def keep(self, good: Bool[Tensor, " candidates"], *, most: int) -> "_Candidates":
        """The good ones, at most so many of each owner."""
        some = _Candidates(self.numbers[good], self.owner[good], self.distance[good])
        inside = _places(some.owner) < most
        return _Candidates(some.numbers[inside], some.owner[inside], some.distance[inside])


def _bring_nearer(incumbent: Incumbent, rows: Tensor, hybrids: Tensor, subsets: Tensor) -> None:
    """Sift the candidates of some rows, and offer the best of each."""
    found = _candidates(incumbent, rows, hybrids, subsets)
    task = incumbent.task.of_rows(rows[found.owner])
    with torch.no_grad():
        near_enough = task.goal.gap(task.model.logits(found.numbers), margin=0.0) <= _SLACK
    found = found.keep(near_enough, most=_SIFTED)
    task = incumbent.task.of_rows(rows[found.owner])
    with torch.no_grad():
        score = task.density.at_draw(0, found.numbers, task.goal.target).amin(0)
    found = found.keep(score >= task.density.threshold(incumbent.aim)[task.goal.target] - _SLACK, most=_RANKED)
    _offer_best(incumbent, rows[found.owner], found)


def _candidates(incumbent: Incumbent, rows: Tensor, hybrids: Tensor, subsets: Tensor) -> _Candidates:
    """Subsets of the changes of hybrids, nearer than an incumbent as plausible as aimed: each once, nearest first."""
    task = incumbent.task.of_rows(rows.repeat_interleave(hybrids.shape[1]))
    delta = (task.delta(hybrids.flatten(0, 1)) * task.cost).abs().reshape(hybrids.shape)
    sizes = torch.where(delta > 0, delta.clamp(min=_TINY).pow(task.norm), 0.0)
    length = sizes @ subsets.T.to(sizes.dtype)
    limit = incumbent.task.of_rows(rows).distance(incumbent.numbers[rows]).pow(task.norm)
    limit = torch.where(incumbent.quality.tier[rows] == 0, limit, torch.inf)
    whole = (sizes > 0).to(sizes.dtype) @ subsets.T.to(sizes.dtype) == subsets.sum(1)
    owner, guide, subset = torch.nonzero(whole & (length < limit[:, None, None] * (1 - _GAIN)), as_tuple=True)
    order = length[owner, guide, subset].argsort(stable=True)
    order = order[owner[order].argsort(stable=True)]
    order = order[_places(owner[order]) < _TRIED]
    owner, guide, subset = owner[order], guide[order], subset[order]
    base = incumbent.task.factuals[rows[owner]]
    numbers = torch.where(subsets[subset], hybrids[owner, guide], base)
    fresh = _first_of_each(numbers, owner)
    return _Candidates(numbers[fresh], owner[fresh], length[owner, guide, subset][fresh])


def _places(owner: Int[Tensor, " candidates"]) -> Int[Tensor, " candidates"]:
    """The place of each among those of its owner; owners are in order."""
    return torch.arange(len(owner)) - torch.searchsorted(owner, owner)


def _first_of_each(numbers: Tensor, owner: Tensor) -> Bool[Tensor, " candidates"]:
    """The first of equal rows of one owner."""
    keys = torch.cat((owner[:, None].to(numbers.dtype), numbers.nan_to_num(_NO_NUMBER)), 1)
    _, group = keys.unique(dim=0, return_inverse=True)
    place = torch.arange(len(group))
    first = torch.full((int(group.max()) + 1 if len(group) else 0,), len(group)).scatter_reduce(0, group, place, "amin")
    return place == first[group]


def _offer_best(incumbent: Incumbent, rows: Tensor, found: _Candidates) -> None:
    """Rank candidates as they stand, and offer the best of each row."""
    task = incumbent.task.of_rows(rows)
    numbers = task.rules.project(found.numbers)
    quality = task.quality(numbers, aim=incumbent.aim)
    order = quality.cost.argsort(stable=True)
    order = order[quality.tier[order].argsort(stable=True)]
    order = order[rows[order].argsort(stable=True)]
    first = torch.ones_like(order, dtype=torch.bool)
    first[1:] = rows[order][1:] != rows[order][:-1]
    incumbent.offer(numbers[order[first]], rows[order[first]])
