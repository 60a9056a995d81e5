"""The grid of legal values of every column: whole numbers, multiples of a step, the decimals that the data have."""

from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.tables.schema import Schema

__all__ = ["Grid"]


class Grid(nn.Module):
    """Rounds numbers to the values that their columns can hold.

    A column's grid is the set of multiples of ``column.grid``, written as a fraction p/q so that a result is the very
    float64 that the decimal number parses to. Columns without a grid stay as they are; those that a table stores as
    float32 are rounded to what float32 can hold.

    Args:
        schema: The columns.

    Example:
        >>> from counterflow.tables import Column
        >>> grid = Grid(Schema((Column("price", decimals=2), Column("rooms", "integer"))))
        >>> grid.snap(torch.tensor([0.30000000004, 2.6], dtype=torch.float64)).tolist()
        [0.3, 3.0]
    """

    numerator: Tensor
    denominator: Tensor
    single: Tensor

    def __init__(self, schema: Schema) -> None:
        super().__init__()
        parts = [_fraction(1.0 if column.labeled else column.grid) for column in schema.columns]
        numerators = torch.tensor([float(part.numerator) for part in parts], dtype=torch.float64)
        denominators = torch.tensor([float(part.denominator) for part in parts], dtype=torch.float64)
        single = torch.tensor([column.dtype == "Float32" and not column.labeled for column in schema.columns])
        self.register_buffer("numerator", numerators, persistent=False)
        self.register_buffer("denominator", denominators, persistent=False)
        self.register_buffer("single", single, persistent=False)

    def snap(self, numbers: Float[Tensor, "*batch columns"]) -> Float[Tensor, "*batch columns"]:
        """Round to the nearest legal value; NaN stays NaN."""
        return self._store(self._on_grid(numbers, torch.round(self._steps(numbers)), numbers))

    def ceil(self, numbers: Float[Tensor, "*batch columns"]) -> Float[Tensor, "*batch columns"]:
        """Round up to a legal value; a number within a billionth of a step of one is that one."""
        up = self._on_grid(numbers, torch.ceil(self._steps(numbers) - 1e-9), numbers)
        return self._inward(up, towards=torch.inf)

    def floor(self, numbers: Float[Tensor, "*batch columns"]) -> Float[Tensor, "*batch columns"]:
        """Round down to a legal value; a number within a billionth of a step of one is that one."""
        down = self._on_grid(numbers, torch.floor(self._steps(numbers) + 1e-9), numbers)
        return self._inward(down, towards=-torch.inf)

    def _steps(self, numbers: Tensor) -> Tensor:
        return numbers * self.denominator.to(numbers.dtype) / self.numerator.to(numbers.dtype).clamp(min=1.0)

    def _on_grid(self, numbers: Tensor, steps: Tensor, otherwise: Tensor) -> Tensor:
        rounded = steps * self.numerator.to(numbers.dtype) / self.denominator.to(numbers.dtype)
        return torch.where(self.numerator > 0, rounded + 0.0, otherwise)  # no negative zero

    def _inward(self, numbers: Tensor, *, towards: float) -> Tensor:
        """A bound as float32 can hold it, not rounded outward."""
        stored = numbers.to(torch.float32)
        outside = (stored.to(numbers.dtype) < numbers) if towards > 0 else (stored.to(numbers.dtype) > numbers)
        inward = torch.where(outside, torch.nextafter(stored, torch.full_like(stored, towards)), stored)
        return torch.where(self.single, inward.to(numbers.dtype), numbers)

    def _store(self, numbers: Tensor) -> Tensor:
        return torch.where(self.single, numbers.to(torch.float32).to(numbers.dtype), numbers)


def _fraction(grid: float | None) -> Fraction:
    """The spacing as a fraction; zero for no grid."""
    return Fraction(0) if grid is None else Fraction(repr(float(grid)))
