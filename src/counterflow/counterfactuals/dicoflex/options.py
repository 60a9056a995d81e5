r"""A row as choices: each column keeps its value or takes one that the table has shown.

Seen from a factual row x, every column offers *options*. Option 0 keeps the value, bit by bit. A category, a special
code, an inflated and a frequent value are an option each; all other numbers lie in bins between quantiles. A row x' is
then the point :math:`t \in \mathbb{R}^d` whose coordinate is the number of the option plus where in it the value lies,
in [0, 1): by uniform noise where there is nothing to say. With the density q of that point,

.. math:: p(x' \mid x) = \mathbb{E}_r [ q(t) ] \prod_j w_j

where w is 1 for what is kept or counted, 1 / width in a bin of measured numbers, and step / width in one of whole ones.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from counterflow.tables import Column, Rules, Schema
from counterflow.tables.grid import Grid

__all__ = ["Options"]

_TAILS = (0.001, 0.005, 0.02, 0.98, 0.995, 0.999)
_LAST_SHARE = 1 - 1e-4  # so far from the next whole number that float32 keeps them apart

End = tuple[float, float]


class Options(nn.Module):
    """The options of all columns in turn, each with a lower and an upper end (equal for a single value).

    Args:
        schema: The columns.
        tables: ``low`` and ``high`` of every option, and the ``count`` of each column; :meth:`measure` makes them.

    Example:
        >>> schema = Schema((Column("age", "integer"), Column("home", "binary", categories=("own", "rent"))))
        >>> rows = torch.tensor([[20.0, 0.0], [30.0, 1.0], [40.0, 1.0]], dtype=torch.float64)
        >>> options = Options.measure(schema, rows, bins=3)
        >>> t, _ = options.encode(rows[:1], rows[1:2], torch.full((1, 2), 0.5))
        >>> options.sizes, t.floor().tolist(), options.decode(t, rows[:1]).tolist()
        ((4, 3), [[2.0, 2.0]], [[30.0, 1.0]])
    """

    low: Tensor
    high: Tensor
    count: Tensor
    step: Tensor
    first: Tensor
    column: Tensor
    atoms: Tensor
    binned: Tensor

    def __init__(self, schema: Schema, tables: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.schema = schema
        self.grid = Grid(schema)
        for name in ("low", "high", "count"):
            self.register_buffer(name, tables[name].clone())
        self.sizes: tuple[int, ...] = tuple(self.count.tolist())
        columns = schema.columns
        derived = {
            "step": torch.tensor([_step(column) for column in columns], dtype=torch.float64),
            "first": torch.tensor([0, *np.cumsum(self.sizes)[:-1].tolist()]),
            "column": torch.arange(len(schema)).repeat_interleave(self.count),
            "atoms": torch.tensor([len(column.atoms) for column in columns]),
        }
        place = torch.arange(len(self.low)) - derived["first"][derived["column"]]
        labeled = torch.tensor([column.labeled for column in columns])[derived["column"]]
        derived["binned"] = ~labeled & (place > derived["atoms"][derived["column"]])
        for name, tensor in derived.items():
            self.register_buffer(name, tensor, persistent=False)

    @classmethod
    def measure(cls, schema: Schema, numbers: Float[Tensor, "rows columns"], *, bins: int) -> "Options":
        """Read the options off a table: categories, atoms, and the range of the numbers that it shows."""
        ends = [_ends_of(column, numbers[:, place].numpy(), bins) for place, column in enumerate(schema.columns)]
        flat = torch.tensor([end for each in ends for end in ((math.nan, math.nan), *each)], dtype=torch.float64)
        count = torch.tensor([1 + len(each) for each in ends])
        return cls(schema, {"low": flat[:, 0], "high": flat[:, 1], "count": count})

    @property
    def total(self) -> int:
        """How many options there are in all."""
        return len(self.low)

    def encode(
        self,
        factuals: Float[Tensor, "*rows columns"],
        numbers: Float[Tensor, "*rows columns"],
        noise: Float[Tensor, "*rows columns"],
    ) -> tuple[Float[Tensor, "*rows columns"], Float[Tensor, "*rows"]]:
        """Rows as points seen from their factuals, and the logarithm of the product of their weights w."""
        option, kept = self.option_of(numbers), _same(factuals, numbers)
        low, width = self._ends(option)
        wide = (width > 0) & ~kept
        inside = (numbers - low + self.step * (noise - 0.5)) / torch.where(wide, width, 1.0)
        share = torch.where(wide, inside, noise).clamp(0.0, _LAST_SHARE)
        weight = (torch.where(self.step > 0, self.step, 1.0) / torch.where(wide, width, 1.0)).log()
        return torch.where(kept, 0, option) + share, torch.where(wide, weight, 0.0).sum(-1)

    def option_of(self, numbers: Float[Tensor, "*rows columns"]) -> Int[Tensor, "*rows columns"]:
        """The option that each value lies in, from 1; a number beyond those of the table goes to the nearest."""
        places = [self._option_of(place, numbers[..., place]) for place in range(len(self.schema))]
        return torch.stack(places, -1)

    def ranks(self, numbers: Float[Tensor, "*rows columns"]) -> Float[Tensor, "*rows columns"]:
        """Where each value stands among the options of its column, from about -1 to 1."""
        points, _ = self.encode(torch.full_like(numbers, math.inf), numbers, torch.full_like(numbers, 0.5))
        return 2 * points / self.count - 1

    def decode(
        self,
        points: Float[Tensor, "*draws columns"],
        factuals: Float[Tensor, "*rows columns"],
        *,
        rules: Rules | None = None,
    ) -> Float[Tensor, "*draws columns"]:
        """Points as rows: what is kept bit by bit, what is new on the grid of its column.

        Args:
            points: Such as :meth:`encode` gives, with any dimensions before those of the factuals.
            factuals: The rows that they are seen from.
            rules: The rules of these rows: a bin that a limit cuts through is used as far as it is legal.
        """
        option = points.floor()
        low, width = self._ends(option.long())
        wide, high = width > 0, low + width
        if rules is not None:
            low = torch.where(wide, torch.maximum(low, rules.strict_lower - self.step / 2), low)
            high = torch.where(wide, torch.minimum(high, rules.strict_upper + self.step / 2), high)
        value = torch.lerp(low, high, (points - option).double())
        return torch.where(option == 0, factuals, torch.where(wide, self.grid.snap(value), low))

    def allowed(
        self, rules: Rules, *, locked: Bool[Tensor, "rows columns"] | None = None
    ) -> Bool[Tensor, "rows options"]:
        """Which options each row may take under its rules; to keep a value is always allowed, and if locked alone."""
        column, factual, half = self.column, rules.factual, self.step[self.column] / 2
        lowest, highest = self.low + half, self.high - half
        inside = (lowest <= rules.strict_upper[:, column]) & (highest >= rules.strict_lower[:, column])
        own = (lowest == factual[:, column]) & (highest == factual[:, column])
        may = self.binned & rules.movable[:, column] & inside & ~own
        labeled = rules.category_column
        may[:, self.first[labeled] + 1 + rules.category_index] = rules.may_take & (
            factual[:, labeled] != rules.category_index
        )
        home = _same(factual[:, rules.atom_column], rules.atom_value)
        may[:, self._is_atom()] = rules.may_land & ~home
        if locked is not None:
            may &= ~locked[:, column]
        may[:, self.first] = True
        return may

    def _is_atom(self) -> Tensor:
        place = torch.arange(self.total) - self.first[self.column]
        return (place > 0) & (place <= self.atoms[self.column])

    def _ends(self, option: Tensor) -> tuple[Tensor, Tensor]:
        """The lower end and the width of options."""
        index = self.first + option
        low = self.low[index]
        return low, self.high[index] - low

    def _option_of(self, place: int, values: Tensor) -> Tensor:
        column, start = self.schema.columns[place], int(self.first[place])
        if column.labeled:
            return 1 + values.long()
        atoms = len(column.atoms)
        lows = self.low[start + 1 + atoms : start + self.sizes[place]]
        option = torch.searchsorted(lows, values.contiguous(), right=True).clamp(1, max(len(lows), 1)) + atoms
        for index, atom in enumerate(column.atoms, start=1):
            option = torch.where(values.isnan() if atom.missing else values == atom.value, index, option)
        return option


def _step(column: Column) -> float:
    """The spacing of whole numbers; 0 for measured ones and for labels."""
    return float(column.grid or 0.0) if column.lattice and not column.labeled else 0.0


def _ends_of(column: Column, values: np.ndarray, bins: int) -> list[End]:
    """The ends of a column's options after the first."""
    if column.labeled:
        return [(float(place), float(place)) for place in range(len(column.categories))]
    atoms = [(float(atom.value), float(atom.value)) for atom in column.atoms]
    ordinary = values[~np.isnan(values) & ~np.isin(values, [atom.value for atom in column.atoms])]
    return [*atoms, *_bins_of(ordinary, bins, step=_step(column))]


def _bins_of(values: np.ndarray, bins: int, *, step: float) -> list[End]:
    """Groups of neighboring values with about equal shares of the table, finer in the tails; frequent values alone."""
    unique, counts = np.unique(values, return_counts=True)
    if not len(unique):
        return []
    middle = (np.cumsum(counts) - counts / 2) / len(values)
    cuts = np.unique([*np.linspace(0, 1, bins + 1)[1:-1], *_TAILS])
    alone = counts >= len(values) / bins
    group = np.searchsorted(cuts, middle)
    begins = np.concatenate([[True], (np.diff(group) > 0) | alone[1:] | alone[:-1]])
    first = np.flatnonzero(begins)
    last = np.append(first[1:], len(unique)) - 1
    return [(float(a - step / 2), float(b + step / 2)) for a, b in zip(unique[first], unique[last], strict=True)]


def _same(a: Tensor, b: Tensor) -> Tensor:
    """Equal, where a missing value equals a missing value."""
    return (a == b) | (a.isnan() & b.isnan())
