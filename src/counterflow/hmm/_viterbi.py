"""The most probable path of states."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.hmm.blocks import Blocks, Law, cut, join, leveled
from counterflow.hmm.log_space import entries, products

__all__ = ["follow", "viterbi"]


def viterbi(
    log_density: Float[Tensor, "rows states"],
    *,
    log_start: Float[Tensor, " states"],
    log_transition: Float[Tensor, "states states"],
    lengths: Sequence[int] | None = None,
) -> Int[Tensor, " rows"]:
    r"""Find the path of states that is most probable as a whole, for each sequence.

    .. math:: \delta_t(j) = b_j(x_t) \max_i \delta_{t-1}(i)\, A_{ij}

    Every block is followed back from each state it may end in, all at once; then the ends are chained.

    Args:
        log_density: As in :func:`~counterflow.hmm.forward_filter`.
        log_start: Likewise.
        log_transition: Likewise.
        lengths: Likewise.

    Returns:
        One state per row.

    Raises:
        DataError: The lengths do not add up to the rows.

    Reference:
        Rabiner, 1989, section III.B (equations 30 to 35).

    Example:
        >>> stay = torch.tensor([[0.9, 0.1], [0.1, 0.9]]).log()
        >>> density = torch.tensor([[0.0, -1.0], [-1.0, 0.0], [0.0, -1.0]])
        >>> viterbi(density, log_start=torch.zeros(2), log_transition=stay).tolist()
        [0, 0, 0]
    """
    blocks, law = cut(leveled(log_density)[0], lengths), Law(log_start, log_transition)
    entry = entries(products(blocks, law, add=torch.amax), add=torch.amax)
    pointers, last = _best_before(blocks, law, entry)
    paths, before = _follow_back(pointers)
    ends = follow(before.flip(1), int(last[:, -1].max(0).indices)).flip(0)
    chosen = ends.view(1, 1, -1).expand(len(paths), 1, -1)
    return join(paths.gather(1, chosen).squeeze(1), blocks.rows)


def follow(steps: Int[Tensor, "states blocks"], state: int) -> Int[Tensor, " blocks"]:
    """Where one is before each step, if ``steps[s, k]`` leads from s to the next.

    Example:
        >>> follow(torch.tensor([[1, 1], [0, 0]]), 0).tolist()
        [0, 1]
    """
    visited = []
    for step in steps.T.tolist():
        visited.append(state)
        state = step[state]
    return torch.tensor(visited, device=steps.device)


def _best_before(blocks: Blocks, law: Law, entry: Tensor) -> tuple[list[Tensor], Tensor]:
    """For each observation and state the best state before it, and the scores at the ends of the blocks."""
    now, pointers = entry, []
    for density, resets in zip(blocks.log_density, blocks.reset_at(), strict=True):
        moved, best = (now.unsqueeze(1) + law.log_transition.unsqueeze(-1)).max(0)
        if resets is not None:
            moved = torch.where(resets, law.log_start.unsqueeze(-1), moved)
            best = torch.where(resets, now.max(0).indices, best)
        now = moved + density
        pointers.append(best)
    return pointers, now


def _follow_back(pointers: list[Tensor]) -> tuple[Int[Tensor, "time states blocks"], Int[Tensor, "states blocks"]]:
    """For each last state of a block the path that leads there, and the state before the block."""
    states, count = pointers[0].shape
    now, passed = torch.arange(states, device=pointers[0].device).unsqueeze(1).expand(-1, count), []
    for pointer in pointers[::-1]:
        passed.append(now)
        now = pointer.gather(0, now)
    return torch.stack(passed[::-1]), now
