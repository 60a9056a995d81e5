"""The promises, for every registered method, over made-up schemas, tables, models, rows and constraints."""

import numpy as np
import pandas as pd
import pytest

from counterflow import Constraints
from counterflow.tables import Column, Schema
from tests.laws.promises import broken_links, held_that_changed, valid_again


def test_every_method_keeps_every_promise(run_unhooked):
    """500 pairs of a row and a question, without shape checks, which would take most of the time."""
    script = """
        import warnings
        from collections import Counter

        from hypothesis import Phase, given, settings
        from hypothesis import strategies as st

        from counterflow.estimators.methods import METHODS
        from tests.laws.promises import answered, world

        ROWS, QUESTIONS, WORLDS = 20, 25, 3
        cases, endings = Counter(), Counter()

        @settings(max_examples=QUESTIONS, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
        @given(st.integers(0, 10**6))
        def every_promise(seed):
            place = sum(cases.values()) // ROWS  # methods and worlds in turn, so that none is left out
            name = list(METHODS)[place % len(METHODS)]
            answer = answered(world(place // len(METHODS) % WORLDS), name, seed, rows=ROWS, quick=True)
            cases[name] += ROWS
            endings.update(status.value for status in answer.status)

        every_promise()
        print(sum(cases.values()), len(cases), len(METHODS), *endings)
    """
    rows, tried, methods, *endings = run_unhooked(script, warnings="ignore", timeout=900).split()
    assert int(rows) >= 500
    assert tried == methods
    assert set(endings) >= {"found", "not_valid", "already_desired"}


SCHEMA = Schema(
    [Column("a"), Column("b", "integer"), Column("sex", "binary", categories=("f", "m"), protected=True)],
    linked=["a <= 2 * b"],
)
BEFORE = pd.DataFrame({"a": [1.0, 9.0], "b": [2, 3], "sex": ["f", "m"]})


@pytest.mark.parametrize(
    ("column", "values", "held", "links"),
    [
        ("a", [1.0, 9.0], [], 0),
        ("a", [3.0, 6.0], [], 0),
        ("a", [4.5, 7.0], [], 2),
        ("a", [np.nextafter(1.0, 2.0), 9.0], ["a"], 0),
        ("b", [2.0, 3.0], ["b"], 0),
        ("sex", ["m", "m"], ["sex"], 0),
    ],
)
def test_the_check_itself_can_fail(column, values, held, links):
    after = BEFORE.assign(**{column: values})
    immutable = [name for name in held if name != "sex"]
    assert held_that_changed(SCHEMA, Constraints(immutable=immutable), BEFORE, after) == held
    assert len(broken_links(SCHEMA, Constraints(), BEFORE, after)) == links


def test_validity_is_that_of_the_model_and_of_nothing_else():
    class Model:
        classes_ = ("no", "yes")

        def predict(self, frame):
            return np.array(["yes", "no"])

        def predict_proba(self, frame):
            return np.array([[0.2, 0.8], [0.6, 0.4]])

    wished = np.array(["yes", "yes"], dtype=object)
    assert valid_again(Model(), BEFORE, wished, None).tolist() == [True, False]
    assert valid_again(Model(), BEFORE, wished, (0.3, 0.5)).tolist() == [False, True]
