"""Scans on logarithms, for any transition matrix: zeros are allowed, and nothing ever underflows.

``add`` puts paths together along a dimension: ``torch.logsumexp`` takes all of them, ``torch.amax`` the best.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.hmm.blocks import Blocks, Law, finite

__all__ = ["Add", "Products", "backward", "count", "entries", "exits", "forward", "products"]

Add = Callable[[Tensor, int], Tensor]

_PAIRS_AT_ONCE = 1 << 20


class Products(NamedTuple):
    """What the blocks do, each on its own.

    Args:
        matrix: From what is known at the entry to what is known at the end, where no sequence begins within.
        head: Else, what the observations before the first beginning say of the state at the entry.
        tail: And what those from the last beginning on say of the state at the end.
        renewed: Whether a sequence begins within.
    """

    matrix: Float[Tensor, "states states blocks"]
    head: Float[Tensor, "states blocks"]
    tail: Float[Tensor, "states blocks"]
    renewed: Bool[Tensor, " blocks"]


def products(blocks: Blocks, law: Law, *, add: Add = torch.logsumexp) -> Products:
    """Multiply the steps of each block."""
    states, width = blocks.log_density.shape[1:]
    matrix = torch.full_like(law.log_transition, -math.inf).fill_diagonal_(0.0).unsqueeze(-1).expand(-1, -1, width)
    head = tail = torch.zeros_like(matrix[0])
    renewed = torch.zeros_like(blocks.resets[0])
    transition = law.log_transition.unsqueeze(-1)
    for density, resets in zip(blocks.log_density, blocks.reset_at(), strict=True):
        followed = add(tail.unsqueeze(1) + transition, 0)
        if resets is not None:
            head = torch.where(resets & ~renewed, add(matrix, 1), head)
            followed = torch.where(resets, law.log_start.unsqueeze(-1), followed)
            renewed = renewed | resets
        matrix = add(matrix.unsqueeze(2) + transition, 1) + density
        tail = followed + density
    return Products(matrix, head, tail, renewed)


def entries(products: Products, *, add: Add = torch.logsumexp) -> Float[Tensor, "states blocks"]:
    """What is known at the entry of each block: the posterior, up to a constant."""
    now = torch.zeros_like(products.tail[:, 0])
    known = [now]
    for matrix, tail, renewed in zip(*_blocks(products.matrix, products.tail, products.renewed), strict=True):
        now = tail if renewed else add(now.unsqueeze(1) + matrix, 0)
        now = now - finite(now.amax())
        known.append(now)
    return torch.stack(known[:-1], -1)


def exits(products: Products) -> Float[Tensor, "states blocks"]:
    """What follows the end of each block, up to a constant."""
    now = torch.zeros_like(products.head[:, 0])
    known = [now]
    for matrix, head, renewed in list(zip(*_blocks(products.matrix, products.head, products.renewed), strict=True))[
        ::-1
    ]:
        now = head if renewed else (matrix + now).logsumexp(1)
        now = now - finite(now.amax())
        known.append(now)
    return torch.stack(known[-2::-1], -1)


def forward(
    blocks: Blocks, law: Law, entry: Float[Tensor, "states blocks"]
) -> tuple[Float[Tensor, "time states blocks"], Float[Tensor, "time blocks"]]:
    """Posteriors and predictive log-densities from the posteriors at the entries."""
    now, passed, predictive = entry - finite(entry.logsumexp(0)), [], []
    for density, resets in zip(blocks.log_density, blocks.reset_at(), strict=True):
        known = now.logsumexp(0)
        now = (now.unsqueeze(1) + law.log_transition.unsqueeze(-1)).logsumexp(0)
        if resets is not None:
            now = torch.where(resets, law.log_start.unsqueeze(-1), now)
            known = known.masked_fill(resets, 0.0)
        now = now + density
        total = now.logsumexp(0)
        predictive.append(torch.where(known > -math.inf, total, -math.inf))
        now = now - finite(total)
        passed.append(now)
    return torch.stack(passed), torch.stack(predictive)


def backward(blocks: Blocks, law: Law, ending: Float[Tensor, "states blocks"]) -> Float[Tensor, "time states blocks"]:
    """What follows each observation, up to a constant; what follows the end of a sequence is nothing."""
    now, passed = ending, [ending]
    for density, resets in zip(blocks.log_density.flip(0)[:-1], blocks.reset_at()[:0:-1], strict=True):
        now = (law.log_transition.unsqueeze(-1) + (density + now).unsqueeze(0)).logsumexp(1)
        if resets is not None:
            now = torch.where(resets, 0.0, now)
        passed.append(now)
    return torch.stack(passed[::-1])


def count(
    blocks: Blocks,
    law: Law,
    before: Float[Tensor, "time states blocks"],
    after: Float[Tensor, "time states blocks"],
) -> Float[Tensor, "states states"]:
    """Expected transitions into each observation, from what is known before and from it on."""
    states, width = after.shape[1:]
    at_once = max(1, _PAIRS_AT_ONCE // (states * states * width))
    total = torch.zeros_like(law.log_transition)
    for old, new, resets in zip(*(part.split(at_once) for part in (before, after, blocks.resets)), strict=True):
        pairs = (old.unsqueeze(2) + law.log_transition.unsqueeze(-1) + new.unsqueeze(1)).flatten(1, 2)
        shares = (pairs - finite(pairs.logsumexp(1, keepdim=True))).exp()
        total += shares.masked_fill(resets.unsqueeze(1), 0.0).sum((0, 2)).view(states, states)
    return total


def _blocks(matrix: Tensor, vector: Tensor, renewed: Tensor) -> tuple[Any, ...]:
    """Block by block."""
    return matrix.unbind(-1), vector.unbind(-1), renewed.tolist()
