"""One view of a frame of any kind, and a way back to a frame of the same kind."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from counterflow.core.errors import DataError
from counterflow.tables.frames import (
    Backend,
    arrow_array,
    arrow_labels,
    backend_of,
    is_dictionary,
    missing_row,
    open_frame,
    series_numbers,
)
from counterflow.tables.hints import did_you_mean, first_row

__all__ = ["Table", "take_rows"]

LARGEST_EXACT = 2.0**53


class Table:
    """The columns of a frame as plain values, and a frame of the same kind from other values.

    Args:
        native: A pandas or polars DataFrame, a pyarrow Table, or a two-dimensional array (columns x0, x1, ...).

    Raises:
        DataError: It is no frame, or two columns have one name.

    Example:
        >>> table = Table(np.array([[1.0, 2.0], [3.0, 4.0]]))
        >>> table.names, table.numbers("x1").tolist()
        (['x0', 'x1'], [2.0, 4.0])
        >>> table.rebuild({"x1": np.array([7.0, 8.0])}).tolist()
        [[1.0, 7.0], [3.0, 8.0]]
    """

    def __init__(self, native: Any) -> None:
        self.native = native
        self.backend: Backend = backend_of(native)
        if self.backend == "numpy" and native.ndim != 2:
            raise DataError(f"an array must have two dimensions (rows, columns), got shape {native.shape}.")
        self.names = self._names()
        doubled = sorted({name for name in self.names if self.names.count(name) > 1})
        if doubled:
            raise DataError(f"column {doubled[0]!r} stands twice in the table. Rename or drop one of them.")

    def _names(self) -> list[str]:
        if self.backend == "numpy":
            return [f"x{position}" for position in range(self.native.shape[1])]
        return [str(name) for name in (self.native.column_names if self.backend == "pyarrow" else self.native.columns)]

    def __len__(self) -> int:
        return self.native.num_rows if self.backend == "pyarrow" else len(self.native)

    @cached_property
    def _frame(self) -> Any:
        return open_frame(self.native, self.names)

    def series(self, name: str) -> Any:
        """One column as a narwhals series.

        Raises:
            DataError: There is no such column; the sentence suggests the nearest name.
        """
        if name not in self.names:
            raise DataError(f"the table has no column {name!r}.{did_you_mean(name, self.names)}")
        return self._frame[name]

    def dtype(self, name: str) -> str:
        """The type of a column by narwhals' name: ``"Int64"``, ``"Float32"``, ``"String"``, ``"Categorical"`` ..."""
        return str(self.series(name).dtype).partition("(")[0]

    def declared_categories(self, name: str) -> list[Any] | None:
        """The categories that a type lists (categoricals of pandas, Enums of polars), in order; else ``None``."""
        if self.backend in ("numpy", "pyarrow") or self.dtype(name) not in ("Categorical", "Enum"):
            return None
        dtypes = self.native.dtypes
        dtype = (dtypes.iloc if self.backend == "pandas" else dtypes)[self.names.index(name)]
        listed = getattr(dtype, "categories", None)
        return None if listed is None or not hasattr(listed, "__iter__") else [_plain(label) for label in listed]

    def is_ordered(self, name: str) -> bool:
        """Whether the column is an ordered categorical of pandas."""
        return self.backend == "pandas" and self.dtype(name) == "Enum"

    def labels(self, name: str) -> list[Any]:
        """A column as plain Python values; ``None`` where it is missing."""
        values = self.series(name).to_list()
        try:
            plain = {value: _plain(value) for value in set(values)}  # few labels in many rows
        except TypeError as error:
            raise DataError(
                f"column {name!r} holds lists or other containers, which are no labels. Drop it."
            ) from error
        return [plain[value] for value in values]

    def numbers(self, name: str) -> np.ndarray:
        """A column as float64; NaN where it is missing.

        Raises:
            DataError: It holds text, or whole numbers too large for float64.
        """
        numbers = series_numbers(self.series(name))
        if numbers is None:
            return _parse(name, self.labels(name))
        if self.dtype(name).lstrip("U").startswith("Int"):
            _check_exact(name, numbers)
        return numbers

    def rebuild(self, columns: Mapping[str, Sequence[Any] | np.ndarray], rows: np.ndarray | None = None) -> Any:
        """Make a frame of the same kind with other values in some columns, and everything else as it was.

        Args:
            columns: The new values by name; ``None`` or NaN is missing.
            rows: Which row of this table each row comes from; ``None`` is each in turn. If the number of new values is
                then not that of this table, the result has these columns alone, typed as here.

        Returns:
            The frame: order, names, types, index and further columns are those of this table.
        """
        length = len(next(iter(columns.values()))) if columns else len(self)
        if rows is None and length != len(self):
            return self._only(list(columns)).rebuild(columns, np.zeros(length, dtype=np.int64))
        take = np.arange(len(self)) if rows is None else rows
        typed = {self.names.index(name): self._typed(name, values) for name, values in columns.items()}
        return _REBUILD[self.backend](self.native, typed, take)

    def _only(self, names: list[str]) -> "Table":
        """A table with one row of the given columns, so that there is a row to repeat."""
        places = [place for place, name in enumerate(self.names) if name in names]
        match self.backend:
            case "numpy":
                return Table(np.zeros((1, len(places)), dtype=self.native.dtype))
            case "pyarrow":
                return Table(missing_row(self.native.select(places)))
            case "polars":
                return Table(self.native[:, places].clear(1))
            case "pandas":
                return Table(_empty_pandas_row(self.native.iloc[:, places]))

    def _typed(self, name: str, values: Sequence[Any] | np.ndarray) -> Any:
        """Values as this column's type takes them: whole numbers as integers, missing ones as ``None``."""
        if not isinstance(values, np.ndarray):
            return list(values)
        kind = self.series(name).dtype
        missing = np.isnan(values)
        if not missing.any():
            return np.rint(values).astype(np.int64) if kind.is_integer() else values
        if kind.is_float() and (self.backend == "numpy" or not self.series(name).null_count()):
            return values
        whole = kind.is_integer()
        return [None if gone else int(v) if whole else float(v) for v, gone in zip(values, missing, strict=True)]


