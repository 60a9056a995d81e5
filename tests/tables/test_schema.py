"""Schemas: what contradicts itself, edits, and YAML that comes back exactly."""

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.core.errors import SchemaError
from counterflow.tables import Atom, Column, Kind, Schema
from tests.tables.made import build_schema, schema_settings

SCHEMA = Schema(
    [
        Column("age", "integer", lower=18, upper=99, direction="increase", unit="years"),
        Column("income", lower=0.5, decimals=2, cost=2.5, atoms=[Atom(math.nan), Atom(0, "inflation", allowed=False)]),
        Column("accounts", "integer", verb={"increase": "open", "decrease": "close"}, step=2, dtype="Int64"),
        Column("home", "categorical", categories=["own", "no", "1", None], protected=True),
        Column("smoker", "binary", categories=[False, True], actionable=False),
        Column("grade", "ordinal", categories=[3, 2, 1]),
    ],
    target="loan",
    classes=("no", "yes"),
    missing="atom",
)


def test_yaml_comes_back_exactly(tmp_path):
    SCHEMA.to_yaml(tmp_path / "schema.yaml")
    assert Schema.from_yaml(tmp_path / "schema.yaml") == SCHEMA


@settings(max_examples=60)
@given(schema_settings(), st.floats(allow_nan=False, allow_infinity=False, min_value=0), st.text())
def test_any_schema_comes_back_exactly(tmp_path_factory, columns, cost, unit):
    schema = build_schema([{**column, "cost": cost, "unit": unit} for column in columns])
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    schema.to_yaml(path)
    assert Schema.from_yaml(path) == schema
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict(), allow_nan=False))) == schema


def test_the_types_of_labels_survive_yaml(tmp_path):
    SCHEMA.to_yaml(tmp_path / "schema.yaml")
    back = Schema.from_yaml(tmp_path / "schema.yaml")
    assert [type(label) for label in back["home"].categories] == [str, str, str, type(None)]
    assert back["smoker"].categories[0] is False
    assert back["income"].atoms[0].missing


def test_yaml_is_short_and_readable(tmp_path):
    SCHEMA.to_yaml(tmp_path / "schema.yaml")
    text = (tmp_path / "schema.yaml").read_text()
    assert "  age:\n    kind: integer\n    unit: years\n    lower: 18\n    upper: 99\n    direction: increase\n" in text
    assert "    categories: [own, 'no', '1', null]\n" in text
    assert "atoms: [{value: missing, kind: code}, {value: 0.0, kind: inflation, allowed: false}]" in text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("columns: {age: {kidn: integer}}", "column 'age' has no setting 'kidn'. Did you mean 'kind'?"),
        ("columns: {age: {kind: integr}}", "'integr' is no kind of column. Did you mean 'integer'?"),
        ("columns: {age: {lower: low}}", "lower must be a whole number or a number or null, got 'low'"),
        ("columns: {age: {protected: maybe}}", "protected must be true/false, got 'maybe'"),
        ("columns: {age: {decimals: true}}", "decimals must be a whole number or null, got True"),
        ("columns: {age: {atoms: [{valeu: 3}]}}", "no setting 'valeu'. Did you mean 'value'?"),
        ("columns: {age: {atoms: [{kind: code}]}}", "needs a number or 'missing'"),
        ("columns: {age: {atoms: [{value: 1, kind: cod}]}}", "must be 'code' or 'inflation', got 'cod'"),
        ("columns: {1: {}}", "must be text, got 1. Put quotes"),
        ("columns: {home: {kind: binary, categories: [no, 'yes']}}", "mix true/false with others.*quotes"),
        ("columns: {age: {}, age: {}}", "'age' stands twice, again in line 1"),
        ("columns: []", "needs 'columns'"),
        ("colums: {}", "a schema has no setting 'colums'. Did you mean 'columns'?"),
        ("version: 9\ncolumns: {age: {}}", "version 9 cannot be read"),
        ("classes: 3\ncolumns: {age: {}}", "classes must be a list"),
        ("columns: {}", "at least one feature column"),
        ("missing: drp\ncolumns: {age: {}}", "missing must be one of .*got 'drp'"),
        ("target: age\ncolumns: {age: {}}", "target 'age' is also a feature"),
        ("[1, 2]", "must be a mapping of settings"),
        ("a: [", "is no YAML"),
    ],
)
def test_yaml_that_is_no_schema_is_refused(text, sentence, tmp_path):
    path = tmp_path / "schema.yaml"
    path.write_text(text)
    with pytest.raises(SchemaError, match=sentence) as caught:
        Schema.from_yaml(path)
    assert "schema.yaml" in str(caught.value)


