"""Rows that no table holds but a search may visit: mixtures of rows, and numbers shaken on their grid."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.models.table_features import ordinary_rows
from counterflow.tables.grid import Grid
from counterflow.tables.schema import Schema

__all__ = ["made_up_rows"]

_SWAPPED = (0.05, 0.5)
_SHAKEN = 0.3
_SHAKES = (0.05, 1.0)


def made_up_rows(
    schema: Schema,
    numbers: Float[Tensor, "rows columns"],
    *,
    count: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "count columns"], Int[Tensor, " count"]]:
    """Make up rows around those of a table.

    Each begins as a row of the table. Another row lends it some of its columns (between 5% and 50%, another share for
    every row), and some of its numbers are moved by up to about one deviation, another length for every row. So most
    lie between rows of the table and some beyond, as the candidates of a search do. All are rows that a table can hold:
    categories that exist, numbers on their grid and inside what the table has.

    Args:
        schema: The columns.
        numbers: Rows of the table, in the codec's form.
        count: How many to make.
        generator: Where the choices come from.

    Returns:
        The rows, and the row of the table that each began as.

    Example:
        >>> from counterflow.tables import Column
        >>> rows = torch.arange(20.0, dtype=torch.float64)[:, None].repeat(1, 2)
        >>> schema = Schema((Column("a"), Column("b", "integer")))
        >>> made, begun = made_up_rows(schema, rows, count=50, generator=torch.Generator().manual_seed(0))
        >>> made.shape, bool((made[:, 1] % 1 == 0).all()), bool((made >= 0).all() & (made <= 19).all())
        (torch.Size([50, 2]), True, True)
    """
    first, second = torch.randint(len(numbers), (2, count), generator=generator)
    mixed = torch.where(_chosen(_SWAPPED, count, numbers, generator), numbers[second], numbers[first])
    return _shaken(schema, numbers, mixed, generator), first


def _chosen(shares: tuple[float, float], count: int, numbers: Tensor, generator: torch.Generator) -> Tensor:
    """Entries of ``count`` rows, another share of them in each row."""
    low, high = shares
    share = low + (high - low) * torch.rand(count, 1, generator=generator)
    return torch.rand(count, numbers.shape[1], generator=generator) < share


def _shaken(schema: Schema, numbers: Tensor, mixed: Tensor, generator: torch.Generator) -> Tensor:
    """The mixed rows with some ordinary numbers moved, on their grid and inside the table's range."""
    ordinary = ordinary_rows(schema, numbers)
    low = torch.where(ordinary, numbers, torch.inf).amin(0)
    high = torch.where(ordinary, numbers, -torch.inf).amax(0)
    spread = _spread(numbers, ordinary)
    low_log, high_log = torch.tensor(_SHAKES, dtype=numbers.dtype).log()
    length = (low_log + (high_log - low_log) * torch.rand(len(mixed), 1, generator=generator).double()).exp()
    step = length * spread * torch.randn(mixed.shape, generator=generator, dtype=numbers.dtype)
    moved = torch.minimum(torch.maximum(Grid(schema).snap(mixed + step), low), high)
    moving = ordinary_rows(schema, mixed) & (torch.rand(mixed.shape, generator=generator) < _SHAKEN)
    return torch.where(moving, moved, mixed)


def _spread(numbers: Tensor, ordinary: Tensor) -> Tensor:
    """The deviation of each column's ordinary numbers."""
    values = torch.where(ordinary, numbers, torch.nan)
    gaps = (values - values.nanmean(0)).square()
    return gaps.nanmean(0).sqrt().nan_to_num(0.0)
