"""Rows in the form that boosters take: a pandas frame with their columns, text as categories where they want that."""

from collections.abc import Sequence
from typing import Any

from counterflow.models.setting import pick
from counterflow.tables.frames import frame_of
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table

__all__ = ["pandas_columns", "table_names", "with_categories"]


def table_names(names: Sequence[str] | None, schema: Schema) -> list[str] | None:
    """The columns of the table that a booster reads, in its order; ``None`` if it knows them by position alone.

    Some libraries write blanks as underscores.
    """
    if names is None:
        return None
    spelled = {name.replace(" ", "_"): name for name in schema.names}
    positions = [f"Column_{position}" for position in range(len(schema))]
    if list(names) == positions and "Column_0" not in schema.names:
        return None
    return [spelled.get(name, name) for name in names]


def pandas_columns(frame: Any, names: Sequence[str], reader: str) -> Any:
    """Some columns of a frame of any kind, in the given order, as a pandas frame.

    Args:
        frame: The rows.
        names: The columns.
        reader: Who needs them, for the sentence.

    Returns:
        The columns; a pandas frame keeps its types.

    Raises:
        ModelError: If one is missing.
        MissingExtra: If pandas is not installed.
    """
    table = Table(pick(frame, list(names), reader))
    if table.backend == "pandas":
        return table.native
    return frame_of({name: _values(table, name) for name in names}, "pandas")


def with_categories(columns: Any) -> Any:
    """A pandas frame in which columns of text are categorical; a frame of another kind as it is."""
    table = Table(columns)
    if table.backend != "pandas":
        return columns
    text = [name for name in table.names if table.dtype(name) in ("String", "Object")]
    return columns.assign(**{name: columns[name].astype("category") for name in text}) if text else columns


def _values(table: Table, name: str) -> list[Any]:
    is_label = table.dtype(name) in ("String", "Object", "Categorical", "Enum")
    return table.labels(name) if is_label else table.numbers(name).tolist()
