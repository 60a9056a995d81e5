"""Projection against the second witness that reads the rules value by value."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.core.errors import ShapeError
from counterflow.tables import Atom, Column, Constraints, Rules, Schema
from tests.tables.made import build_table, constraint_settings, schema_settings, seeds

NAN = float("nan")


def same(a, b):
    return (a == b) | (a.isnan() & b.isnan())


def column_rules(column, values, **constraints):
    return Rules.compile(Schema([column]), Constraints(**constraints), np.array(values, dtype=float)[:, None])


def projected(rules, *values):
    return rules.project(torch.tensor(values, dtype=torch.float64)[:, None]).squeeze(1).tolist()


@st.composite
def questions(draw):
    columns = draw(schema_settings())
    return columns, draw(constraint_settings(columns)), draw(st.sampled_from([0.3, 5.0, 1e6])), draw(seeds)


def cases(test):
    """Run a test on made-up schemas, constraints, factual rows and proposals of all sorts."""

    @settings(max_examples=60)
    @given(questions())
    def run(question):
        columns, constraints, size, seed = question
        schema, numbers = build_table(columns, seed)
        random = np.random.default_rng([seed, 1])
        moved = numbers + random.normal(size=numbers.shape) * size
        swapped = np.where(random.random(numbers.shape) < 0.3, random.permutation(numbers), moved)
        kept = np.where(random.random(numbers.shape) < 0.3, numbers, swapped)
        strange = random.choice([NAN, np.inf, -np.inf, 0.0, -9.0, 999.0], size=numbers.shape)
        proposed = np.where(random.random(numbers.shape) < 0.15, strange, kept)
        test(schema, Constraints(**constraints), numbers, proposed)

    return run


@cases
def test_what_is_projected_breaks_no_rule(schema, constraints, numbers, proposed):
    rules = Rules.compile(schema, constraints, numbers)
    legal = rules.project(torch.tensor(proposed))
    assert rules.violations(legal) == [[]] * len(numbers)
    assert same(rules.project(legal), legal).all()
    assert rules.legal(legal).all()


@cases
def test_legal_agrees_with_the_second_witness(schema, constraints, numbers, proposed):
    rules = Rules.compile(schema, constraints, numbers)
    broken = rules.violations(torch.tensor(proposed))
    assert rules.legal(torch.tensor(proposed)).tolist() == [not phrases for phrases in broken]


@cases
def test_the_factual_is_legal_bit_for_bit(schema, constraints, numbers, proposed):
    rules = Rules.compile(schema, constraints, numbers)
    factual = torch.tensor(numbers)
    assert rules.project(factual).numpy().tobytes() == numbers.tobytes()
    assert rules.violations(factual) == [[]] * len(numbers)


@cases
def test_can_change_says_whether_any_other_row_is_legal(schema, constraints, numbers, proposed):
    """Brute force: every single-column change to a value of a fine grid, an atom or a category."""
    rules = Rules.compile(schema, constraints, numbers[:3])
    for row in range(3):
        tried = []
        for place, column in enumerate(schema.columns):
            steps = np.arange(-140, 141) / 2
            values = range(len(column.categories)) if column.labeled else [*steps, *(a.value for a in column.atoms)]
            for value in values:
                changed = numbers[row].copy()
                changed[place] = value
                tried.append(changed)
        tried = torch.tensor(np.array(tried))
        again = rules.take(torch.full((len(tried),), row))
        different = again.changed(tried).any(1)
        found = bool((different & again.legal(tried)).any())
        assert found <= bool(rules.can_change[row])
        if all(column.labeled or column.kind != "continuous" for column in schema.columns):
            assert found == bool(rules.can_change[row])


@cases
def test_rows_are_independent(schema, constraints, numbers, proposed):
    together = Rules.compile(schema, constraints, numbers).project(torch.tensor(proposed))
    alone = [
        Rules.compile(schema, constraints, numbers[[row]]).project(torch.tensor(proposed[[row]])) for row in range(4)
    ]
    assert same(torch.cat(alone), together[:4]).all()


@cases
def test_leading_dimensions_are_draws(schema, constraints, numbers, proposed):
    rules = Rules.compile(schema, constraints, numbers)
    stacked = torch.stack([torch.tensor(proposed), torch.tensor(numbers)])
    assert same(rules.project(stacked), torch.stack([rules.project(part) for part in stacked])).all()


@cases
def test_clamp_stays_in_the_box_and_holds_what_is_fixed(schema, constraints, numbers, proposed):
    rules = Rules.compile(schema, constraints, numbers)
    clamped = rules.clamp(torch.tensor(np.nan_to_num(proposed)))
    held = ~rules.movable & ~rules.may_switch
    assert same(clamped, rules.factual)[held].all()
    inside = (clamped >= rules.lower) & (clamped <= rules.upper)
    assert (inside | same(clamped, rules.factual))[rules.movable].all()


def test_a_factual_outside_the_bounds_stays_or_comes_in():
    rules = column_rules(Column("income", decimals=0), [7000.0] * 4, ranges={"income": (0, 5000)})
    assert projected(rules, 6900.0, 5900.0, 4000.2, -5.0) == [7000.0, 5000.0, 4000.0, 0.0]
    assert rules.upper[0].item() == 7000.0


def test_codes_are_never_rewritten_or_landed_on():
    column = Column("months", "integer", lower=0, upper=50, atoms=[Atom(-9), Atom(30)])
    rules = column_rules(column, [-9.0, 10.0, 10.0])
    assert projected(rules, 12.0, -9.0, 30.2) == [-9.0, 0.0, 10.0]
    assert rules.movable[:, 0].tolist() == [False, True, True]


def test_codes_that_are_allowed_may_be_left_and_landed_on():
    column = Column("months", "integer", lower=0, upper=50, atoms=[Atom(-9, may_change=True, allowed=True)])
    rules = column_rules(column, [-9.0, 10.0, 10.0])
    assert projected(rules, 12.0, -9.0, -4.0) == [12.0, -9.0, 0.0]
    directed = column_rules(column, [-9.0, 10.0], increase_only=["months"])
    assert projected(directed, 12.0, -9.0) == [-9.0, 10.0]


def test_inflation_is_a_number():
    column = Column("gain", lower=0, upper=100, decimals=1, atoms=[Atom(0.0, "inflation")])
    assert projected(column_rules(column, [0.0, 5.0]), 7.04, 0.0) == [7.0, 0.0]
    held = Column("gain", lower=0, upper=100, atoms=[Atom(0.0, "inflation", may_change=False, allowed=False)])
    assert projected(column_rules(held, [0.0, 5.0]), 7.0, 0.0) == [0.0, 5.0]


def test_a_missing_value_stays_missing():
    column = Column("income", atoms=[Atom(NAN)])
    rules = column_rules(column, [NAN, 3.0])
    assert torch.isnan(rules.project(torch.tensor([[5.0], [NAN]], dtype=torch.float64))).tolist() == [[True], [False]]
    assert rules.can_change.tolist() == [False, True]


def test_float32_columns_get_numbers_that_float32_can_hold():
    column = Column("rate", lower=0.1, upper=0.7, decimals=2, dtype="Float32")
    factual = float(np.float32(0.3))
    rules = column_rules(column, [factual] * 3)
    values = projected(rules, 0.123, 0.9, 0.0)
    assert values == [float(np.float32(v)) for v in values]
    assert min(values) >= 0.1
    assert max(values) <= 0.7
    assert rules.legal(torch.tensor(values, dtype=torch.float64)[:, None]).all()


def test_an_ordinal_goes_to_the_nearest_allowed_category():
    column = Column("grade", "ordinal", categories=["a", "b", "c", "d", "e"])
    rules = column_rules(column, [0.0] * 3, allowed={"grade": ["b", "e"]})
    assert projected(rules, 1.9, 3.2, 0.4) == [1.0, 4.0, 0.0]
    ranged = column_rules(column, [0.0, 4.0], ranges={"grade": ("b", "c")})
    assert projected(ranged, 4.0, 0.0) == [2.0, 1.0]


def test_a_category_that_may_not_be_chosen_is_the_factual_one():
    column = Column("home", "categorical", categories=["own", "rent", None])
    rules = column_rules(column, [1.0, 0.0, 2.0])
    assert projected(rules, 2.0, 1.0, 0.0) == [1.0, 1.0, 0.0]
    assert rules.categories_of("home").tolist() == [[True, True, False], [True, True, False], [True, True, True]]


def test_max_changes_keeps_the_largest_or_the_preferred():
    schema = Schema([Column("a", lower=0, upper=10), Column("b", lower=0, upper=100), Column("c", lower=0, upper=1)])
    rules = Rules.compile(schema, Constraints(max_changes=1), np.zeros((1, 3)))
    proposed = torch.tensor([[5.0, 20.0, 0.1]], dtype=torch.float64)
    assert rules.project(proposed).tolist() == [[5.0, 0.0, 0.0]]
    priority = torch.tensor([[0.0, 1.0, 2.0]], dtype=torch.float64)
    assert rules.project(proposed, priority=priority).tolist() == [[0.0, 0.0, 0.1]]


def test_protected_columns_move_only_when_freed():
    column = Column("sex", "binary", categories=["f", "m"], protected=True)
    assert projected(column_rules(column, [0.0]), 1.0) == [0.0]
    assert projected(column_rules(column, [0.0], free=["sex"]), 1.0) == [1.0]


def test_taking_rows_repeats_and_reorders():
    rules = column_rules(Column("age", direction="increase"), [1.0, 2.0, 3.0])
    taken = rules.take(torch.tensor([2, 2, 0]))
    assert projected(taken, 0.0, 5.0, 0.0) == [3.0, 5.0, 1.0]
    assert len(taken) == 3
    assert len(rules.take(torch.tensor([True, False, True]))) == 2


def test_numbers_of_another_shape_are_refused():
    with pytest.raises(ShapeError, match=r"numbers must have shape \(rows, 1\), got \(2, 2\)"):
        Rules.compile(Schema([Column("age")]), None, np.zeros((2, 2)))


def test_clamp_passes_gradients():
    rules = column_rules(Column("age", lower=0, upper=5), [1.0, 2.0])
    numbers = torch.tensor([[1.0], [9.0]], dtype=torch.float64, requires_grad=True)
    rules.clamp(numbers).sum().backward()
    assert numbers.grad is not None
    assert numbers.grad.tolist() == [[1.0], [0.0]]


def test_rules_move_between_devices():
    rules = column_rules(Column("age", "integer", lower=0, upper=5), [1.0, 2.0]).to("cpu")
    assert projected(rules, 7.0, 3.4) == [5.0, 3.0]
    assert rules.to("meta").factual.is_meta
