"""The numbers of a table as a model reads them: standardized, with an indicator for each category and special code."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterflow.tables.schema import Schema

__all__ = ["TableFeatures", "ordinary_rows", "standard_units"]


class TableFeatures(nn.Module):
    r"""The features :math:`\phi(x)` of a row: its numbers, then one indicator for each category and each atom.

    A number enters standardized; at an atom it enters as its mean, and the atom has an indicator of its own, so that
    -9 is not read as "nine less than nothing".

    Args:
        schema: The columns.
        center: What counts as the middle of each column.
        scale: What counts as its unit.

    Example:
        >>> from counterflow.tables import Atom, Column
        >>> schema = Schema((Column("debt", atoms=(Atom(-9.0),)), Column("home", "binary", categories=("own", "rent"))))
        >>> features = TableFeatures(schema, torch.tensor([100.0, 0.0]), torch.tensor([50.0, 1.0]))
        >>> features(torch.tensor([[200.0, 0.0], [-9.0, 1.0]])).tolist()
        [[2.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """

    center: Tensor
    scale: Tensor
    numeric: Tensor
    level_column: Tensor
    level_value: Tensor

    def __init__(self, schema: Schema, center: Float[Tensor, " columns"], scale: Float[Tensor, " columns"]) -> None:
        super().__init__()
        levels = _levels(schema)
        self.register_buffer("center", center.double())
        self.register_buffer("scale", scale.double())
        numeric = torch.tensor([not column.labeled for column in schema.columns])
        self.register_buffer("numeric", numeric, persistent=False)
        self.register_buffer("level_column", torch.tensor([c for c, _ in levels], dtype=torch.long), persistent=False)
        values = torch.tensor([value for _, value in levels], dtype=torch.float64)
        self.register_buffer("level_value", values, persistent=False)

    @property
    def count(self) -> int:
        """How many features there are."""
        return int(self.numeric.sum()) + len(self.level_column)

    def forward(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows features"]:
        """The features, differentiable in the numbers."""
        units, _, hits = self.parts(numbers)
        return torch.cat((units[:, self.numeric], hits), 1)

    def parts(
        self, numbers: Float[Tensor, "rows columns"]
    ) -> tuple[Float[Tensor, "rows columns"], Bool[Tensor, "rows columns"], Float[Tensor, "rows levels"]]:
        """The standardized numbers (0 where they are none), where they are ordinary numbers, and the indicators."""
        picked = numbers[:, self.level_column]
        hits = (picked == self.level_value) | (picked.isnan() & self.level_value.isnan())
        special = torch.zeros_like(numbers).index_add(1, self.level_column, hits.to(numbers.dtype)) > 0
        ordinary = ~special & self.numeric
        units = (numbers - self.center) / self.scale
        return torch.where(ordinary, units, torch.zeros_like(units)), ordinary, hits.to(numbers.dtype)


def ordinary_rows(schema: Schema, numbers: Float[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    """Which entries are ordinary numbers: no atom, not missing, and in no column of labels."""
    ordinary = ~numbers.isnan()
    for position, column in enumerate(schema.columns):
        values = torch.tensor([atom.value for atom in column.atoms], dtype=numbers.dtype)
        ordinary[:, position] &= ~torch.isin(numbers[:, position], values) & (not column.labeled)
    return ordinary


def standard_units(
    schema: Schema, numbers: Float[Tensor, "rows columns"]
) -> tuple[Float[Tensor, " columns"], Float[Tensor, " columns"]]:
    """Mean and deviation of the ordinary numbers of each column; 0 and 1 where there are none.

    Args:
        schema: The columns.
        numbers: Rows in the codec's form.

    Returns:
        The means, and the deviations (1 for a constant).
    """
    ordinary = ordinary_rows(schema, numbers)
    count = ordinary.sum(0).clamp(min=1)
    center = torch.where(ordinary, numbers, 0.0).sum(0) / count
    variance = torch.where(ordinary, (numbers - center).square(), 0.0).sum(0) / count
    return center, torch.where(variance > 0, variance.sqrt(), 1.0)


def _levels(schema: Schema) -> list[tuple[int, float]]:
    """The column and the number of every category and atom."""
    return [
        (position, float(value))
        for position, column in enumerate(schema.columns)
        for value in (*range(len(column.categories)), *(atom.value for atom in column.atoms))
    ]
