"""Frames of every kind become numbers and come back exactly."""

import math

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from counterflow.core.errors import DataError, ShapeError
from counterflow.tables import Atom, Column, Schema, TableCodec
from tests.tables.made import build_table, schema_settings, seeds

MIXED = pd.DataFrame(
    {
        "whole": [3, -9, 5],
        "small": np.array([1, 2, 3], dtype=np.int8),
        "real": [0.5, 1.25, -2.0],
        "single": np.array([0.1, 0.2, 0.3], dtype=np.float32),
        "text": ["a", "b", "a"],
        "flag": [True, False, True],
        "sort": pd.Categorical(["x", "y", "x"], categories=["y", "x", "z"]),
        "grade": pd.Categorical(["low", "high", "low"], categories=["low", "mid", "high"], ordered=True),
        "note": ["not", "a", "feature"],
    },
    index=[7, 7, 2],
)
FEATURES = list(MIXED.columns[:-1])


def frames():
    plain = MIXED.reset_index(drop=True)
    words = plain.assign(sort=plain["sort"].astype(str), grade=plain["grade"].astype(str))
    enum = {"sort": pl.Categorical, "grade": pl.Enum(["low", "mid", "high"])}
    nullable = plain.convert_dtypes()
    return {
        "pandas": MIXED,
        "pandas nullable": nullable,
        "pandas object": words.astype({"text": object, "sort": object}),
        "polars": pl.DataFrame(words.to_dict("list")),
        "polars categories": pl.DataFrame(words.to_dict("list")).cast(enum),
        "pyarrow": pa.Table.from_pandas(words, preserve_index=False),
        "pyarrow dictionary": pa.Table.from_pandas(plain, preserve_index=False),
    }


def schema_of(frame):
    return Schema.infer(frame, codes={"whole": [-9]}, ignore=["note"])


def equal(one, other):
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other)
        return True
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other)
    return one.equals(other) and one.schema == other.schema


@pytest.mark.parametrize("kind", list(frames()))
def test_every_kind_of_frame_comes_back_exactly(kind):
    frame = frames()[kind]
    codec = TableCodec(schema_of(frame))
    numbers = codec.to_numbers(frame)
    assert numbers.dtype == np.float64
    assert equal(codec.to_frame(numbers, frame), frame)


@pytest.mark.parametrize("kind", list(frames()))
def test_numbers_are_the_values_and_the_positions_of_categories(kind):
    frame = frames()[kind]
    schema = schema_of(frame)
    numbers = TableCodec(schema).to_numbers(frame)
    for place, column in enumerate(schema.columns):
        values = [column.categories[int(v)] for v in numbers[:, place]] if column.labeled else numbers[:, place]
        assert list(values) == list(MIXED[column.name].astype(object))


@pytest.mark.parametrize("kind", list(frames()))
def test_new_values_take_the_type_of_their_column(kind):
    frame = frames()[kind]
    codec = TableCodec(schema_of(frame))
    numbers = codec.to_numbers(frame)[::-1].copy()
    changed = codec.to_frame(numbers, frame)
    assert np.array_equal(codec.to_numbers(changed), numbers)
    assert equal(codec.to_frame(codec.to_numbers(frame), changed), frame)


@pytest.mark.parametrize("kind", list(frames()))
def test_rows_may_repeat_with_their_further_columns(kind):
    frame = frames()[kind]
    codec = TableCodec(schema_of(frame))
    rows = np.array([2, 0, 0, 1])
    repeated = codec.to_frame(codec.to_numbers(frame)[rows], frame, rows=rows)
    notes = repeated["note"].to_pylist() if kind.startswith("pyarrow") else list(repeated["note"])
    assert notes == ["feature", "not", "not", "a"]
    assert np.array_equal(codec.to_numbers(repeated), codec.to_numbers(frame)[rows])
    if kind == "pandas":
        assert list(repeated.index) == [2, 7, 7, 7]


@pytest.mark.parametrize("kind", list(frames()))
def test_a_frame_without_rows_lends_its_types(kind):
    frame = frames()[kind]
    codec = TableCodec(schema_of(frame))
    numbers = codec.to_numbers(frame)
    empty = frame.slice(0, 0) if kind.startswith("pyarrow") else frame.head(0)
    for rows in (numbers, np.concatenate([numbers, numbers])):
        made = codec.to_frame(rows, empty)
        assert np.array_equal(codec.to_numbers(made), rows)
        names = made.column_names if kind.startswith("pyarrow") else list(made.columns)
        assert names == FEATURES
        if kind.startswith("pandas"):
            assert (made.dtypes == frame[FEATURES].dtypes).all()


@pytest.mark.parametrize("backend", ["pandas", "polars", "pyarrow"])
def test_a_frame_is_made_from_the_schema_alone(backend):
    codec = TableCodec(schema_of(MIXED))
    numbers = codec.to_numbers(MIXED)
    made = codec.to_frame(numbers, backend=backend)
    assert np.array_equal(codec.to_numbers(made), numbers)
    assert made["small"].dtype == np.int8 if backend == "pandas" else True


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64, object])
def test_arrays_come_back_as_arrays(dtype):
    array = np.array([[1, 10], [2, 30], [4, 20]]).astype(dtype)
    codec = TableCodec(Schema.infer(array))
    assert equal(codec.to_frame(codec.to_numbers(array), array), array)
    assert codec.to_frame(codec.to_numbers(array), backend="numpy").tolist() == array.tolist()


