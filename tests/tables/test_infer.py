"""What is read off a table, and what is refused."""

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest

from counterflow.core.errors import DataError, SchemaError
from counterflow.tables import Atom, Kind, Schema
from counterflow.tables.atoms import find_codes, find_inflation


def column_of(values, **settings):
    return Schema.infer(pd.DataFrame({"v": values}), **settings)["v"]


@pytest.mark.parametrize(
    ("values", "kind", "categories"),
    [
        ([1, 2, 3], Kind.INTEGER, ()),
        ([1.0, 2.0, 5.0], Kind.INTEGER, ()),
        ([1.0, 2.5], Kind.CONTINUOUS, ()),
        ([0, 1, 1], Kind.BINARY, (0, 1)),
        ([0.0, 1.0], Kind.BINARY, (0.0, 1.0)),
        ([1, 2, 2], Kind.BINARY, (1, 2)),
        ([3, 4, 4], Kind.INTEGER, ()),
        (["b", "a"], Kind.BINARY, ("a", "b")),
        (["b", "a", "c"], Kind.CATEGORICAL, ("a", "b", "c")),
        ([True, False], Kind.BINARY, (False, True)),
        (["a", "a"], Kind.CATEGORICAL, ("a",)),
        (pd.Categorical(["b", "a"], categories=["c", "b", "a"]), Kind.CATEGORICAL, ("c", "b", "a")),
        (pd.Categorical([2, 1], categories=[3, 2, 1], ordered=True), Kind.ORDINAL, (3, 2, 1)),
    ],
)
def test_kinds(values, kind, categories):
    column = column_of(values)
    assert column.kind is kind
    assert column.categories == categories
    assert [type(label) for label in column.categories] == [type(label) for label in categories]


def test_the_order_of_an_enum_of_polars_is_kept_but_means_nothing():
    frame = pl.DataFrame({"v": ["b", "a", "c"]}, schema={"v": pl.Enum(["c", "b", "a"])})
    assert (Schema.infer(frame)["v"].kind, Schema.infer(frame)["v"].categories) == (Kind.CATEGORICAL, ("c", "b", "a"))


def test_bounds_and_decimals_are_those_of_the_data():
    column = column_of([0.25, 1.5, 12.0])
    assert (column.lower, column.upper, column.decimals) == (0.25, 12.0, 2)
    assert column_of(np.array([0.1, 0.25], dtype=np.float32)).decimals == 2
    assert column_of([np.pi, np.e]).decimals is None
    whole = column_of([7, -3, 5])
    assert (whole.lower, whole.upper, whole.decimals, whole.grid) == (-3, 7, None, 1.0)
    assert isinstance(whole.lower, int)


@pytest.mark.parametrize(
    ("values", "codes"),
    [
        ([-9, -9, -8, -8, -7, -7, *range(20)], [-9, -8, -7]),
        ([-1, -1, -1, *range(20)], [-1]),
        ([-1, *range(20)], []),  # not repeated
        ([-1, -1, -2, -2, *range(20)], []),  # goes below zero
        ([-0.5, -0.5, *range(20)], []),
        ([-9, -9, -6, -6, -5, -5, -4, -4, -3, -3, -8, -8, *range(20)], []),  # too many
        ([-1, -1, 0, 1, 2], []),  # too few others
        ([99999, 99999, *range(0, 40000, 1000)], [99999]),
        ([96, 96, 98, 98, 98, *range(18)], [96, 98]),
        ([99, 99, *range(98)], []),  # the next value after 97
        ([9, 9, 0, 1, 2, 3, 4], []),  # one digit
        ([999, *range(20)], []),
    ],
)
def test_codes_are_found(values, codes):
    assert find_codes(np.array(values)) == codes


@pytest.mark.parametrize(
    ("values", "whole", "expected"),
    [
        ([0] * 60 + list(range(1, 31)), True, [0]),
        ([100] * 60 + list(range(1, 31)), True, [100]),
        ([40] * 60 + list(range(20, 60)), True, []),  # in the middle of whole numbers
        ([40.0] * 60 + list(np.linspace(20.1, 60.3, 40)), False, [40]),
        ([0] * 60 + list(range(1, 15)), True, []),  # too few others
        ([0] * 10 + list(range(1, 60)), True, []),  # too small a share
        ([0] * 60 + [1] * 30 + list(range(2, 40)), True, []),  # the next value is as frequent
    ],
)
def test_inflation_is_found(values, whole, expected):
    assert find_inflation(np.array(values), whole=whole) == expected


def test_codes_are_no_part_of_the_bounds():
    column = column_of([-9, -9, *range(3, 20)])
    assert (column.lower, column.upper, column.atoms) == (3, 19, (Atom(-9.0),))


