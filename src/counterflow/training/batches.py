"""Rows that stay on the device, dealt out in a new order every epoch."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Array", "Augment", "Batch", "TensorBatches", "augmented"]

Array = Tensor | np.ndarray
"""What users hand in as data."""

Augment = Callable[[Tensor, torch.Generator], tuple[Tensor, Tensor | float]]
"""``augment(x, generator) -> (x', log_weight)``: fresh noise for a batch, and what it adds to the log-density."""


class Batch(NamedTuple):
    """Some rows: points, contexts, their weights in the loss, and what augmentation adds to their log-density."""

    x: Tensor
    context: Tensor | None = None
    weights: Tensor | None = None
    log_weight: Tensor | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        """The batch with every column that it has changed in the same way."""
        return Batch(change(self.x), *(None if column is None else change(column) for column in self[1:]))


class TensorBatches:
    """Call it with a generator for one epoch of batches in a new random order.

    All batches have the same size, the largest of at most ``batch_size`` that cuts the rows evenly; the few rows that
    remain (fewer than there are batches, others in every epoch) sit the epoch out. So no batch is ever tiny, and the
    shape never changes.

    Args:
        rows: All rows, on the device that trains.
        batch_size: The most rows of a batch.
        augment: Replaces the points of each batch, for example by dequantized ones.
        dtype: The dtype of augmented points.

    Example:
        >>> batches = TensorBatches(Batch(torch.arange(10.0)), 4)
        >>> [len(batch.x) for batch in batches(torch.Generator().manual_seed(0))]
        [3, 3, 3]
    """

    def __init__(
        self, rows: Batch, batch_size: int, *, augment: Augment | None = None, dtype: torch.dtype = torch.float32
    ) -> None:
        self._rows = rows
        self._augment = augment
        self._dtype = dtype
        self.count = -(-len(rows.x) // batch_size)
        self.size = len(rows.x) // self.count

    def __call__(self, generator: torch.Generator) -> Iterator[Batch]:
        """Deal the batches of one epoch."""
        order = torch.randperm(len(self._rows.x), generator=generator, device=generator.device)
        for chosen in order.to(self._rows.x.device)[: self.count * self.size].split(self.size):
            batch = self._rows.each(lambda column, chosen=chosen: column.index_select(0, chosen))
            yield batch if self._augment is None else augmented(batch, self._augment, generator, self._dtype)


def augmented(batch: Batch, augment: Augment, generator: torch.Generator, dtype: torch.dtype) -> Batch:
    """The batch with points and log-weights from ``augment``."""
    x, log_weight = augment(batch.x, generator)
    log_weight = torch.as_tensor(log_weight, dtype=dtype, device=x.device).expand(len(x))
    return batch._replace(x=x.to(dtype), log_weight=log_weight)
