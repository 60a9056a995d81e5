"""The three promises, for random rows under random constraints, checked by code that shares nothing with the library.

Whatever the method and the question: what must not change is bitwise what it was; every rule is kept; what is said of a
row (valid, plausible, witness) holds for exactly the row that is returned.
"""

from dataclasses import replace

import numpy as np
import pytest

from counterflow import PPCEF, Constraints
from counterflow.counterfactuals.baselines import Wachter
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_frame, loan_schema, variant
from tests.estimators.promises import broken, check, nothing_asked, strange_rows


def test_every_promise_is_kept(run_unhooked):
    """At least 500 pairs of a row and a question, without shape checks, which would take most of the time."""
    script = """
        from tests.estimators import promises
        promises.every_promise()
        print(sum(promises.TRIED), *promises.ENDINGS)
    """
    rows, *endings = run_unhooked(script, warnings="default").split()
    assert int(rows) >= 500
    assert set(endings) >= {"found", "valid_not_plausible", "not_valid", "already_desired"}


def test_a_baseline_keeps_every_promise():
    """Density is nothing to Wachter's search; what is said of its answers must be right all the same."""
    explainer, rows = variant(loan_explainer(), Wachter()), strange_rows(11)
    question = {"probability": None, "count": 1, "min_plausibility": 0.1, "norm": None}
    asked = nothing_asked(decrease_only=["debt"], ranges={"income": (500, 1500)})
    answer = explainer.explain(rows, APPROVED, constraints=Constraints(**asked))
    check(explainer, rows, [APPROVED] * len(rows), question, asked, answer)
    assert answer.valid.mean() > 0.8


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sex", "m"),
        ("accounts", 21),
        ("accounts", -9),
        ("income", 987.65),
        ("age", 20),
        ("housing", "tent"),
        ("gain", -1.0),
    ],
)
def test_the_check_itself_can_fail(name, value):
    before = loan_frame(1, 5).to_dict("records")[0] | {"sex": "f", "accounts": 3, "age": 40}
    asked = nothing_asked()
    assert broken(asked, before, before) == []
    assert len(broken(asked, before, before | {name: value})) == 1


def test_the_usual_search_keeps_them_too():
    """Once with all its steps, and with good answers to show for it."""
    explainer, rows = loan_explainer(), loan_frame(40, 77)
    question = {"probability": None, "count": 1, "min_plausibility": 0.1, "norm": None}
    asked = nothing_asked(immutable=["age"], increase_only=["income"], max_changes=4)
    answer = explainer.explain(rows, APPROVED, constraints=Constraints(**asked), min_plausibility=0.1)
    check(explainer, rows, [APPROVED] * 40, question, asked, answer)
    searched = answer.answered
    assert searched.sum() > 10
    assert answer.valid[searched].mean() > 0.95
    assert answer.plausible[searched].mean() > 0.9


def test_the_same_row_alone_or_in_company_gets_the_same_answer():
    explainer = variant(loan_explainer(), replace(PPCEF(), max_steps=15))
    rows = loan_frame(12, 21)
    together = explainer.explain(rows, APPROVED)
    scale = explainer.background_.scale.numpy()
    discrete = [column.name not in ("income", "debt", "gain") for column in loan_schema().columns]
    for place in np.flatnonzero(together.answered)[:3]:
        alone = explainer.explain(rows.iloc[[place]], APPROVED)
        np.testing.assert_array_equal(alone.numbers[0, discrete], together.numbers[place, discrete])
        np.testing.assert_allclose(alone.numbers[0] / scale, together.numbers[place] / scale, atol=1e-4)
        assert alone.status[0] is together.status[place]
