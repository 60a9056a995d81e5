r"""The nearest rows of a table under a distance that any exponent and any set of protected columns may change.

.. math:: d_{p,m}(x, x') = a \sum_j m_j |x_j - x'_j|^p + \sum_j (1 - m_j) |x_j - x'_j|^p

with :math:`m_j = 1` for a protected column and :math:`a \gg 1`. Numbers are taken in standardized units; two different
categories are 1 apart, and so are a special code and anything else.
"""

from collections.abc import Iterator

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.tables import Schema

__all__ = ["Neighbors"]

_ENTRIES_AT_ONCE = 2**19
"""So many distances are held at once, whatever the number of rows: they stay in the processor's cache."""


class Neighbors:
    """A pool of rows, ready to be searched; distances are computed in chunks and never held all at once.

    Args:
        schema: The columns.
        pool: The rows that may be neighbors, in the codec's form.
        scale: The standardized unit of each column.
        weight: a, how much more a protected column counts, above 0.

    Example:
        >>> from counterflow.tables import Column
        >>> schema = Schema((Column("age"), Column("home", "binary", categories=("own", "rent"))))
        >>> pool = torch.tensor([[1.0, 0.0], [3.0, 1.0]], dtype=torch.float64)
        >>> near = Neighbors(schema, pool, scale=torch.ones(2))
        >>> row = torch.tensor([[0.0, 1.0]], dtype=torch.float64)
        >>> free, locked = torch.tensor([[False, False]]), torch.tensor([[False, True]])
        >>> [near.find(row, locked=mask, norm=1.0, count=1)[1].item() for mask in (free, locked)]
        [0, 1]
    """

    def __init__(
        self,
        schema: Schema,
        pool: Float[Tensor, "pool columns"],
        *,
        scale: Float[Tensor, " columns"],
        weight: float = 1000.0,
    ) -> None:
        if not weight > 0:
            raise ArgumentError(f"weight must be above 0, got {weight}.")
        self.schema = schema
        self.weight = weight
        self._scale = scale
        self._numeric = [place for place, column in enumerate(schema.columns) if column.numeric]
        self._values, self._kinds = self._split(pool)
        self._sizes = (self._kinds.amax(0) + 1).tolist() if len(pool) else []
        self._one_hot = self._indicators(self._kinds)

    def __len__(self) -> int:
        return len(self._values)

    def find(
        self,
        rows: Float[Tensor, "rows columns"],
        *,
        locked: Bool[Tensor, "rows columns"],
        norm: float,
        count: int,
    ) -> tuple[Float[Tensor, "rows count"], Int[Tensor, "rows count"]]:
        """The nearest rows of the pool, nearest first.

        Args:
            rows: Where to search from.
            locked: Which columns of each are protected.
            norm: The exponent p, above 0.
            count: How many; no more than the pool has.

        Returns:
            Their distances (float32 arithmetic) and their positions in the pool.

        Raises:
            ArgumentError: The exponent is not above 0, or the pool has fewer rows.
        """
        if not norm > 0:
            raise ArgumentError(f"norm must be above 0, got {norm}.")
        if not 0 < count <= len(self):
            raise ArgumentError(f"count must lie in 1..{len(self)}, the rows of the pool, got {count}.")
        found = [each.topk(count, largest=False) for each in self.distances(rows, locked=locked, norm=norm)]
        return torch.cat([each.values for each in found]), torch.cat([each.indices for each in found])

    def distances(
        self, rows: Float[Tensor, "rows columns"], *, locked: Bool[Tensor, "rows columns"], norm: float
    ) -> Iterator[Float[Tensor, "_ pool"]]:
        """The distances to all rows of the pool, a few rows at a time."""
        chunk = max(1, _ENTRIES_AT_ONCE // max(1, len(self)))
        weights = torch.where(locked, self.weight, 1.0).float()
        values, kinds = self._split(rows)
        for part in torch.arange(len(rows)).split(chunk):
            yield self._chunk(values[part], kinds[part], weights[part], norm)

    def _chunk(self, values: Tensor, kinds: Tensor, weights: Tensor, norm: float) -> Tensor:
        """The unequal kinds of all columns in one product of matrices, then the numbers column by column."""
        own = self._indicators(kinds) * weights.repeat_interleave(torch.tensor(self._sizes), 1)
        total = torch.addmm(weights.sum(1, keepdim=True), own, self._one_hot.T, alpha=-1).clamp_(min=0.0)
        for place, column in enumerate(self._numeric):
            gap = (values[:, place, None] - self._values[None, :, place]).abs_()
            if self.schema.columns[column].atoms:  # where one is a code, the kinds have been counted already
                gap *= (kinds[:, column, None] == 0) & (self._kinds[None, :, column] == 0)
            total += _power(gap, norm).mul_(weights[:, column, None])
        return total

    def _split(self, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """Standardized numbers (0 at a code), and the kind of each entry: its category, or which code it is."""
        kinds = torch.zeros(numbers.shape, dtype=torch.long)
        for place, column in enumerate(self.schema.columns):
            if column.numeric:
                for code, atom in enumerate((a for a in column.atoms if a.kind == "code"), start=1):
                    values = numbers[:, place]
                    kinds[values.isnan() if atom.missing else values == atom.value, place] = code
            else:
                kinds[:, place] = numbers[:, place].long()
        values = torch.where(kinds > 0, 0.0, numbers / self._scale)[:, self._numeric]
        return values.float(), kinds

    def _indicators(self, kinds: Tensor) -> Tensor:
        """One-hot kinds; a kind that the pool has not is like none of its rows."""
        parts = [kinds[:, place, None] == torch.arange(size) for place, size in enumerate(self._sizes)]
        return torch.cat(parts, 1).float()


def _power(gap: Tensor, norm: float) -> Tensor:
    """The power of numbers at least 0, in place; 0 stays 0."""
    if norm == 1:
        return gap
    return gap.square_() if norm == 2 else gap.sqrt_() if norm == 0.5 else gap.pow_(norm)