def test_a_missing_or_unreadable_file_is_refused(tmp_path):
    with pytest.raises(SchemaError, match="there is no schema file"):
        Schema.from_yaml(tmp_path / "gone.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SchemaError, match="cannot be read|is no YAML"):
        Schema.from_yaml(tmp_path / "bytes.yaml")


def test_short_atoms_in_yaml(tmp_path):
    (tmp_path / "s.yaml").write_text("columns: {age: {atoms: [-9, missing]}}")
    assert Schema.from_yaml(tmp_path / "s.yaml")["age"].atoms == (Atom(-9), Atom(math.nan))


@pytest.mark.parametrize(
    ("column", "sentence"),
    [
        ({"kind": "integr"}, "kind must be one of .*got 'integr'. Did you mean 'integer'?"),
        ({"lower": 3, "upper": 2}, "lower must not exceed upper"),
        ({"step": 0}, "step must be a positive number"),
        ({"decimals": 16}, "decimals must be between 0 and 15"),
        ({"cost": -1}, "cost must be a finite number >= 0"),
        ({"direction": "up"}, "direction must be one of"),
        ({"kind": "categorical"}, "needs its categories"),
        ({"kind": "binary", "categories": ["a"]}, "has two categories, got 1"),
        ({"kind": "integer", "categories": ["a"]}, "has no categories"),
        ({"kind": "categorical", "categories": ["a", "a"]}, "a category is listed twice"),
        ({"kind": "categorical", "categories": [("a",)]}, "must be text, a number"),
        ({"kind": "categorical", "categories": ["a"], "direction": "increase"}, "has no direction"),
        ({"kind": "ordinal", "categories": ["a", "b"], "lower": 0}, "no lower, upper, step or atoms"),
        ({"kind": "ordinal", "categories": ["a", "b"], "decimals": 0}, "no decimals"),
        ({"atoms": [Atom(1), Atom(1)]}, "an atom is listed twice"),
        ({"verb": {"up": "open"}}, "verb must have keys among"),
    ],
)
def test_a_column_that_contradicts_itself_is_refused(column, sentence):
    with pytest.raises(SchemaError, match=f"column 'v': .*{sentence}"):
        Column("v", **column)


def test_other_contradictions_are_refused():
    with pytest.raises(SchemaError, match="name that is not empty"):
        Column("")
    with pytest.raises(SchemaError, match="finite number or NaN"):
        Atom(math.inf)
    with pytest.raises(SchemaError, match="missing value is no number"):
        Atom(math.nan, "inflation")
    with pytest.raises(SchemaError, match="'age' is listed twice"):
        Schema([Column("age"), Column("age")])


def test_edits_return_new_schemas():
    edited = SCHEMA.edit({"age": {"protected": True}, "income": {"unit": "EUR"}})
    assert (edited["age"].protected, edited["income"].unit) == (True, "EUR")
    assert not SCHEMA["age"].protected
    assert SCHEMA.without(["age", "home"]).names == ("income", "accounts", "smoker", "grade")
    assert edited.with_column("grade", kind="categorical")["grade"].kind is Kind.CATEGORICAL


def test_edits_of_what_is_not_there_are_refused():
    with pytest.raises(SchemaError, match="no column 'agee' in the schema. Did you mean 'age'?"):
        SCHEMA.with_column("agee", cost=1)
    with pytest.raises(SchemaError, match="no setting 'costs'. Did you mean 'cost'?"):
        SCHEMA.with_column("age", costs=1)
    with pytest.raises(SchemaError, match="no column 'x'"):
        SCHEMA.without(["x"])


def test_equal_schemas_are_equal_with_missing_atoms_too():
    assert Schema([Column("x", atoms=[Atom(float("nan"))])]) == Schema([Column("x", atoms=[Atom(math.nan)])])
    assert Atom(0, "inflation") != Atom(0)


def test_bounds_and_grids():
    assert SCHEMA["grade"].bounds == (0.0, 2.0)
    assert SCHEMA["income"].bounds == (0.5, math.inf)
    assert [SCHEMA[name].grid for name in ("age", "income", "accounts")] == [1.0, 0.01, 2.0]
    assert Column("x").grid is None
