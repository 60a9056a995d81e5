"""Rows from files, with the types that the training table had."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.core.errors import DataError

if TYPE_CHECKING:
    import counterflow.tables

__all__ = ["read_rows", "with_columns"]


def read_rows(path: Path, schema: "counterflow.tables.Schema") -> Any:
    """Read rows; a column that a short file makes look like another type gets that of the training table.

    Args:
        path: CSV or Parquet.
        schema: The columns.

    Returns:
        A frame with all columns of the file.

    Raises:
        DataError: The file cannot be read, or does not fit the schema; the sentence names the file.
    """
    from counterflow.tables import TableCodec, read_table

    frame = _as_in_training(read_table(path), schema)
    try:
        TableCodec(schema).to_numbers(frame)
    except DataError as error:
        raise DataError(f"in '{path}', {error}") from error
    return frame


def with_columns(frame: Any, columns: dict[str, list[Any]]) -> Any:
    """A frame with some columns replaced, or added at its end.

    Example:
        >>> from counterflow.tables.frames import frame_of
        >>> with_columns(frame_of({"a": [1, 2]}, "pyarrow"), {"b": ["x", "y"]}).column_names
        ['a', 'b']
    """
    if hasattr(frame, "assign"):
        return frame.assign(**columns)
    from counterflow.tables.frames import arrow_array

    for name, values in columns.items():
        place = frame.schema.get_field_index(name)
        array = arrow_array(values)
        frame = frame.append_column(name, array) if place < 0 else frame.set_column(place, name, array)
    return frame


def _as_in_training(frame: Any, schema: "counterflow.tables.Schema") -> Any:
    """Numbers as broken numbers where the training table had these, and digits as text where it had text.

    A frame of one row cannot show that a column of 5 holds 5.25 elsewhere, or that a column of 12 is one of labels.
    """
    from counterflow.tables import Table

    table = Table(frame)
    present = [column for column in schema.columns if column.name in table.names]
    changed = {
        column.name: _converted(table.labels(column.name), column, table.dtype(column.name)) for column in present
    }
    changed = {name: values for name, values in changed.items() if values is not None}
    return with_columns(frame, changed) if changed else frame


def _converted(values: list[Any], column: "counterflow.tables.Column", found: str) -> list[Any] | None:
    """The values in the column's own type, or ``None`` where nothing is to be done."""
    whole = found.lstrip("U").startswith("Int")
    if column.dtype == "Float64" and whole:
        return [None if value is None else float(value) for value in values]
    if column.dtype == "String" and (whole or found == "Boolean"):
        spelled = {str(category).lower(): category for category in column.categories}
        return [None if value is None else spelled.get(str(value).lower(), str(value)) for value in values]
    return None
