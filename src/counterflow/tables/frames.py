"""The only door for data frames and their files: nothing else in the library imports narwhals, pyarrow or pandas."""

import json
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import narwhals as nw
import numpy as np
import pyarrow as pa

from counterflow.core.errors import DataError, MissingExtra
from counterflow.persistence import atomic_path
from counterflow.tables.file_forms import by_suffix, csv_sentence

__all__ = [
    "Backend",
    "arrow_array",
    "arrow_labels",
    "backend_of",
    "empty_frame",
    "is_dictionary",
    "frame_of",
    "missing_row",
    "open_frame",
    "read_table",
    "row_labels",
    "series_numbers",
    "to_arrow",
    "write_table",
]

Backend = Literal["pandas", "polars", "pyarrow", "numpy"]
NULLS = ["", "NA", "N/A", "#N/A", "NaN", "nan", "null", "NULL"]
ARROW_ERRORS = (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError)


def backend_of(frame: Any) -> Backend:
    """Say which kind of frame this is.

    Raises:
        DataError: It is none that counterflow reads.

    Example:
        >>> backend_of(np.zeros((3, 2)))
        'numpy'
    """
    if isinstance(frame, np.ndarray):
        return "numpy"
    if isinstance(frame, pa.Table):
        return "pyarrow"
    if nw.dependencies.is_pandas_dataframe(frame):
        return "pandas"
    if nw.dependencies.is_polars_dataframe(frame):
        return "polars"
    raise DataError(
        "a table must be a pandas or polars DataFrame, a pyarrow Table or a two-dimensional numpy array, got "
        f"{type(frame).__module__}.{type(frame).__qualname__}. Convert it to one of these."
    )


def open_frame(native: Any, names: list[str]) -> nw.DataFrame[Any]:
    """One view of any frame, with the given column names."""
    match backend_of(native):
        case "numpy":
            return nw.from_native(pa.table([_array_column(column) for column in native.T], names=names))
        case "pandas" if list(native.columns) != names:
            return nw.from_native(native.set_axis(names, axis=1))
        case _:
            return nw.from_native(native)


def _array_column(values: np.ndarray) -> pa.Array:
    return arrow_array(values.tolist() if values.dtype.kind in "OUS" else np.ascontiguousarray(values))


def arrow_array(values: Any, dtype: Any = None) -> pa.Array:
    """Values as an arrow array.

    Raises:
        DataError: They are of several types.
    """
    try:
        return pa.array(values, type=dtype)
    except ARROW_ERRORS as error:
        raise DataError(f"a column mixes types ({error}). Give each column one type.") from error


def arrow_labels(labels: list[Any], column: pa.ChunkedArray) -> pa.Array:
    """Labels as an arrow dictionary array that keeps the dictionary of ``column``, with new labels at its end."""
    chunks = column.unify_dictionaries().chunks
    known = chunks[0].dictionary.to_pylist() if chunks else []
    places = {label: place for place, label in enumerate(dict.fromkeys([*known, *labels])) if label is not None}
    indices = pa.array([places.get(label) for label in labels], column.type.index_type)
    dictionary = pa.array(list(places), column.type.value_type)
    return pa.DictionaryArray.from_arrays(indices, dictionary, ordered=column.type.ordered)


def is_dictionary(dtype: Any) -> bool:
    """Whether an arrow type is that of dictionary-encoded labels."""
    return pa.types.is_dictionary(dtype)


def missing_row(columns: pa.Table) -> pa.Table:
    """One row of missing values with the columns of an arrow table."""
    return pa.table([pa.nulls(1, kind) for kind in columns.schema.types], schema=columns.schema)


def series_numbers(series: nw.Series[Any]) -> np.ndarray | None:
    """A series as float64 with NaN for missing values, or ``None`` if its type is none of numbers."""
    if series.dtype.is_numeric() or series.dtype == nw.Boolean:
        return np.array(series.cast(nw.Float64).to_numpy(), dtype=np.float64)
    return None


def empty_frame(dtypes: Mapping[str, str], backend: Backend) -> Any:
    """Make a frame without rows.

    Args:
        dtypes: For each column narwhals' name of its type; categoricals become text.
        backend: The kind of frame.

    Raises:
        MissingExtra: That library is not installed.
    """
    if backend == "numpy":
        return np.zeros((0, len(dtypes)))
    if find_spec(backend) is None:
        raise MissingExtra(f"a {backend} frame", backend, backend)
    schema = {name: _dtype_named(dtype) for name, dtype in dtypes.items()}
    return nw.DataFrame.from_dict({name: [] for name in dtypes}, schema, backend=backend).to_native()


def _dtype_named(name: str) -> Any:
    return nw.String if name in ("Categorical", "Enum", "Object", "Unknown") else getattr(nw, name)


def to_arrow(frame: Any) -> pa.Table:
    """Turn a frame of any kind into a pyarrow table; pandas' index is left out."""
    match backend_of(frame):
        case "pyarrow":
            return frame
        case "numpy":
            return open_frame(frame, [f"x{position}" for position in range(frame.shape[1])]).to_native()
        case "polars":
            return frame.to_arrow()
        case "pandas":
            return pa.Table.from_pandas(frame, preserve_index=False)


