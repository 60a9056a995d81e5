"""Parquet files read and written in pieces, so that a table larger than memory can pass through."""

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pyarrow as pa

from counterflow.core.errors import DataError
from counterflow.persistence import atomic_path
from counterflow.tables.frames import to_arrow

__all__ = ["ParquetPieces", "ParquetStream", "parquet_writer"]


class ParquetStream:
    """A Parquet file as frames of so many rows, one after another.

    Args:
        path: The file.
        rows: The most rows of a frame.

    Raises:
        DataError: The file is missing or no Parquet.

    Example:
        >>> import tempfile
        >>> from counterflow.tables import write_table
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_table(pa.table({"age": [20, 30, 40]}), Path(folder, "rows.parquet"))
        ...     [len(frame) for frame in ParquetStream(path, 2)]
        [2, 1]
    """

    def __init__(self, path: str | Path, rows: int) -> None:
        from pyarrow import parquet

        self.path = Path(path)
        self.rows = rows
        if not self.path.is_file():
            raise DataError(f"there is no file '{path}'. Check the path; it is read from '{Path.cwd()}'.")
        try:
            self._file = parquet.ParquetFile(self.path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"'{path}' cannot be read as Parquet: {str(error).splitlines()[0]}") from error

    def __len__(self) -> int:
        return self._file.metadata.num_rows

    @property
    def names(self) -> list[str]:
        """The columns of the file."""
        return self._file.schema_arrow.names

    def __iter__(self) -> Iterator[Any]:
        """Frames of pandas where it is installed, else tables of pyarrow."""
        for batch in self._file.iter_batches(batch_size=self.rows):
            table = pa.Table.from_batches([batch])
            yield table.to_pandas() if find_spec("pandas") else table


class ParquetPieces:
    """Writes frames to one Parquet file, all with the columns and types of the first.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, frame: Any) -> None:
        """Append a frame.

        Raises:
            DataError: Its columns are not those of the first.
        """
        from pyarrow import parquet

        table = to_arrow(frame).replace_schema_metadata(None)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self._path, table.schema)
        try:
            self._writer.write_table(table.cast(self._writer.schema))
        except (pa.ArrowException, ValueError) as error:
            raise DataError(
                f"a later piece of the table does not fit the first: {str(error).splitlines()[0]}"
            ) from error

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.close()


@contextmanager
def parquet_writer(path: str | Path) -> Generator[ParquetPieces]:
    """Lend a writer whose file appears at ``path`` when all is written, or not at all.

    Raises:
        PersistenceError: The system refused the write; what was there before is unchanged.
    """
    with atomic_path(path) as aside:
        pieces = ParquetPieces(aside)
        try:
            yield pieces
        finally:
            pieces.close()