def test_columns_named_by_numbers_keep_their_names():
    frame = pd.DataFrame([[1.5, "a"], [2.5, "b"]])
    codec = TableCodec(Schema.infer(frame))
    assert codec.schema.names == ("0", "1")
    assert equal(codec.to_frame(codec.to_numbers(frame), frame), frame)


@pytest.mark.parametrize("make", [lambda f: f, pl.from_pandas, lambda f: pa.Table.from_pandas(f, preserve_index=False)])
def test_missing_values_come_back_as_missing(make):
    frame = make(
        pd.DataFrame({"x": [1.5, None, 2.0], "n": pd.array([1, None, 4], dtype="Int64"), "k": ["a", None, "b"]})
    )
    codec = TableCodec(Schema.infer(frame, missing="atom"))
    numbers = codec.to_numbers(frame)
    assert np.isnan(numbers[1, :2]).all()
    assert codec.schema["k"].categories[int(numbers[1, 2])] is None
    assert equal(codec.to_frame(numbers, frame), frame)


@settings(max_examples=50)
@given(schema_settings(), seeds)
def test_any_table_comes_back_exactly(columns, seed):
    schema, numbers = build_table(columns, seed)
    codec = TableCodec(schema)
    for backend in ("pandas", "polars", "pyarrow"):
        made = codec.to_frame(numbers, backend=backend)
        assert np.array_equal(codec.to_numbers(made), numbers, equal_nan=True)
        assert np.array_equal(codec.to_numbers(codec.to_frame(numbers, made)), numbers, equal_nan=True)


def test_categories_new_to_a_categorical_type_are_added_to_it():
    schema = Schema([Column("home", "categorical", categories=["own", "rent"])])
    for frame in (
        pd.DataFrame({"home": pd.Categorical(["own", "own"])}),
        pl.DataFrame({"home": ["own", "own"]}, schema={"home": pl.Enum(["own"])}),
    ):
        made = TableCodec(schema).to_frame(np.array([[0.0], [1.0]]), frame)
        assert list(made["home"]) == ["own", "rent"]


def single(**column):
    name = column.pop("name", "age")
    return TableCodec(Schema([Column(name, **column)]))


@pytest.mark.parametrize(
    ("codec", "frame", "sentence"),
    [
        (single(), {"agee": [1.0]}, "has no column 'age', which the schema needs. Did you mean 'agee'?"),
        (single(), {"age": [1.0, "old"]}, "column 'age' is numeric, but row 1 holds 'old'"),
        (single(), {"age": ["1", "2"]}, "row 0 holds '1'.*astype"),
        (
            single(),
            {"age": [1.0, math.nan, math.nan]},
            r"missing values \(2 rows, the first is row 1\).*missing='atom'",
        ),
        (single(), {"age": [1.0, math.inf]}, r"infinite numbers \(row 1\)"),
        (single(kind="integer"), {"age": [1.0, 2.5]}, r"is integer, but holds 2.5 \(row 1\)"),
        (
            single(kind="binary", categories=["f", "m"]),
            {"age": ["f", "F"]},
            r"holds 'F' \(row 1\).*none of its categor",
        ),
        (single(kind="binary", categories=["f", "m"]), {"age": ["f", None]}, r"missing values \(row 1\)"),
        (single(kind="integer"), {"age": [2**60]}, r"beyond 2\*\*53.*identifier"),
    ],
)
def test_what_does_not_fit_is_refused_with_a_remedy(codec, frame, sentence):
    with pytest.raises(DataError, match=sentence):
        codec.to_numbers(pd.DataFrame(frame))
    with pytest.raises(DataError, match=sentence):
        codec.schema.validate(pd.DataFrame(frame))


def test_what_is_no_frame_or_empty_is_refused():
    with pytest.raises(DataError, match="must be a pandas or polars DataFrame.*got builtins.list"):
        single().to_numbers([[1.0]])
    with pytest.raises(DataError, match="holds no rows"):
        single().to_numbers(pd.DataFrame({"age": []}))
    with pytest.raises(DataError, match=r"two dimensions.*shape \(3,\)"):
        single(name="x0").to_numbers(np.zeros(3))
    with pytest.raises(DataError, match="column 'age' stands twice"):
        single().to_numbers(pd.DataFrame([[1, 2]], columns=["age", "age"]))


def test_numbers_that_stand_for_nothing_are_refused():
    with pytest.raises(DataError, match="no position of a category of column 'age'"):
        single(kind="binary", categories=["f", "m"]).to_frame(np.array([[2.0]]))
    with pytest.raises(DataError, match="is integer, but holds 0.5"):
        single(kind="integer").to_frame(np.array([[0.5]]))
    with pytest.raises(ShapeError, match=r"shape \(rows, 1\), got \(1, 2\)"):
        single().to_frame(np.zeros((1, 2)))


def test_missing_rows_are_found_where_no_atom_stands_for_them():
    frame = pd.DataFrame({"x": [1.0, math.nan, 2.0, 3.0], "n": [1.0, 2.0, math.nan, 3.5], "k": ["a", "b", "a", None]})
    schema = Schema([Column("x"), Column("n", atoms=[Atom(math.nan)]), Column("k", "binary", categories=["a", "b"])])
    assert TableCodec(schema).missing_rows(frame).tolist() == [False, True, False, True]
