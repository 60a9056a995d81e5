"""Reading and writing tables, and every way in which a file is no table."""

import builtins
import gzip
import json
import os

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from counterflow.core.errors import DataError, MissingExtra, PersistenceError
from counterflow.tables import empty_frame, frames, read_table, take_rows, to_arrow, write_table

TABLE = pd.DataFrame({"n": [1, 2], "x": [0.5, np.nan], "text": ["a, b", 'c "d"'], "flag": [True, False]})


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_what_is_written_is_read(suffix, tmp_path):
    path = write_table(TABLE, tmp_path / f"table{suffix}")
    pd.testing.assert_frame_equal(read_table(path), TABLE)
    assert os.listdir(tmp_path) == [path.name]


def test_a_gz_file_is_compressed(tmp_path):
    path = write_table(TABLE, tmp_path / "t.csv.gz")
    assert gzip.decompress(path.read_bytes()).decode().splitlines()[0].replace('"', "") == "n,x,text,flag"


def test_json_is_a_list_of_records(tmp_path):
    records = json.loads(write_table(TABLE, tmp_path / "t.json").read_text())
    assert records[1] == {"n": 2, "x": None, "text": 'c "d"', "flag": False}


@pytest.mark.parametrize("frame", [pl.from_pandas(TABLE), pa.Table.from_pandas(TABLE), np.array([[1.0, 2.0]])])
def test_every_kind_of_frame_is_written(frame, tmp_path):
    back = read_table(write_table(frame, tmp_path / "t.parquet"))
    assert to_arrow(back).num_rows == len(frame)
    assert list(back.columns) == (["x0", "x1"] if isinstance(frame, np.ndarray) else list(TABLE.columns))


def test_categories_are_written_as_their_labels(tmp_path):
    frame = pd.DataFrame({"k": pd.Categorical(["a", "b"])})
    assert list(read_table(write_table(frame, tmp_path / "t.csv"))["k"]) == ["a", "b"]


def test_without_pandas_a_pyarrow_table_is_read(tmp_path, monkeypatch):
    path = write_table(TABLE, tmp_path / "t.csv")
    monkeypatch.setattr(frames, "find_spec", lambda name: None)
    real = builtins.__import__

    def no_pandas(name, *rest, **names):
        assert not name.startswith("pandas")
        return real(name, *rest, **names)

    monkeypatch.setattr(builtins, "__import__", no_pandas)
    assert isinstance(read_table(path), pa.Table)
    with pytest.raises(MissingExtra, match="a polars frame needs the package 'polars'"):
        empty_frame({"x": "Float64"}, "polars")


def written(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_blanks_around_text_are_no_part_of_it_unless_asked(tmp_path):
    path = written(tmp_path, "age, sex\n 39, Male\n40,Female \n")
    assert read_table(path).to_dict("list") == {"age": [39, 40], "sex": ["Male", "Female"]}
    assert list(read_table(path, strip=False)["sex"]) == [" Male", "Female "]


def test_a_nameless_column_gets_the_name_that_pandas_gives(tmp_path):
    assert list(read_table(written(tmp_path, ",a\n0,5\n1,6\n")).columns) == ["Unnamed: 0", "a"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a,b\n1,2\n3\n", "line 3: expected 2 fields as in the header, got 1"),
        ("a,b\n1,2\n3,4,5\n", "line 3: expected 2 fields as in the header, got 3"),
        ("", "is empty"),
        ("a,b\n", "holds no rows below its header"),
        ("a,a\n1,2\n", "column 'a' stands twice in the header"),
        (b"a,b\n1,\xff\xfe\n", "column 'b' is not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_refused(text, sentence, tmp_path):
    path = written(tmp_path, text)
    with pytest.raises(DataError, match=sentence) as caught:
        read_table(path)
    assert "t.csv" in str(caught.value)


def test_a_broken_gz_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_table(written(tmp_path, "a,b\n1,2\n", "t.csv.gz"))


def test_a_broken_parquet_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_table(written(tmp_path, "a,b\n1,2\n", "t.parquet"))


def test_a_missing_file_and_an_unknown_suffix_are_refused(tmp_path):
    with pytest.raises(DataError, match="there is no file '.*gone.csv'"):
        read_table(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="cannot read this kind of file.*'.csv', '.csv.gz', '.parquet'"):
        read_table(written(tmp_path, "a", "t.xlsx"))
    with pytest.raises(DataError, match="cannot write this kind of file.*'.json'"):
        write_table(TABLE, tmp_path / "t.xlsx")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".json"])
def test_a_full_disk_leaves_the_old_file_as_it_was(suffix, tmp_path, monkeypatch):
    path = write_table(TABLE, tmp_path / f"t{suffix}")
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    for name in ("_write_csv", "_write_parquet", "_write_json"):
        monkeypatch.setattr(frames, name, full)
    with pytest.raises(PersistenceError, match="No space left on device"):
        write_table(TABLE.assign(n=0), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_rows_are_taken_from_any_kind_of_frame():
    mask = np.array([False, True])
    assert take_rows(TABLE, mask)["n"].tolist() == [2]
    assert take_rows(pl.from_pandas(TABLE), mask)["n"].to_list() == [2]
    assert take_rows(pa.Table.from_pandas(TABLE), np.array([1, 0]))["n"].to_pylist() == [2, 1]


def test_an_array_of_mixed_types_is_refused():
    with pytest.raises(DataError, match="mixes types"):
        to_arrow(np.array([["a", 1], [2.5, "b"]], dtype=object))
