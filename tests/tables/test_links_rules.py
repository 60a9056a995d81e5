"""Projection onto rules between columns, against the second witness and against brute force."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

from counterflow.core.errors import ConstraintError, SchemaError
from counterflow.tables import Changed, Column, Constraints, Implies, Is, Linear, Rules, Schema, Within
from tests.tables.made import build_table, constraint_settings, schema_settings, seeds

NAN = float("nan")
CLOSED = Schema(
    [Column("a", lower=0, upper=20, decimals=0), Column("b", "integer", lower=0, upper=20), Column("c", lower=0)]
)


def same(a, b):
    return (a == b) | (a.isnan() & b.isnan())


@st.composite
def conditions(draw, columns):
    """The settings of a condition: the shape checks that run in tests do not allow rules inside a strategy."""
    column = draw(st.sampled_from(columns))
    literal = st.sampled_from(column["categories"] if column.get("categories") else [0.0, 2.0, 4.0, 7.5, -9.0])
    kind = draw(st.sampled_from(["is", "changed", "lower", "upper", "above", "below"]))
    numeric = column["kind"] in ("continuous", "integer", "ordinal")
    kind = kind if numeric or kind == "changed" else "is"
    return kind, column["name"], draw(st.lists(literal, min_size=1, max_size=2))


def build_condition(kind, name, values):
    match kind:
        case "changed":
            return Changed(name)
        case "is":
            return Is(name, values)
        case _:
            return Within(name, **{kind: values[0]})


@st.composite
def links(draw, columns):
    """The settings of one to three rules; they may contradict each other."""
    numbers = [column["name"] for column in columns if "categories" not in column]
    found = []
    for _ in range(draw(st.integers(1, 3))):
        if numbers and draw(st.booleans()):
            names = draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=3, unique=True))
            factors = {name: draw(st.sampled_from([1, -1, 2, -0.5, 0.4])) for name in names}
            low = draw(st.sampled_from([-10, -2, 0, 3.5, 12]))
            wide = draw(st.sampled_from([0, 4]))
            bounds = draw(st.sampled_from([{"lower": low}, {"upper": low}, {"lower": low, "upper": low + wide}]))
            found.append((factors, bounds))
        else:
            found.append([draw(st.lists(conditions(columns), min_size=1, max_size=2)) for _ in range(2)])
    return found


def build_link(settings):
    if isinstance(settings, tuple):
        return Linear(settings[0], **settings[1])
    return Implies(*([build_condition(*condition) for condition in side] for side in settings))


@st.composite
def questions(draw):
    columns = draw(schema_settings())
    size = draw(st.sampled_from([0.3, 5.0]))
    return columns, draw(constraint_settings(columns)), draw(links(columns)), size, draw(seeds)


def cases(examples):
    """Run a test on made-up schemas, rules, factual rows and proposals of all sorts."""

    def decorated(test):
        @settings(max_examples=examples, phases=[Phase.explicit, Phase.generate])
        @given(questions(), st.booleans())
        def run(question, in_schema):
            columns, constraints, rules, size, seed = question
            schema, numbers = build_table(columns, seed, rows=6)
            rules = [build_link(each) for each in rules]
            random = np.random.default_rng([seed, 1])
            moved = np.where(
                random.random(numbers.shape) < 0.5, numbers, numbers + random.normal(size=numbers.shape) * size
            )
            swapped = np.where(random.random(numbers.shape) < 0.3, random.permutation(numbers), moved)
            strange = random.choice([NAN, np.inf, 0.0, -9.0], size=numbers.shape)
            proposed = np.where(random.random(numbers.shape) < 0.1, strange, swapped)
            try:
                schema = Schema(schema.columns, linked=rules) if in_schema else schema
                asked = Constraints(**constraints, linked=() if in_schema else rules)
                compiled = Rules.compile(schema, asked, numbers)
            except (ConstraintError, SchemaError):
                assume(False)
            test(compiled, numbers, torch.tensor(proposed))

        return run

    return decorated


@cases(60)
def test_what_is_projected_keeps_every_rule_and_stays(rules, numbers, proposed):
    legal = rules.project(proposed)
    assert rules.violations(legal) == [[]] * len(numbers)
    assert same(rules.project(legal), legal).all()
    assert rules.project(torch.tensor(numbers)).numpy().tobytes() == numbers.tobytes()


@cases(40)
def test_legal_agrees_with_the_second_witness(rules, numbers, proposed):
    rows = torch.cat([proposed[:2], rules.column_by_column(proposed)[2:]])
    assert rules.legal(rows).tolist() == [not phrases for phrases in rules.violations(rows)]


@cases(15)
def test_rows_and_draws_are_independent(rules, numbers, proposed):
    together = rules.project(proposed)
    alone = [
        Rules.compile(rules.schema, rules.constraints, numbers[[row]]).project(proposed[[row]]) for row in range(3)
    ]
    assert same(torch.cat(alone), together[:3]).all()
    stacked = torch.stack([torch.tensor(numbers), proposed])
    assert same(rules.project(stacked)[1], together).all()
    taken = torch.tensor([5, 1, 1])
    assert same(rules.take(taken).project(proposed[taken]), together[taken]).all()


@cases(40)
def test_the_gap_is_zero_where_the_linear_rules_are_kept(rules, numbers, proposed):
    """Brute force: the phrases of the second witness that speak of sums."""
    rows = rules.column_by_column(proposed)
    gap = rules.link_gap(rows)
    assert (gap >= 0).all()
    words = [str(link) for link in (*rules.schema.links, *rules.constraints.links) if isinstance(link, Linear)]
    broken = [any(repr(word) in phrase for word in words for phrase in row) for row in rules.violations(rows)]
    assert (gap > 0).tolist() == broken


def compiled(*linked, factual=(5.0, 5.0, 5.0), schema=CLOSED, **constraints):
    return Rules.compile(schema, Constraints(linked=linked, **constraints), np.array([factual], dtype=float))


def projected(rules, *values):
    return rules.project(torch.tensor([values], dtype=torch.float64))[0].tolist()


GRID = torch.tensor(list(product(range(21), range(21))), dtype=torch.float64)


@pytest.mark.parametrize(
    ("rule", "holds"),
    [
        ("a + b <= 12", lambda a, b: a + b <= 12),
        ("a >= 2 * b", lambda a, b: a >= 2 * b),
        ("b = a - 3", lambda a, b: b == a - 3),
        ("1 <= 2 * a - b <= 2", lambda a, b: (2 * a - b >= 1) & (2 * a - b <= 2)),
        ("2 * a = 3 * b", lambda a, b: 2 * a == 3 * b),
    ],
)
def test_against_all_rows_of_a_grid(rule, holds):
    """Brute force: every proposal becomes a row that the rule allows, not much farther away than the nearest one."""
    kept = GRID[holds(*GRID.T)]
    factual = np.full((len(GRID), 3), 5.0)
    rules = Rules.compile(CLOSED, Constraints(linked=[rule], immutable=["c"]), factual)
    found = rules.project(torch.cat([GRID, torch.full((len(GRID), 1), 5.0)], 1))[:, :2]
    changed = (found != 5.0).any(1)
    assert holds(*found[changed].T).all()
    assert changed.double().mean() > 0.9
    nearest = torch.cdist(GRID, kept, p=1).min(1).values
    assert ((found - GRID).abs().sum(1) <= 2 * nearest + 2)[changed].all()


def test_the_cheapest_column_moves():
    assert projected(compiled("a + b <= 12", cost={"a": 5}), 9.0, 8.0, 5.0) == [9.0, 3.0, 5.0]
    assert projected(compiled("a + b <= 12", cost={"b": 5}), 9.0, 8.0, 5.0) == [4.0, 8.0, 5.0]
    assert projected(compiled("a + b <= 12", immutable=["b"]), 9.0, 8.0, 5.0) == [7.0, 5.0, 5.0]
    assert projected(compiled("a + b <= 12", decrease_only=["a"]), 9.0, 9.0, 5.0) == [5.0, 7.0, 5.0]


def test_a_move_lands_on_the_grid_inside_the_rule():
    assert projected(compiled("a <= 0.4 * c", immutable=["c"]), 7.6, 5.0, 5.0) == [2.0, 5.0, 5.0]
    assert projected(compiled("a >= 0.7 * c", immutable=["c"]), 2.0, 5.0, 5.0) == [4.0, 5.0, 5.0]


def test_several_columns_move_where_one_cannot():
    """Each alone reaches 20; 4 * 20 are not enough for 90 and both together are."""
    assert projected(compiled("4 * a + b >= 90"), 9.0, 6.0, 5.0) == [20.0, 10.0, 5.0]


def test_an_equality_across_grids_is_solved_by_a_step_aside():
    schema = Schema([Column("fifth", "integer", lower=0), Column("whole", "integer", lower=0, upper=99)])
    rules = compiled("fifth = 0.2 * whole", factual=(1.0, 5.0), schema=schema)
    fifth, whole = projected(rules, 3.0, 17.0)
    assert whole == 5 * fifth
    assert (fifth, whole) != (1.0, 5.0)


def test_a_rule_that_cannot_be_kept_is_left_alone():
    """Two columns that must stay leave the third where it is."""
    rules = compiled("a = b + c", factual=(10.0, 5.0, 5.0), immutable=["b", "c"])
    assert projected(rules, 13.0, 5.0, 5.0) == [10.0, 5.0, 5.0]


def test_an_unchanged_row_may_break_a_rule_and_a_changed_one_may_not():
    rules = compiled("a >= b + 3", immutable=["c"])
    assert rules.violations(rules.factual) == [[]]
    assert rules.link_gap(rules.factual).tolist() == [0.0]
    assert projected(rules, 5.0, 4.0, 5.0)[0] >= projected(rules, 5.0, 4.0, 5.0)[1] + 3


def test_max_changes_and_rules_hold_together():
    rules = compiled("c = a + b", factual=(5.0, 5.0, 10.0), max_changes=2)
    found = rules.project(torch.tensor([[9.0, 8.0, 17.0]], dtype=torch.float64))
    assert int(rules.changed(found).sum()) == 2
    assert found[0, 2] == found[0, 0] + found[0, 1]
    single = compiled("c = a + b", factual=(5.0, 5.0, 10.0), max_changes=1)
    assert projected(single, 9.0, 8.0, 17.0) == [5.0, 5.0, 10.0]


PEOPLE = Schema(
    [
        Column("status", "categorical", categories=["single", "married", "widowed"]),
        Column("relation", "categorical", categories=["none", "husband", "wife"]),
        Column("children", "integer", lower=0, upper=9),
        Column("grade", "ordinal", categories=["low", "mid", "high"]),
    ]
)


@pytest.mark.parametrize(
    ("rule", "factual", "proposed", "expected", "others"),
    [
        ("status = married implies relation in (husband, wife)", [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], {}),
        ("status = married implies relation in (husband, wife)", [0, 0, 0, 0], [1, 2, 0, 0], [1, 2, 0, 0], {}),
        ("status = married implies relation in (husband, wife)", [1, 0, 0, 0], [1, 0, 2, 0], [1, 0, 2, 0], {}),
        ("status = married implies relation in (husband, wife)", [1, 2, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0], {}),
        (
            "status = married implies relation in (husband, wife)",
            [0, 0, 0, 0],
            [1, 0, 4, 0],
            [0, 0, 4, 0],
            {"immutable": ["relation"]},
        ),
        ("children > 3 implies grade >= mid", [0, 0, 0, 0], [0, 0, 5, 0], [0, 0, 5, 1], {}),
        ("grade = high implies children < 3", [0, 0, 7, 0], [0, 0, 7, 2], [0, 0, 2, 2], {}),
        ("grade = high implies children > 3", [0, 0, 2, 0], [0, 0, 2, 2], [0, 0, 4, 2], {}),
        ("status changes implies grade changes", [0, 0, 2, 0], [1, 0, 2, 0], [0, 0, 2, 0], {}),
        ("status changes implies grade changes", [0, 0, 2, 0], [1, 0, 2, 1], [1, 0, 2, 1], {}),
        ("status changes and children >= 2 implies grade = high", [0, 0, 1, 0], [1, 0, 1, 0], [1, 0, 1, 0], {}),
    ],
)  # fmt: skip
def test_implications_are_followed_or_taken_back(rule, factual, proposed, expected, others):
    rules = compiled(rule, factual=factual, schema=PEOPLE, **others)
    assert projected(rules, *proposed) == expected
    tried = torch.tensor([proposed], dtype=torch.float64)
    assert bool(rules.legal(tried)) == (expected == proposed)


def test_the_gap_is_the_distance_to_the_rule_in_units_of_the_columns():
    """Closed form: |3 * 9 + 4 * 8 - 30| / ||(3 * 2, 4 * 5)||, and its gradient is the unit normal in these units."""
    schema = Schema([Column("a"), Column("b")])
    scale = torch.tensor([2.0, 5.0], dtype=torch.float64)
    rules = Rules.compile(schema, Constraints(linked=["3 * a + 4 * b <= 30"]), np.zeros((1, 2)), scale=scale)
    numbers = torch.tensor([[9.0, 8.0]], dtype=torch.float64, requires_grad=True)
    gap = rules.link_gap(numbers)
    assert gap.item() == pytest.approx(29 / np.hypot(6, 20))
    (slope,) = torch.autograd.grad(gap.sum(), numbers)
    assert (slope * scale).norm().item() == pytest.approx(1.0)


def test_decimals_add_up_as_they_are_written():
    """0.1 + 0.2 is 0.3 for people, and misses it by a rounding in floating point."""
    schema = Schema([Column("total", decimals=1), Column("a", decimals=1), Column("b", decimals=1)])
    rules = compiled("total = a + b", factual=(0.0, 0.0, 0.0), schema=schema)
    tried = torch.tensor([[0.3, 0.1, 0.2]], dtype=torch.float64)
    assert rules.legal(tried).all()
    assert rules.violations(tried) == [[]]
    off = torch.tensor([[0.4, 0.1, 0.2]], dtype=torch.float64)
    assert not rules.legal(off).any()
    assert len(rules.violations(off)[0]) == 1


def test_rules_with_links_move_between_devices():
    rules = compiled("a + b <= 12").to("cpu")
    assert projected(rules, 9.0, 8.0, 5.0) in ([4.0, 8.0, 5.0], [9.0, 3.0, 5.0])
    assert rules.to("meta").scale.is_meta
