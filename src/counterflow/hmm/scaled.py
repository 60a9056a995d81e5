r"""Scans by matrix products, scaled at every step: for transition matrices without zeros.

Where every transition is possible, :math:`A_{ij} \ge \varepsilon`, a state that underflows at one step is fed by the
others at the next, and what it lost is less than the smallest double over :math:`\varepsilon` of the whole. So the
result is that of :mod:`~counterflow.hmm.log_space` up to rounding, at a fraction of the exponentials. Logarithms of
posteriors are taken of what was predicted, before the density comes in, and are right far below the smallest double.
Densities come relative to the largest of their observation (:func:`~counterflow.hmm.blocks.leveled`).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.hmm.blocks import Blocks, Law

__all__ = ["backward", "count", "entries", "exits", "forward", "products", "suits"]

_LEAST = -230.0
"""The logarithm of the rarest transition: 1e-100, far above the smallest double."""


def suits(blocks: Blocks, law: Law) -> bool:
    """Whether every transition is possible and no observation impossible.

    Example:
        >>> from counterflow.hmm.blocks import cut
        >>> blocks = cut(torch.zeros(4, 2), None)
        >>> possible, impossible = Law(torch.zeros(2), torch.zeros(2, 2)), Law(torch.zeros(2), torch.eye(2).log())
        >>> suits(blocks, possible), suits(blocks, impossible)
        (True, False)
    """
    possible = blocks.log_density.amax(1)
    resets = (blocks.log_density.amin(1) > -torch.inf) | ~blocks.resets
    return bool((law.log_transition.amin() > _LEAST) & possible.isfinite().all() & resets.all())


def products(blocks: Blocks, law: Law) -> Float[Tensor, "states states blocks"]:
    """For each block the matrix from its entry to its last observation, up to a factor."""
    states, width = blocks.log_density.shape[1:]
    back = law.log_transition.exp().T.contiguous()
    now = torch.eye(states, dtype=back.dtype, device=back.device).unsqueeze(-1).expand(-1, -1, width)
    for density, start in zip(blocks.log_density.exp(), _starts(blocks, law), strict=True):
        moved = (back @ now.reshape(states, -1)).view(states, states, width) * density.unsqueeze(1)
        if start is not None:
            moved = torch.where(start.resets, start.posterior.unsqueeze(1) * now.sum(0), moved)
        now = moved / moved.sum((0, 1))
    return now.transpose(0, 1)


def entries(products: Float[Tensor, "states states blocks"]) -> Float[Tensor, "states blocks"]:
    """The posterior at the entry of each block."""
    return _chain(products.permute(2, 1, 0))


def exits(products: Float[Tensor, "states states blocks"]) -> Float[Tensor, "states blocks"]:
    """What follows the end of each block, up to a factor."""
    return _chain(products.permute(2, 0, 1).flip(0)).flip(-1)


def forward(
    blocks: Blocks, law: Law, entry: Float[Tensor, "states blocks"]
) -> tuple[Float[Tensor, "time states blocks"], Float[Tensor, "time blocks"]]:
    """Posteriors and predictive densities, both as logarithms, from the posteriors at the entries."""
    back = law.log_transition.exp().T.contiguous()
    now, predicted, totals = entry, [], []
    for density, start in zip(blocks.log_density.exp(), _starts(blocks, law), strict=True):
        predicted.append(back @ now)
        now = predicted[-1] * density
        totals.append(now.sum(0))
        now = now / totals[-1]
        if start is not None:
            now = torch.where(start.resets, start.posterior, now)
    joint = torch.stack(predicted).log_().add_(blocks.log_density)
    predictive = torch.stack(totals).log_()
    _put_starts(joint, predictive, blocks, law)
    return joint.sub_(predictive.unsqueeze(1)), predictive


def _put_starts(joint: Tensor, predictive: Tensor, blocks: Blocks, law: Law) -> None:
    """Where a sequence begins, the state comes from the law of starts."""
    time, block = blocks.resets.nonzero(as_tuple=True)
    first = law.log_start + blocks.log_density[time, :, block]
    joint[time, :, block] = first
    predictive[time, block] = first.logsumexp(1)


def backward(blocks: Blocks, law: Law, ending: Float[Tensor, "states blocks"]) -> Float[Tensor, "time states blocks"]:
    """The logarithm of what follows each observation, up to a constant; what follows an end is nothing."""
    transition = law.log_transition.exp()
    now, passed = ending, [ending]
    for density, resets in zip(blocks.log_density.exp().flip(0)[:-1], blocks.reset_at()[:0:-1], strict=True):
        now = transition @ (density * now)
        now = now / now.sum(0)
        if resets is not None:
            now = torch.where(resets, 1.0, now)
        passed.append(now)
    return torch.stack(passed[::-1]).log()


def count(
    blocks: Blocks,
    law: Law,
    before: Float[Tensor, "time states blocks"],
    after: Float[Tensor, "time states blocks"],
) -> Float[Tensor, "states states"]:
    """Expected transitions into each observation, from what is known before and from it on."""
    transition = law.log_transition.exp()
    old = before.exp()
    new = (after - after.amax(1, keepdim=True)).exp()
    chance = ((transition.T @ old) * new).sum(1, keepdim=True)
    new = (new / chance).masked_fill(blocks.resets.unsqueeze(1), 0.0)
    return transition * torch.bmm(old, new.transpose(1, 2)).sum(0)


class _Start(NamedTuple):
    """Where sequences begin, and the posteriors after their first observation."""

    resets: Tensor
    posterior: Tensor


def _starts(blocks: Blocks, law: Law) -> list[_Start | None]:
    """For each time the starts, if there are any."""
    return [
        None if resets is None else _Start(resets, (law.log_start.unsqueeze(-1) + density).softmax(0))
        for density, resets in zip(blocks.log_density, blocks.reset_at(), strict=True)
    ]


def _chain(matrices: Float[Tensor, "blocks states states"]) -> Float[Tensor, "states blocks"]:
    """What is known before each of a row of matrices, from nothing at the first."""
    now = matrices.new_full((matrices.shape[-1],), 1 / matrices.shape[-1])
    known = [now]
    for matrix in matrices[:-1]:
        now = matrix @ now
        now = now / now.sum()
        known.append(now)
    return torch.stack(known, -1)
