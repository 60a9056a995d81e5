"""Observations as cells around a few of them: what quick starts and the co-occurrence form look at."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.hmm.blocks import first_rows

__all__ = ["Cells", "count_pairs", "find_cells", "followed"]

_ROUNDS = 15
_ROWS = 20_000
_PROBES = 100_000
_AT_ONCE = 1 << 14


class Cells(NamedTuple):
    """Points, and how much room is nearer to each of them than to the others, within the range of the data.

    Args:
        centers: The points.
        log_volume: The logarithm of the room around each.
    """

    centers: Float[Tensor, "cells features"]
    log_volume: Float[Tensor, " cells"]

    def of(self, x: Float[Tensor, "rows features"]) -> Int[Tensor, " rows"]:
        """The cell of each point; any for one that was not observed."""
        return _nearest(x.nan_to_num(), self.centers)


def find_cells(x: Float[Tensor, "rows features"], count: int, *, generator: torch.Generator | None = None) -> Cells:
    """Find cells by k-means, from random observations.

    Their volumes are exact in one dimension and measured by uniform points in several.

    Args:
        x: Observations without NaN.
        count: How many cells, if there are as many different observations.
        generator: Where the randomness comes from.

    Returns:
        The cells.

    Reference:
        Lloyd, "Least squares quantization in PCM", 1982.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> cells = find_cells(torch.tensor([[0.0], [1.0], [4.0], [5.0]]), 2, generator=generator)
        >>> sorted(cells.centers.flatten().tolist()), cells.log_volume.exp().tolist()
        ([0.5, 4.5], [2.5, 2.5])
    """
    rows = x[torch.randperm(len(x), generator=generator)[:_ROWS]]
    different = rows.unique(dim=0)
    picked = torch.randperm(len(different), generator=generator)[:count]
    centers = different[picked]
    for _ in range(_ROUNDS):
        centers = _means(rows, _nearest(rows, centers), centers)
    order = centers[:, 0].argsort()
    return Cells(centers[order], _log_volume(centers[order], rows, generator))


def followed(lengths: Sequence[int], made: Bool[Tensor, " rows"]) -> Int[Tensor, " pairs"]:
    """The rows that were observed and whose next row, of the same sequence, was observed too.

    Example:
        >>> followed([2, 3], torch.tensor([True, True, True, True, False])).tolist()
        [0, 2]
    """
    both = made[:-1] & made[1:]
    both[first_rows(lengths)[1:] - 1] = False
    return both.nonzero()[:, 0]


def count_pairs(
    labels: Int[Tensor, " rows"], pairs: Int[Tensor, " pairs"], *, cells: int
) -> Float[Tensor, "cells cells"]:
    """Count how often an observation in one cell is followed by one in another.

    Example:
        >>> count_pairs(torch.tensor([0, 1, 1]), torch.tensor([0, 1]), cells=2).tolist()
        [[0.0, 1.0], [0.0, 1.0]]
    """
    both = labels[pairs] * cells + labels[pairs + 1]
    return torch.bincount(both, minlength=cells * cells).view(cells, cells).double()


def _nearest(x: Tensor, centers: Tensor) -> Tensor:
    return torch.cat([torch.cdist(part, centers).argmin(1) for part in x.split(_AT_ONCE)])


def _means(x: Tensor, labels: Tensor, centers: Tensor) -> Tensor:
    """The mean of each cell; a center without a cell stays where it is."""
    sums = torch.zeros_like(centers).index_add_(0, labels, x)
    counts = torch.bincount(labels, minlength=len(centers)).unsqueeze(1)
    return torch.where(counts > 0, sums / counts.clamp(min=1), centers)


def _log_volume(centers: Tensor, x: Tensor, generator: torch.Generator | None) -> Tensor:
    low, high = x.amin(0), x.amax(0)
    if centers.shape[1] == 1:
        borders = torch.cat((low, centers[:-1, 0].lerp(centers[1:, 0], 0.5), high))
        return borders.diff().clamp(min=torch.finfo(x.dtype).tiny).log()
    uniform = torch.rand((_PROBES, centers.shape[1]), generator=generator, dtype=x.dtype)
    hits = torch.bincount(_nearest(low + (high - low) * uniform, centers), minlength=len(centers))
    return ((hits + 0.5) / _PROBES).log() + (high - low).log().sum()
