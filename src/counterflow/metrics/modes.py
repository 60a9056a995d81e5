"""The modes of a sample: where mean shift takes its points, joined and counted."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["Modes", "mean_shift_modes"]

_STEPS, _CLOSE = 100, 1e-3


class Modes(NamedTuple):
    """The likeliest places of each row, in falling order of their mass.

    Args:
        points: The modes; NaN where a row has fewer than k.
        mass: The share of the draws that climb to each; 0 where there is none.
    """

    points: Float[Tensor, "rows k d"]
    mass: Float[Tensor, "rows k"]


def mean_shift_modes(draws: Float[Tensor, "rows n d"], count: int = 3, *, bandwidth: float) -> Modes:
    r"""Find the modes of samples: every draw climbs the kernel density, and those that meet are one mode.

    .. math:: x \leftarrow \frac{\sum_l y_l\, e^{-\lVert x - y_l \rVert^2 / 2 b^2}}
        {\sum_l e^{-\lVert x - y_l \rVert^2 / 2 b^2}}

    Args:
        draws: n draws of each row.
        count: k, the most modes of a row that are given: those with the largest mass.
        bandwidth: b, above zero, in units of the draws: modes nearer to each other than about twice that are one.

    Returns:
        Modes and masses.

    Raises:
        ShapeError: The draws are not of three dimensions.
        ArgumentError: The bandwidth is not above zero.

    Reference:
        Comaniciu, Meer, "Mean Shift: A Robust Approach Toward Feature Space Analysis", 2002, equation 20.

    Example:
        >>> draws = torch.tensor([[[0.0], [0.2], [0.1], [5.0]]])
        >>> found = mean_shift_modes(draws, 2, bandwidth=0.5)
        >>> found.points.squeeze(-1).round(decimals=2).tolist(), found.mass.tolist()
        ([[0.10000000149011612, 5.0]], [[0.75, 0.25]])
    """
    check_count(count, "count")
    if draws.dim() != 3:
        raise ShapeError(f"draws must have shape (rows, n, d), got {tuple(draws.shape)}. Unsqueeze what is single.")
    if not bandwidth > 0:
        raise ArgumentError(f"bandwidth must be above zero, got {bandwidth}. Give it in units of the draws.")
    return _join(_climb(draws, bandwidth), count, bandwidth)


def _climb(draws: Tensor, bandwidth: float) -> Tensor:
    """Where each draw ends."""
    at = draws
    for _ in range(_STEPS):
        before, near = at, torch.cdist(at, draws).square() / (-2 * bandwidth**2)
        at = near.softmax(-1) @ draws
        if bool(((at - before).abs() < _CLOSE * bandwidth).all()):
            break
    return at


def _join(ends: Tensor, count: int, bandwidth: float) -> Modes:
    """Take the end that most ends are near to, then that of what is left, and so on."""
    near = torch.cdist(ends, ends) <= bandwidth
    free, rows = ends.new_ones(ends.shape[:2], dtype=torch.bool), torch.arange(len(ends))
    points, mass = [], []
    for _ in range(count):
        votes = (near & free.unsqueeze(1)).sum(-1) * free
        best = votes.argmax(1)
        taken = near[rows, best] & free
        share = taken.to(ends).mean(1)
        middle = (ends * taken.unsqueeze(-1)).sum(1) / taken.sum(1, keepdim=True)
        points.append(middle)  # 0 / 0, which is NaN, where nothing is left
        mass.append(share)
        free = free & ~taken
    return Modes(torch.stack(points, 1), torch.stack(mass, 1))