def test_codes_may_be_told():
    frame = pd.DataFrame({"a": [-7, 1, 2], "b": [-7, 5, 6], "c": ["x", "y", "z"]})
    everywhere = Schema.infer(frame, codes=[-7])
    assert everywhere["a"].atoms == everywhere["b"].atoms == (Atom(-7),)
    one = Schema.infer(frame, codes={"a": [-7]})
    assert (one["a"].atoms, one["b"].atoms) == ((Atom(-7),), ())
    assert Schema.infer(pd.DataFrame({"a": [-9, -9, *range(20)]}), codes=[])["a"].atoms == ()


def test_the_target_and_what_is_ignored_are_no_features():
    frame = pd.DataFrame({"id": [11, 12, 13], "age": [30, 40, 50], "loan": ["no", "yes", "no"]})
    schema = Schema.infer(frame, "loan", ignore=["id"], protected=["age"])
    assert (schema.names, schema.target, schema.classes) == (("age",), "loan", ("no", "yes"))
    assert schema["age"].protected
    assert not Schema.infer(frame, "loan", ignore=["id"])["age"].protected


@pytest.mark.parametrize("start", [0, 1])
def test_a_saved_row_index_is_no_feature(start):
    frame = pd.DataFrame({"Unnamed: 0": range(start, start + 4), "age": [3, 4, 5, 7]})
    assert Schema.infer(frame).names == ("age",)
    assert Schema.infer(frame.rename(columns={"Unnamed: 0": "n"})).names == ("n", "age")


@pytest.mark.parametrize(
    ("target", "classes"),
    [
        ([0, 1, 1], (0, 1)),
        (["b", "a", "c"], ("a", "b", "c")),
        ([True, False, True], (False, True)),
        ([0.5, 1.5, 2.0], ()),
        ([3.0, 1.0, 2.0], (1.0, 2.0, 3.0)),
    ],
)
def test_classes(target, classes):
    assert Schema.infer(pd.DataFrame({"x": [1.5, 2.5, 3.5], "y": target}), "y").classes == classes


def test_many_whole_numbers_are_a_regression():
    frame = pd.DataFrame({"x": np.arange(50) / 2, "y": np.arange(50)})
    assert Schema.infer(frame, "y").classes == ()


def test_missing_values_need_a_policy():
    frame = pd.DataFrame({"x": [1.5, None, 2.0], "k": ["a", None, "b"]})
    with pytest.raises(DataError, match="column 'x' has 1 missing values.*missing='atom'"):
        Schema.infer(frame)
    atom = Schema.infer(frame, missing="atom")
    assert atom["x"].atoms == (Atom(float("nan")),)
    assert (atom["k"].categories, atom["k"].kind) == (("a", "b", None), Kind.CATEGORICAL)
    drop = Schema.infer(frame, missing="drop")
    assert (drop["x"].atoms, drop["k"].categories, drop.missing) == ((), ("a", "b"), "drop")


@pytest.mark.parametrize(
    ("frame", "sentence"),
    [
        ({"v": []}, "holds no rows"),
        ({"v": [f"id{i}" for i in range(80)]}, "80 different texts in 80 rows.*ignore="),
        ({"v": [datetime.datetime(2024, 1, 1)]}, "is of type Datetime.*days since"),
        ({"v": [1.0, np.inf]}, "infinite"),
        ({"v": [{"a": 1}, {"b": 2}]}, "column 'v' holds lists or other containers|is of type Struct"),
        ({"v": [2**60, 3]}, r"beyond 2\*\*53"),
    ],
)
def test_what_is_no_feature_is_refused(frame, sentence):
    with pytest.raises(DataError, match=sentence):
        Schema.infer(pd.DataFrame(frame))


def test_an_empty_column_is_refused():
    for values in ([None, None], [np.nan, np.nan]):
        with pytest.raises(DataError, match="column 'v' is empty"):
            Schema.infer(pd.DataFrame({"v": values, "x": [1, 2]}), missing="atom")
    with pytest.raises(DataError, match="nothing but codes"):
        Schema.infer(pd.DataFrame({"v": [-9, -9]}), codes=[-9])


def test_targets_that_tell_nothing_are_refused():
    with pytest.raises(DataError, match="one class only, 'no'"):
        Schema.infer(pd.DataFrame({"x": [1, 2], "y": ["no", "no"]}), "y")
    with pytest.raises(DataError, match="target 'y' has 1 missing"):
        Schema.infer(pd.DataFrame({"x": [1, 2], "y": ["no", None]}), "y")


@pytest.mark.parametrize(
    "settings", [{"target": "agee"}, {"protected": ["agee"]}, {"ignore": ["agee"]}, {"codes": {"agee": [1]}}]
)
def test_unknown_names_are_refused_with_a_suggestion(settings):
    with pytest.raises(SchemaError, match="no column 'agee'. Did you mean 'age'?"):
        Schema.infer(pd.DataFrame({"age": [1, 2, 3]}), **settings)
