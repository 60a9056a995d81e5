"""Frames and numbers: one float64 column for each column of the schema, and exactly back."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from counterflow.core.errors import DataError, ShapeError
from counterflow.tables.column import Column, Kind
from counterflow.tables.frames import Backend, empty_frame
from counterflow.tables.hints import did_you_mean, first_row, listed
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table

__all__ = ["TableCodec"]


class TableCodec:
    """Turns frames into numbers and back, exactly.

    The numbers are a float64 array (rows, columns of the schema, in its order). A continuous, integer or plain ordinal
    value is itself; a category is its position in ``column.categories``; an atom keeps its raw number (-9 stays -9, a
    missing number is NaN).

    Args:
        schema: The columns.

    Example:
        >>> from counterflow.tables import Column, Schema
        >>> codec = TableCodec(Schema((Column("x0"), Column("x1", "integer"))))
        >>> numbers = codec.to_numbers(np.array([[0.5, 2.0]]))
        >>> numbers.tolist(), codec.to_frame(numbers, backend="numpy").tolist()
        ([[0.5, 2.0]], [[0.5, 2.0]])
    """

    def __init__(self, schema: Schema) -> None:
        self.schema = schema
        self._positions = [_positions(column.categories) for column in schema.columns]

    def to_numbers(self, frame: Any) -> np.ndarray:
        """Read a frame, and check it on the way.

        Args:
            frame: A frame of any kind with at least the columns of the schema.

        Returns:
            The numbers: float64, (rows, columns).

        Raises:
            DataError: A column is missing, or a value is none that the schema knows; the sentence says where.
        """
        table = Table(frame)
        self._check_columns(table)
        columns = [self._column_to_numbers(table, position) for position in range(len(self.schema))]
        return np.stack(columns, axis=1)

    def _check_columns(self, table: Table) -> None:
        gone = [name for name in self.schema.names if name not in table.names]
        if gone:
            raise DataError(
                f"the table has no column {gone[0]!r}"
                + (f" (missing in all: {listed(gone)})" if len(gone) > 1 else "")
                + f", which the schema needs.{did_you_mean(gone[0], table.names)}"
            )
        if len(table) == 0:
            raise DataError("the table holds no rows: give at least one.")

    def _column_to_numbers(self, table: Table, position: int) -> np.ndarray:
        column = self.schema.columns[position]
        if column.labeled:
            return _find(column, table.labels(column.name), self._positions[position])
        numbers = table.numbers(column.name)
        _check_numbers(column, numbers)
        return numbers

    def missing_rows(self, frame: Any) -> np.ndarray:
        """Say which rows miss a value that the schema has no atom or category for: bool, (rows,)."""
        table = Table(frame)
        self._check_columns(table)
        missing = np.zeros(len(table), dtype=bool)
        for column in self.schema.columns:
            if not _knows_missing(column):
                missing |= np.array([value is None for value in table.labels(column.name)])
        return missing

    def to_frame(
        self,
        numbers: np.ndarray,
        like: Any = None,
        *,
        rows: Sequence[int] | np.ndarray | None = None,
        backend: Backend = "pandas",
    ) -> Any:
        """Write numbers as a frame.

        Args:
            numbers: (rows, columns), as :meth:`to_numbers` gives them.
            like: A frame that the result shall resemble: same kind, column order, types, index, and further columns
                untouched. A frame without rows lends its types alone.
            rows: Which row of ``like`` each row of ``numbers`` belongs to; by default each in turn. If the lengths then
                differ, the result has the columns of the schema alone.
            backend: The kind of frame if there is no ``like``.

        Returns:
            The frame.

        Raises:
            ShapeError: ``numbers`` has the wrong shape.
            DataError: A number stands for no value of its column.
        """
        numbers = np.asarray(numbers, dtype=np.float64)
        if numbers.ndim != 2 or numbers.shape[1] != len(self.schema):
            raise ShapeError(f"numbers must have shape (rows, {len(self.schema)}), got {numbers.shape}.")
        table = Table(self._empty(backend) if like is None else like)
        columns = {c.name: _to_values(c, numbers[:, position]) for position, c in enumerate(self.schema.columns)}
        if table.backend == "numpy" and like is None:
            return np.stack(list(columns.values()), axis=1)
        return table.rebuild(columns, None if rows is None else np.asarray(rows, dtype=np.int64))

    def _empty(self, backend: Backend) -> Any:
        return empty_frame(
            {column.name: column.dtype or _usual_dtype(column) for column in self.schema.columns}, backend
        )


def _positions(categories: Sequence[Any]) -> dict[Any, int]:
    return {category: position for position, category in enumerate(categories)}


def _usual_dtype(column: Column) -> str:
    known = [category for category in column.categories if category is not None]
    if known:
        return {bool: "Boolean", int: "Int64", float: "Float64"}.get(type(known[0]), "String")
    whole = column.kind is Kind.INTEGER and not any(atom.missing for atom in column.atoms)
    return "Int64" if whole and float(column.grid or 1).is_integer() else "Float64"


def _knows_missing(column: Column) -> bool:
    return None in column.categories if column.labeled else any(atom.missing for atom in column.atoms)


def _find(column: Column, labels: list[Any], positions: dict[Any, int]) -> np.ndarray:
    """The position of each label; the lookup is one dictionary access a row."""
    try:
        return np.array([positions[label] for label in labels], dtype=np.float64)
    except (KeyError, TypeError):
        pass
    bad = np.array([label not in positions if isinstance(label, str | int | float) or label is None else True
                    for label in labels])  # fmt: skip
    value = labels[int(bad.argmax())]
    if value is None:
        raise DataError(_missing_sentence(column, bad))
    raise DataError(
        f"column {column.name!r} holds {value!r} ({first_row(bad)}), which is none of its categories "
        f"{listed(column.categories)}.{did_you_mean(value, column.categories)} Correct the value or add the category."
    )


def _missing_sentence(column: Column, missing: np.ndarray) -> str:
    return (
        f"column {column.name!r} has missing values ({first_row(missing)}). Fill them, drop these rows, or infer the "
        "schema with missing='atom' (a missing value is a value of its own) or missing='drop'."
    )


def _check_numbers(column: Column, numbers: np.ndarray) -> None:
    if not _knows_missing(column) and (missing := np.isnan(numbers)).any():
        raise DataError(_missing_sentence(column, missing))
    if (infinite := np.isinf(numbers)).any():
        raise DataError(f"column {column.name!r} holds infinite numbers ({first_row(infinite)}). Replace these values.")
    if column.lattice and column.step is None and (broken := (numbers % 1 > 0) & ~_at_atom(column, numbers)).any():
        value = numbers[broken][0]
        raise DataError(
            f"column {column.name!r} is {column.kind}, but holds {value:g} ({first_row(broken)}). Round the value, "
            "or make the column continuous in the schema."
        )


def _at_atom(column: Column, numbers: np.ndarray) -> np.ndarray:
    return np.isin(numbers, [atom.value for atom in column.atoms]) | np.isnan(numbers)


def _to_values(column: Column, numbers: np.ndarray) -> list[Any] | np.ndarray:
    """One column of numbers as the values of the table."""
    if not column.labeled:
        _check_numbers(column, numbers)
        return numbers
    wrong = ~((numbers >= 0) & (numbers < len(column.categories)) & (numbers % 1 == 0))
    if wrong.any():
        raise DataError(
            f"{numbers[wrong][0]} is no position of a category of column {column.name!r}: project it first."
        )
    categories = np.empty(len(column.categories), dtype=object)
    categories[:] = column.categories
    return categories[numbers.astype(np.int64)].tolist()
