"""Parquet in pieces: the same table in the end, whole or not at all."""

import numpy as np
import pandas as pd
import pytest

from counterflow.core.errors import DataError, PersistenceError
from counterflow.tables.streams import ParquetStream, parquet_writer


def rows(count=10):
    return pd.DataFrame(
        {"age": np.arange(count), "home": ["own", "rent"] * (count // 2), "debt": np.linspace(0, 1, count)}
    )


def test_pieces_make_up_the_table(tmp_path):
    rows().to_parquet(tmp_path / "rows.parquet")
    stream = ParquetStream(tmp_path / "rows.parquet", 4)
    pieces = list(stream)
    assert [len(piece) for piece in pieces] == [4, 4, 2]
    assert len(stream) == 10
    assert stream.names == ["age", "home", "debt"]
    pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), rows())


def test_what_is_written_in_pieces_is_read_as_one(tmp_path):
    with parquet_writer(tmp_path / "out.parquet") as pieces:
        for start in (0, 4, 8):
            pieces.write(rows()[start : start + 4])
        assert not (tmp_path / "out.parquet").exists()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "out.parquet"), rows())


def test_a_piece_of_missing_values_gets_the_types_of_the_first(tmp_path):
    empty = pd.DataFrame({"age": [1], "home": [None], "debt": [None]})
    with parquet_writer(tmp_path / "out.parquet") as pieces:
        pieces.write(rows())
        pieces.write(empty)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert found["home"].isna().sum() == 1
    assert found["debt"].dtype == np.float64


def test_nothing_is_left_when_something_fails(tmp_path):
    (tmp_path / "out.parquet").write_text("former")

    def write():
        with parquet_writer(tmp_path / "out.parquet") as pieces:
            pieces.write(rows())
            pieces.write(pd.DataFrame({"other": [1]}))

    with pytest.raises(DataError, match="does not fit the first"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]
    assert (tmp_path / "out.parquet").read_text() == "former"


def test_files_that_cannot_be_read_are_told(tmp_path):
    with pytest.raises(DataError, match="there is no file"):
        ParquetStream(tmp_path / "none.parquet", 4)
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        ParquetStream(tmp_path / "text.parquet", 4)


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(PersistenceError, match="Could not write"), parquet_writer(tmp_path / "none" / "out.parquet"):
        pass
