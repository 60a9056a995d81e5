"""The schema that a density reads off a table: that of the table, without limits on what may be drawn."""

from dataclasses import replace
from typing import Any

import numpy as np

from counterflow.tables import Column, Kind, Schema

__all__ = ["density_schema"]


def density_schema(X: Any) -> Schema:
    """Infer a schema and forget the largest and smallest values seen.

    A density goes on beyond them, and made-up rows clamped to them would repeat the extremes of real ones. What stays:
    a column without negative numbers has none drawn, a column with a mass on one value keeps its bounds, and a whole
    number fits its type.

    Args:
        X: A frame of any kind or an array.

    Returns:
        The schema.

    Raises:
        DataError: The table is empty, misses values, or has a column that is no feature.

    Example:
        >>> schema = density_schema(np.array([[0.5, -1.5], [2.5, 3.5], [7.5, 0.0]]))
        >>> [(column.lower, column.upper) for column in schema.columns]
        [(0, None), (None, None)]
    """
    schema = Schema.infer(X)
    return replace(schema, columns=[_opened(column) for column in schema.columns])


def _opened(column: Column) -> Column:
    if column.labeled or any(atom.kind == "inflation" for atom in column.atoms):
        return column
    smallest, largest = _limits(column)
    lower = 0 if column.lower is not None and column.lower >= 0 else smallest
    return replace(column, lower=lower, upper=largest)


def _limits(column: Column) -> tuple[int | None, int | None]:
    """The numbers that a column of whole numbers can hold; ``None`` for no limit worth a name."""
    kind = (column.dtype or "").lower()
    if column.kind is not Kind.INTEGER or kind not in ("int8", "int16", "int32", "uint8", "uint16", "uint32"):
        return None, None
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)
