"""One change for many rows, against a loop over rows and by hand."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, DataError
from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.group_changes import GroupChange, apply_change, changes_of, choose_change
from counterflow.counterfactuals.groups import explain_group, try_change
from counterflow.tables import Constraints
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_model, refused_rows, variant
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)


def plain_task(factuals, **settings):
    """Accepted where x0 > 1; plausible near the origin."""
    schema = plain_schema(2)
    density = toy_density(schema, plain_numbers(200))
    return toy_task(schema, factuals, LinearModel([1.0, 0.0], 1.0), density=density, **settings)


def mixed_task(factuals, **settings):
    density = toy_density(mixed_schema(), mixed_numbers(200))
    return toy_task(mixed_schema(), factuals, LinearModel([0.4, 0.3, 0.2, 0.5, 0.6], 1.5), density=density, **settings)


def test_a_change_is_made_in_each_row_and_made_legal():
    """By hand: a code stays a code, bounds hold, a category is put in."""
    change = GroupChange(mixed_schema(), by={"money": 2.0, "count": 3.0}, to={"label": 2.0})
    rows = np.array([[1.0, 4.0, 0.0, 0.0, 1.0], [39.5, -9.0, 0.0, 2.0, 1.0], [0.0, 11.0, 0.0, 1.0, 0.0]])
    outcome = apply_change(mixed_task(rows), change)
    assert outcome.numbers.tolist() == [
        [3.0, 7.0, 0.0, 2.0, 1.0],
        [40.0, -9.0, 0.0, 2.0, 1.0],
        [2.0, 12.0, 0.0, 2.0, 0.0],
    ]


def test_the_share_is_that_of_rows_judged_one_by_one():
    factuals = mixed_numbers(30, seed=1)
    task = mixed_task(factuals)
    outcome = apply_change(task, GroupChange(mixed_schema(), by={"money": 4.0}, to={"level": 2.0}))
    served = []
    for row in range(30):
        one = task.of_rows(torch.tensor([row]))
        numbers = torch.from_numpy(outcome.numbers[row][None])
        assert one.rules.violations(numbers) == [[]]
        label = one.goal.target
        met = bool(one.goal.met(one.verdict(numbers)))
        served.append(met and one.density.plausibility(one.density.log_density(numbers, label), label)[0] >= 0.1)
    assert outcome.served.tolist() == served
    assert outcome.share == pytest.approx(np.mean(served))
    assert 0 < outcome.share < 1


def test_changes_of_answers_are_read_back():
    factuals = torch.from_numpy(mixed_numbers(20, seed=2))
    task = mixed_task(factuals)
    answers = task.rules.project(torch.from_numpy(mixed_numbers(20, seed=3)))
    rows = torch.arange(20)
    for change, row in zip(changes_of(task, answers), rows, strict=True):
        assert torch.allclose(change.on(factuals[row][None]), answers[row][None], equal_nan=True)


def test_equal_changes_are_one_candidate_and_no_change_is_none():
    task = plain_task(np.array([[0.0, 0.0], [0.5, 1.0], [0.3, 0.3]]))
    answers = task.factuals + torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).double()
    assert [change.by for change in changes_of(task, answers)] == [{"x0": 1.0}]


def test_the_best_change_by_brute_force():
    """All rows need x0 > 1 and stay plausible only near the origin: of a grid of steps the one that serves most."""
    factuals = np.stack((np.linspace(-1.0, 0.9, 24), np.zeros(24)), 1)
    task = plain_task(factuals)
    grid = [GroupChange(plain_schema(2), by={"x0": step}) for step in np.linspace(0.2, 2.0, 10)]
    best = choose_change(task, grid)
    tried = [apply_change(task, change.times(length)).served.sum() for change in grid for length in (1.0, 1.5, 2.0)]
    assert best.served.sum() == max(tried)
    assert f"serves {max(tried)} of 24 rows" in best.sentence


def test_columns_that_are_not_needed_are_left_out():
    task = plain_task(np.stack((np.linspace(0.0, 0.9, 8), np.zeros(8)), 1))
    best = choose_change(task, [GroupChange(plain_schema(2), by={"x1": 0.3, "x0": 1.1})])
    assert list(best.change.by) == ["x0"]


def test_a_change_says_what_it_is():
    change = GroupChange(mixed_schema(), by={"money": -2.5}, to={"label": 1.0})
    assert change.sentence == "money down by 2.5 and label to 'b'"
    assert change.without("label").sentence == "money down by 2.5"
    assert change.times(2.0).by == {"money": -5.0}
    assert len(change) == 2


def test_wrong_changes_are_refused():
    with pytest.raises(ArgumentError, match="each once"):
        GroupChange(mixed_schema(), by={"money": 1.0}, to={"money": 2.0})
    with pytest.raises(ArgumentError, match="names columns of the schema"):
        GroupChange(mixed_schema(), by={"nothing": 1.0})
    with pytest.raises(DataError, match="no change to choose from"):
        choose_change(plain_task(np.zeros((1, 2))), [])


def test_steps_are_no_longer_than_needed():
    """All rows start at 0 and are accepted beyond 1: a step of 2 serves them, and so does one of 1.2."""
    task = plain_task(np.zeros((5, 2)))
    best = choose_change(task, [GroupChange(plain_schema(2), by={"x0": 2.0})])
    assert best.share == 1.0
    assert best.change.by["x0"] == pytest.approx(1.2)


@pytest.fixture(scope="module")
def segment():
    explainer = variant(loan_explainer(), PPCEF(max_steps=20))
    return explainer, explain_group(explainer, refused_rows(24), desired=APPROVED)


def test_a_group_answer_is_judged_by_the_model_itself(segment):
    _, answer = segment
    np.testing.assert_array_equal(loan_model().predict(answer.frame) == APPROVED, answer.outcome.valid)
    assert answer.outcome.served.sum() == pytest.approx(answer.share * len(answer.rows))
    assert answer.share <= answer.alone + 1e-9 or answer.alone < 1
    assert len(answer.change) >= 1
    assert "sex" not in {*answer.change.by, *answer.change.to}


def test_the_same_change_can_be_tried_on_other_rows(segment):
    explainer, answer = segment
    again = try_change(explainer, refused_rows(24), desired=APPROVED, change=answer.change)
    np.testing.assert_array_equal(again.outcome.numbers, answer.outcome.numbers)
    np.testing.assert_array_equal(again.witness, answer.witness)
    fresh = try_change(explainer, refused_rows(12, seed=99), desired=APPROVED, change=answer.change)
    assert len(fresh.rows) == 12
    assert np.isnan(fresh.alone)
    assert 0 <= fresh.share <= 1


def test_constraints_bind_the_one_change_too(segment):
    explainer, _ = segment
    answer = explain_group(
        explainer, refused_rows(12), desired=APPROVED, constraints=Constraints(immutable=["income", "debt"])
    )
    assert not {"income", "debt"} & {*answer.change.by, *answer.change.to}
