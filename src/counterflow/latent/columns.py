"""Columns of values as users hand them in, as lists of Python's own values."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from counterflow.core.errors import ShapeError

__all__ = ["Columns", "Value", "named_columns", "plain_values", "spread"]

Value = bool | int | float | str | None
"""The value of an attribute; ``None`` where it is not known."""

Columns = dict[str, list[Value]]
"""The values of attributes by name, one for each row."""


def named_columns(values: Any) -> Mapping[str, Any] | None:
    """Read columns with names: those of a dictionary or a frame; ``None`` for anything else.

    Example:
        >>> named_columns({"smile": [True]}), named_columns([True])
        ({'smile': [True]}, None)
    """
    if isinstance(values, Mapping):
        return values
    if hasattr(values, "columns"):
        return {str(name): values[name] for name in values.columns}
    return None


def plain_values(column: Any, name: str) -> list[Value]:
    """Read a column, ``None`` for NaN; a single value becomes a column of one.

    Raises:
        ShapeError: There are several columns.

    Example:
        >>> plain_values([1.0, float("nan")], "size"), plain_values("yes", "smile")
        ([1.0, None], ['yes'])
    """
    as_list = getattr(column, "tolist", getattr(column, "to_list", None))
    values: Any = column if as_list is None else as_list()
    if isinstance(values, str) or not isinstance(values, Sequence):
        values = [values]
    if any(isinstance(value, Sequence) and not isinstance(value, str) for value in values):
        raise ShapeError(f"{name!r} must be one column of values, got several columns. Give each a name of its own.")
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def spread(column: Any, rows: int, name: str) -> list[Value]:
    """Read a column of so many rows, or one value for all of them.

    Raises:
        ShapeError: There is neither one value nor one for each row.

    Example:
        >>> spread(3, 2, "digit")
        [3, 3]
    """
    values = plain_values(column, name)
    if len(values) not in (1, rows):
        raise ShapeError(
            f"{name!r} must have one value, or one for each of {rows} rows, got {len(values)}. Give one column."
        )
    return values * rows if len(values) == 1 else values