def read_table(path: str | Path, *, strip: bool = True) -> Any:
    """Read a table from CSV (also .csv.gz) or Parquet.

    Args:
        path: The file.
        strip: Take blanks off both ends of text in CSV, which often follow the comma.

    Returns:
        A pandas frame if pandas is installed (most users' models were trained on these), else a pyarrow table.

    Raises:
        DataError: The file is missing, empty, ragged or no table, or two columns have one name.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file '{path}'. Check the path; it is read from '{Path.cwd()}'.")
    reader = by_suffix(path, {".csv": _read_csv, ".csv.gz": _read_csv, ".parquet": _read_parquet}, verb="read")
    table = reader(path)
    doubled = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if doubled:
        raise DataError(f"'{path}': column {doubled[0]!r} stands twice in the header. Rename one of them.")
    if table.num_rows == 0:
        raise DataError(f"'{path}' holds no rows below its header.")
    table = _stripped(table) if strip and reader is _read_csv else table
    return table.to_pandas() if find_spec("pandas") else table


def _read_csv(path: Path) -> pa.Table:
    from pyarrow import csv

    convert = csv.ConvertOptions(strings_can_be_null=True, null_values=NULLS, quoted_strings_can_be_null=False)
    try:
        table = csv.read_csv(path, csv.ReadOptions(use_threads=False), convert_options=convert)
    except (pa.ArrowException, OSError) as error:
        raise DataError(csv_sentence(path, str(error))) from error
    if binary := [field.name for field in table.schema if pa.types.is_binary(field.type)]:
        raise DataError(f"'{path}': column {binary[0]!r} is not UTF-8 text. Save the file as UTF-8.")
    return table.rename_columns([name.strip() or f"Unnamed: {place}" for place, name in enumerate(table.column_names)])


def _read_parquet(path: Path) -> pa.Table:
    from pyarrow import parquet

    try:
        return parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"'{path}' cannot be read as Parquet: {str(error).splitlines()[0]}") from error


def _stripped(table: pa.Table) -> pa.Table:
    from pyarrow import compute

    for position, part in enumerate(table.schema):
        if pa.types.is_string(part.type):
            table = table.set_column(
                position, part, compute.call_function("utf8_trim_whitespace", [table.column(position)])
            )
    return table


def write_table(frame: Any, path: str | Path) -> Path:
    """Write a frame as CSV (also .csv.gz), Parquet or JSON (a list of records), all or nothing.

    Args:
        frame: A frame of any kind; pandas' index is left out.
        path: The file; its suffix says the form.

    Returns:
        The path written.

    Raises:
        DataError: The suffix is none of these.
        PersistenceError: The file could not be written; what was there before is unchanged.
    """
    path = Path(path)
    forms = {".csv": _write_csv, ".csv.gz": _write_csv, ".parquet": _write_parquet, ".json": _write_json}
    writer = by_suffix(path, forms, verb="write")
    table = to_arrow(frame)
    with atomic_path(path) as aside:
        writer(table, aside)
    return path


def _write_csv(table: pa.Table, path: Path) -> None:
    from pyarrow import csv

    plain = pa.table([_decoded(column) for column in table.columns], names=table.column_names)
    options = csv.WriteOptions(quoting_style="needed")
    with pa.output_stream(str(path), compression="gzip" if path.suffix == ".gz" else None) as stream:
        csv.write_csv(plain, stream, options)


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _write_parquet(table: pa.Table, path: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, path)


def _write_json(table: pa.Table, path: Path) -> None:
    rows = [{key: None if value != value else value for key, value in row.items()} for row in table.to_pylist()]
    path.write_text(json.dumps(rows, ensure_ascii=False, indent=1, default=str), encoding="utf-8")


def frame_of(columns: Mapping[str, list[Any]], backend: Backend) -> Any:
    """Make a frame from columns of plain values; where a frame cannot mix types in a column, all of it is text.

    Args:
        columns: The values by name.
        backend: The kind of frame.

    Returns:
        The frame; for numpy a two-dimensional array of objects.

    Example:
        >>> frame_of({"from": [5, "own"], "difference": [-2.0, float("nan")]}, "pyarrow").column("from").to_pylist()
        ['5', 'own']
    """
    if backend == "numpy":
        array = np.empty((len(next(iter(columns.values()))), len(columns)), dtype=object)
        for place, values in enumerate(columns.values()):
            array[:, place] = values
        return array
    if backend != "pandas":
        columns = {name: [str(v) for v in values] if _mixed(values) else values for name, values in columns.items()}
    return nw.DataFrame.from_dict(columns, backend=backend).to_native()


def _mixed(values: list[Any]) -> bool:
    """Whether values are of several types (whole and broken numbers are one)."""
    kinds = {float if isinstance(v, int) and not isinstance(v, bool) else type(v) for v in values if v is not None}
    return len(kinds) > 1


def row_labels(frame: Any) -> list[Any]:
    """What the rows of a frame are called: the index of a pandas frame, else their positions.

    Example:
        >>> row_labels(np.zeros((2, 1)))
        [0, 1]
    """
    if backend_of(frame) == "pandas":
        return frame.index.tolist()
    return list(range(frame.num_rows if backend_of(frame) == "pyarrow" else len(frame)))
