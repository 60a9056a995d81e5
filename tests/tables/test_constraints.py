"""Contradictions are found before any search, each with its sentence."""

import json

import numpy as np
import pytest

from counterflow.core.errors import ConstraintError
from counterflow.tables import Column, Constraints, Rules, Schema, check_constraints

SCHEMA = Schema(
    [
        Column("age", "integer", lower=18, upper=99, direction="increase"),
        Column("income", lower=150, upper=3500, step=100),
        Column("home", "categorical", categories=["own", "rent", "free"]),
        Column("sex", "binary", categories=["f", "m"], protected=True),
        Column("grade", "ordinal", categories=["low", "mid", "high"]),
        Column("height", actionable=False),
    ]
)


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        ({"immutable": ["incme"]}, "names 'incme', which is no column. Did you mean 'income'?"),
        ({"ranges": {"incme": (0, 1)}}, "names 'incme'"),
        (
            {"immutable": ["income"], "increase_only": ["income"]},
            "'income' is immutable and also named in increase_only",
        ),
        ({"immutable": ["income"], "ranges": {"income": (0, 500)}}, "immutable and also named in ranges"),
        ({"immutable": ["sex"], "free": ["sex"]}, "immutable and also named in free"),
        ({"increase_only": ["income"], "decrease_only": ["income"]}, "'income' may only increase and only decrease"),
        ({"decrease_only": ["age"]}, "'age' may only decrease here, but only increase in the schema"),
        ({"increase_only": ["home"]}, "'home' is categorical and has no direction"),
        ({"ranges": {"income": (900, 400)}}, "range of 'income' is empty: 900 exceeds 400"),
        ({"ranges": {"income": (4000, 5000)}}, "lies outside the schema's bounds 150 to 3500"),
        ({"ranges": {"income": (210, 290)}}, "holds no multiple of its step 100"),
        ({"ranges": {"income": ("low", 5)}}, "needs numbers or None, got 'low'"),
        ({"ranges": {"home": (0, 1)}}, "'home' is categorical and has no range"),
        ({"ranges": {"grade": ("low", "hihg")}}, "'hihg' is no category of 'grade'.*Did you mean 'high'?"),
        ({"ranges": {"grade": ("high", "low")}}, "range of 'grade' is empty"),
        ({"allowed": {"home": ["onw"]}}, "'onw' is no category of 'home'.*Did you mean 'own'?"),
        ({"allowed": {"income": [200]}}, "'income' is continuous and has no categories"),
        ({"free": ["height"]}, "'height' cannot be freed.*not actionable"),
    ],
)
def test_contradictions_are_refused_by_name(constraints, sentence):
    with pytest.raises(ConstraintError, match=sentence):
        Rules.compile(SCHEMA, Constraints(**constraints), np.zeros((1, 6)))


@pytest.mark.parametrize(
    ("constraints", "sentence"),
    [
        ({"max_changes": 0}, "max_changes must be a whole number >= 1, got 0"),
        ({"max_changes": True}, "max_changes must be a whole number >= 1, got True"),
        ({"ranges": {"income": (1, 2, 3)}}, r"must be a pair \(lowest, highest\)"),
        ({"ranges": {"income": "05"}}, "must be a pair"),
        ({"allowed": {"home": []}}, "no category of 'home' is allowed"),
    ],
)
def test_settings_of_the_wrong_form_are_refused(constraints, sentence):
    with pytest.raises(ConstraintError, match=sentence):
        Constraints(**constraints)


@pytest.mark.parametrize(
    "constraints",
    [
        {},
        {"immutable": "sex", "increase_only": ["income"], "ranges": {"age": (None, 60)}, "max_changes": 3},
        {"ranges": {"income": (0, 5000), "grade": ("mid", None)}, "allowed": {"home": "own"}, "free": ["sex"]},
        {"increase_only": ["age", "grade", "sex"]},
    ],
)
def test_what_does_not_contradict_is_taken(constraints):
    asked = Constraints(**constraints)
    check_constraints(SCHEMA, asked)
    assert Constraints.from_dict(json.loads(json.dumps(asked.to_dict()))) == asked


def test_an_unknown_constraint_is_refused():
    with pytest.raises(ConstraintError, match="no constraint 'imutable'. Did you mean 'immutable'?"):
        Constraints.from_dict({"imutable": []})


def test_a_single_name_is_a_list_of_one():
    assert Constraints(immutable="sex") == Constraints(immutable=["sex"])