def take_rows(frame: Any, rows: np.ndarray) -> Any:
    """Choose rows of a frame of any kind, by position or by a boolean mask.

    Example:
        >>> take_rows(np.array([[1.0], [2.0], [3.0]]), np.array([True, False, True])).tolist()
        [[1.0], [3.0]]
    """
    return Table(frame).rebuild({}, np.flatnonzero(rows) if rows.dtype == bool else rows)


def _empty_pandas_row(frame: Any) -> Any:
    row = frame.iloc[:0].reindex([0])
    for place, dtype in enumerate(frame.dtypes):
        if dtype.kind in "iub":
            row.isetitem(place, type(frame.iloc[:0, place])([0], dtype=dtype))
    return row


def _rebuild_numpy(native: np.ndarray, columns: dict[int, Any], rows: np.ndarray) -> np.ndarray:
    array = np.array(native[rows])
    for place, values in columns.items():
        array[:, place] = values
    return array


def _rebuild_pandas(native: Any, columns: dict[int, Any], rows: np.ndarray) -> Any:
    frame = native.iloc[rows].copy()
    for place, values in columns.items():
        like = native.iloc[:0, place]
        dtype = _widened(like.dtype, values, list(getattr(like.dtype, "categories", ())))
        frame.isetitem(place, type(like)(values, index=frame.index, dtype=dtype))
    return frame


def _rebuild_polars(native: Any, columns: dict[int, Any], rows: np.ndarray) -> Any:
    frame = native[rows]
    for place, values in columns.items():
        dtype = native.dtypes[place]
        dtype = _widened(dtype, values, dtype.categories.to_list()) if str(dtype).startswith("Enum") else dtype
        frame.replace_column(place, type(native.to_series(place))(native.columns[place], values, dtype=dtype))
    return frame


def _rebuild_pyarrow(native: Any, columns: dict[int, Any], rows: np.ndarray) -> Any:
    frame = native.take(rows)
    for place, values in columns.items():
        part = native.schema.field(place)
        labels = is_dictionary(part.type)
        array = arrow_labels(values, native.column(place)) if labels else arrow_array(values, part.type)
        frame = frame.set_column(place, part, array)
    return frame


_REBUILD = {
    "numpy": _rebuild_numpy,
    "pandas": _rebuild_pandas,
    "polars": _rebuild_polars,
    "pyarrow": _rebuild_pyarrow,
}


def _widened(dtype: Any, values: Any, known: list[Any]) -> Any:
    """A categorical type that also has the labels among ``values`` which are new to it."""
    if not known or isinstance(values, np.ndarray):
        return dtype
    new = [value for value in dict.fromkeys(values) if value is not None and value not in known]
    if not new:
        return dtype
    categories = [*known, *new]
    return type(dtype)(categories, dtype.ordered) if hasattr(dtype, "ordered") else type(dtype)(categories)


def _is_missing(value: Any) -> bool:
    """None, NaN, and pandas' NA and NaT, which are equal to nothing."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float) and value != value


def _plain(value: Any) -> Any:
    if _is_missing(value):
        return None
    return value.item() if isinstance(value, np.generic) else value


def _check_exact(name: str, numbers: np.ndarray) -> None:
    if (large := np.abs(numbers) > LARGEST_EXACT).any():
        raise DataError(
            f"column {name!r} holds whole numbers beyond 2**53, which float64 cannot keep apart ({first_row(large)}). "
            "Such a column is an identifier: drop it, or name it in ignore=."
        )


def _parse(name: str, values: list[Any]) -> np.ndarray:
    """Numbers from a column of Python objects, with a clear error at the first one that is no number."""
    for row, value in enumerate(values):
        if value is not None and (isinstance(value, str) or not hasattr(value, "__float__")):
            raise DataError(
                f"column {name!r} is numeric, but row {row} holds {value!r}. Correct the value, or turn the column "
                "into numbers before, for example with frame[name].astype(float)."
            )
    return np.array([np.nan if value is None else float(value) for value in values])
