"""Rules between columns: what they say, how they are written, and what is refused before any search."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from counterflow.core.errors import ConstraintError, SchemaError
from counterflow.tables import (
    Atom,
    Changed,
    Column,
    Constraints,
    Implies,
    Is,
    Linear,
    Rules,
    Schema,
    Within,
    check_constraints,
    parse_link,
)
from counterflow.tables.link_text import as_links

SCHEMA = Schema(
    [
        Column("age", "integer", lower=18, upper=99),
        Column("income", lower=0, upper=5000, decimals=0),
        Column("debt", lower=0, upper=5000, decimals=0),
        Column("marital-status", "categorical", categories=["Married", "Single", None]),
        Column("grade", "ordinal", categories=["low", "mid", "high"]),
        Column("sex", "binary", categories=["f", "m"], protected=True),
        Column("height", actionable=False),
        Column("even", "integer", lower=0, upper=20, step=2),
        Column("tens", "integer", lower=0, upper=90, step=10),
    ]
)


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("debt <= 0.4 * income", Linear({"debt": 1, "income": -0.4}, upper=0)),
        ("total = a + b", Linear({"total": 1, "a": -1, "b": -1}, lower=0, upper=0)),
        ("tenure<=age - 18", Linear({"tenure": 1, "age": -1}, upper=-18)),
        ("2 * a + a - b * 0.5 + 4 >= 7", Linear({"a": 3, "b": -0.5}, lower=3)),
        ("0 <= a - b + 1 <= 10", Linear({"a": 1, "b": -1}, lower=-1, upper=9)),
        ("10 >= a >= -a", None),
        ("-a >= -3", Linear({"a": 1}, upper=3)),
        ("- 2*'big a' + 10 == -1.5 * \"x <= y\"", Linear({"big a": -2, "x <= y": 1.5}, lower=-10, upper=-10)),
        (
            "marital-status = Married implies relationship in (Husband, Wife)",
            Implies(Is("marital-status", "Married"), Is("relationship", ["Husband", "Wife"])),
        ),
        ("children > 0 implies 18 <= age", Implies(Within("children", above=0), Within("age", lower=18))),
        (
            "job changes and 0 < age <= 30 implies tenure = 0 and x = \"3\"",
            Implies([Changed("job"), Within("age", above=0, upper=30)], [Is("tenure", 0), Is("x", "3")]),
        ),
        ("a = missing implies b in (true, 2.5)", Implies(Is("a", [None]), Is("b", [True, 2.5]))),
        ("grade >= mid implies 5 > n", Implies(Within("grade", lower="mid"), Within("n", below=5))),
    ],
)  # fmt: skip
def test_rules_are_read_and_written_again(text, link):
    if link is None:
        with pytest.raises(ConstraintError, match="the outer ones must be numbers"):
            parse_link(text)
        return
    assert parse_link(text) == link
    assert parse_link(str(link)) == link


names = st.text(st.characters(codec="utf-8", exclude_characters="\n\r"), min_size=1, max_size=5)
factors = st.floats(-1e6, 1e6).filter(bool)
values = st.one_of(names, st.integers(-99, 99), st.floats(-1e9, 1e9), st.booleans(), st.none())
numbers = st.floats(-1e9, 1e9)
conditions = st.one_of(
    st.builds(Changed, names),
    st.builds(Is, names, st.lists(values, min_size=1, max_size=3)),
    st.builds(lambda name, low: Within(name, lower=low), names, numbers),
    st.builds(lambda name, low, high: Within(name, above=low, upper=high), names, numbers, names),
    st.builds(lambda name, low: Within(name, below=low), names, names),
)


@given(st.dictionaries(names, factors, min_size=1, max_size=3), st.tuples(numbers, numbers), st.sampled_from("lub="))
def test_every_linear_rule_survives_its_text(coefficients, ends, kind):
    low, high = sorted(ends)
    sides = {
        "l": {"lower": low},
        "u": {"upper": high},
        "b": {"lower": low, "upper": high},
        "=": {"lower": low, "upper": low},
    }
    link = Linear(coefficients, **sides[kind])
    assert parse_link(str(link)) == link


@given(st.lists(conditions, min_size=1, max_size=2), st.lists(conditions, min_size=1, max_size=2))
def test_every_implication_survives_its_text(when, then):
    link = Implies(when, then)
    assert parse_link(str(link)) == link


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("debt", "it ends too early"),
        ("debt <= ", "it ends too early"),
        ("debt < 0.4 * income", "a linear rule has <= and not <"),
        ("debt <= 0.4 * income * age", "'income' times 'age' is not linear"),
        ("debt <= income age", "'age' stands where it should end"),
        ("debt <= (income)", r"expected a column before '\('"),
        ("0 <= a >= 2", "a rule with two signs"),
        ("a implies b = 2", "expected one of <=, >=, = before 'implies'"),
        ("a = 1 implies b in 2", r"expected '\(' before '2'"),
        ("18 <= a > 30 implies b = 2", "a range reads like"),
        ('"debt <= 4', "a quote is not closed"),
        ('"\\q" <= 4', ".*cannot be read"),
    ],
)
def test_what_is_no_rule_is_refused_with_an_example(text, sentence):
    with pytest.raises(ConstraintError, match=f"is no rule between columns: {sentence}.*Write one such as"):
        parse_link(text)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Linear({}, lower=0), "needs a column with a factor other than 0, got none"),
        (lambda: parse_link("a - a <= 3"), "needs a column with a factor other than 0"),
        (lambda: Linear({"a": float("inf")}, lower=0), "the factor of 'a' must be finite, got inf"),
        (lambda: Linear({"a": 1}), "a linear rule of a needs a lower or an upper bound"),
        (lambda: Linear({"a": 1}, lower=2, upper=1), "must have lower <= upper, got 2 and 1"),
        (lambda: Linear({"a": 1}, lower=float("nan")), "must have lower <= upper"),
        (lambda: Is("a", []), "a condition on 'a' needs at least one value"),
        (lambda: Within("a"), "a condition on the range of 'a' needs a bound"),
        (lambda: Within("a", lower=1, above=2), "has both lower and above. Keep one"),
        (lambda: Implies([], Changed("a")), "its 'when' has none"),
        (lambda: Implies(Changed("a"), []), "its 'then' has none"),
        (lambda: as_links([3]), "must be Linear, Implies or their text, got 3"),
        (lambda: Constraints(cost={"a": 0}), "the cost of 'a' must be a finite factor above 0, got 0"),
        (lambda: Constraints(cost={"a": True}), "the cost of 'a' must be a finite factor above 0, got True"),
    ],
)  # fmt: skip
def test_settings_of_the_wrong_form_are_refused(build, sentence):
    with pytest.raises(ConstraintError, match=sentence):
        build()


CONTRADICTIONS = [
    ("debt <= 0.4 * incme", {}, "names 'incme', which is no column. Did you mean 'income'?"),
    ("debt+income <= 9", {}, r"names 'debt\+income', which is no column.*Put blanks around \+ and -"),
    ("debt <= 0.4 * marital-status", {}, "adds 'marital-status', which is categorical and no number"),
    ("debt <= 100 * grade", {}, "adds 'grade', which is ordinal and no number"),
    ("income >= debt + 6000", {}, "can never hold: income - debt is at most 5000"),
    ("income <= debt - 6000", {}, "can never hold: income - debt is at least -5000"),
    ("income >= debt + 2000", {"ranges": {"income": (0, 1000)}}, "can never hold: income - debt is at most 1000"),
    ("even = tens + 1", {}, "on the grids of its columns the sum is a multiple of 2"),
    ("height = 2", {}, "binds nothing: 'height' may not change"),
    ("income = debt", {"immutable": ["income", "debt"]}, "binds nothing: 'income', 'debt' may not change"),
    ("sex = f implies height > 3", {}, "binds nothing: 'sex', 'height' may not change"),
    ("age changes implies height changes", {}, "demands a change of 'height', which may not change"),
    ("age changes implies income >= 6000", {}, "demands what the bounds 0 to 5000 of 'income' forbid"),
    ("age changes implies income > 5000", {}, "demands what the bounds 0 to 5000 of 'income' forbid"),
    ("age changes implies age < 20", {"ranges": {"age": (30, 50)}}, "the bounds 30 to 50 of 'age' forbid"),
    (
        "age > 30 implies marital-status = Married",
        {"allowed": {"marital-status": ["Single"]}},
        "demands 'Married' of 'marital-status', of which none is allowed",
    ),
    ("marital-status = Maried implies age > 30", {}, "names 'Maried', which is no category.*Did you mean 'Married'?"),
    ("marital-status > Married implies age > 30", {}, "'marital-status', which is categorical and has no order"),
    ("grade > hihg implies age > 30", {}, "names 'hihg', which is no category of 'grade'. Did you mean 'high'?"),
    ("30 < age < 20 implies grade = low", {}, "has an empty range for 'age'"),
    ("age = old implies grade = low", {}, "compares 'age' with 'old', which is no number"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "others", "sentence"), CONTRADICTIONS)
def test_contradictions_are_found_before_any_search(text, others, sentence):
    with pytest.raises(ConstraintError, match=f"the rule .*{sentence}"):
        Rules.compile(SCHEMA, Constraints(linked=[text], **others), np.zeros((1, len(SCHEMA))))


def test_rules_that_leave_no_value_together_are_refused():
    with pytest.raises(ConstraintError, match="cannot hold together with the other rules: they leave no value for"):
        check_constraints(SCHEMA, Constraints(linked=["income <= debt - 1000", "debt <= income"]))
    with pytest.raises(ConstraintError, match="cannot hold together"):
        check_constraints(SCHEMA, Constraints(linked=["age >= 50", "age <= 40"]))


def test_rules_of_the_schema_are_held_against_the_question():
    schema = Schema(SCHEMA.columns, linked=["income >= debt + 2000"])
    with pytest.raises(ConstraintError, match="the rule 'income >= debt \\+ 2000' can never hold"):
        check_constraints(schema, Constraints(ranges={"income": (0, 1000)}))
    check_constraints(schema, Constraints(immutable=["income", "debt"]))  # it binds nothing now, which is no mistake


@pytest.mark.parametrize("text", ["debt <= 0.4 * incme", "income >= debt + 6000", "height = 2", "debt <"])
def test_a_schema_refuses_the_same(text):
    with pytest.raises(SchemaError):
        Schema(SCHEMA.columns, linked=[text])


RULES = ["debt <= 0.4 * income", "marital-status = Married implies grade in (mid, high)", "2 <= age - 3 * even <= 30.5"]


def test_rules_are_part_of_the_schema_and_of_its_file(tmp_path):
    schema = Schema(SCHEMA.columns, linked=RULES)
    schema.to_yaml(tmp_path / "schema.yaml")
    again = Schema.from_yaml(tmp_path / "schema.yaml")
    assert again == schema
    assert again.links == tuple(parse_link(text) for text in RULES)
    assert Schema.from_dict(json.loads(json.dumps(schema.to_dict()))) == schema
    assert "linked" not in SCHEMA.to_dict()


def test_a_file_with_rules_of_another_form_is_refused():
    data = SCHEMA.to_dict()
    for wrong in ("debt <= income", [{"debt": 1}], 3):
        with pytest.raises(SchemaError, match="linked must be a list of rules such as"):
            Schema.from_dict(data | {"linked": wrong})


def test_a_schema_without_a_column_is_without_its_rules():
    schema = Schema(SCHEMA.columns, linked=RULES).without(["debt"])
    assert [str(link) for link in schema.links] == RULES[1:2] + ["2 <= age - 3 * even <= 30.5"]


def test_constraints_with_rules_and_costs_survive_their_data():
    asked = Constraints(linked=RULES, cost={"income": 2, "age": 0.5})
    check_constraints(SCHEMA, asked)
    data = json.loads(json.dumps(asked.to_dict()))
    assert data == {"linked": [str(link) for link in asked.links], "cost": {"income": 2.0, "age": 0.5}}
    assert Constraints.from_dict(data) == asked


def test_costs_are_factors_on_those_of_the_schema():
    schema = Schema([Column("a", cost=3), Column("b"), Column("c", cost=0.5)])
    rules = Rules.compile(schema, Constraints(cost={"a": 2, "b": 7}), np.zeros((2, 3)))
    assert rules.cost.tolist() == [6.0, 7.0, 0.5]
    with pytest.raises(ConstraintError, match="names 'd', which is no column"):
        Rules.compile(schema, Constraints(cost={"d": 2}), np.zeros((2, 3)))


def test_codes_are_no_numbers_of_a_sum_or_a_range():
    """Brute reading: with -9 in one column a sum says nothing, a range is not met, and = -9 is."""
    schema = Schema(
        [Column("a", "integer", lower=0, atoms=[Atom(-9, may_change=True, allowed=True)]), Column("b", lower=0)]
    )
    before = np.array([[5.0, 5.0]])
    for text, after, kept in [
        ("a >= b", [-9.0, 7.0], True),
        ("a >= b", [6.0, 7.0], False),
        ("b changes implies a < 8", [-9.0, 7.0], False),
        ("b changes implies a < 8", [5.0, 7.0], True),
        ("b changes implies a = -9", [-9.0, 7.0], True),
        ("b changes implies a = -9", [5.0, 7.0], False),
    ]:
        rules = Rules.compile(schema, Constraints(linked=[text]), before)
        tried = rules.factual.new_tensor([after])
        assert bool(rules.legal(tried)) == kept == (rules.violations(tried) == [[]])
