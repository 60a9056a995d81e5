"""Repairs against a model of steps that the stand-in knows only roughly; brute force says how near is possible."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals.finish import Incumbent
from counterflow.counterfactuals.repair import mend, repair
from counterflow.counterfactuals.search import Deadline
from tests.counterfactuals.test_starts import QUESTIONS, task_of
from tests.counterfactuals.toys import LinearModel, mixed_numbers, plain_numbers, plain_schema, toy_density, toy_task


class Steps:
    """A staircase: the second class where the score, cut to whole steps of a half, is beyond an offset."""

    def __init__(self, weight, offset):
        self.weight, self.offset, self.rows = torch.tensor(weight, dtype=torch.float64), offset, []

    def __call__(self, numbers, positions):
        assert len(numbers) == len(positions)
        self.rows.append(len(numbers))
        score = ((numbers.nan_to_num(0.0) @ self.weight) * 2).floor() / 2 - self.offset
        return torch.stack((torch.zeros_like(score), score - 0.25), 1)


def plane(rows=40, *, offset=2.0, seed=5, pool=200):
    """Points below the line that the stand-in draws at a sum of 1, where the model's step is at the offset."""
    numbers = plain_numbers(300)
    density = toy_density(plain_schema(), numbers)
    factuals = plain_numbers(rows, seed=seed) * 0.3 - 0.5
    guides = plain_numbers(pool, seed=6) + 1.2
    model = LinearModel([1.0, 1.0], 1.0)
    task = toy_task(plain_schema(), factuals, model, density=density, pool=guides, min_plausibility=1e-6)
    return replace(task, oracle=Steps([1.0, 1.0], offset)), on_the_line(task.factuals)


def on_the_line(factuals):
    """The nearest points that the stand-in accepts."""
    return factuals + (1.01 - factuals.sum(1, keepdim=True)) / 2


def met(task, numbers):
    return task.goal.met(task.verdict(numbers))


def test_answers_that_the_model_refuses_are_led_to_where_it_accepts():
    task, found = plane()
    assert not met(task, found).any()
    answers, repaired = mend(task, found)
    assert met(task, answers).all()
    assert repaired.all()


def test_repaired_answers_are_nearly_as_near_as_can_be():
    """The nearest point with a sum of at least 2.5 lies straight up the diagonal."""
    task, found = plane(offset=2.0)
    answers, _ = mend(task, found)
    best = ((2.5 - task.factuals.sum(1)) / 2**0.5) / task.scale.mean()
    share = task.distance(answers) / best
    assert share.min() > 0.95
    assert share.median() < 1.12
    assert share.max() < 1.5


def test_valid_answers_stay_as_they_are():
    task, found = plane(offset=0.0)
    assert met(task, found).all()
    answers, repaired = mend(task, found)
    assert torch.equal(answers, found)
    assert not repaired.any()


def test_without_an_oracle_nothing_is_done():
    task, found = plane()
    answers, repaired = mend(replace(task, oracle=None), found)
    assert answers is found
    assert not repaired.any()


def test_a_row_does_not_depend_on_its_company():
    task, found = plane(rows=8)
    together, _ = mend(task, found)
    for row in range(8):
        alone, _ = mend(task.of_rows(torch.tensor([row])), found[[row]])
        assert torch.equal(alone[0], together[row])


def test_the_model_is_asked_in_batches():
    few, many = plane(rows=2), plane(rows=80)
    for task, found in (few, many):
        mend(task, found)
    assert len(many[0].oracle.rows) < 40
    assert len(many[0].oracle.rows) < 2 * len(few[0].oracle.rows) + 10


@settings(max_examples=10)
@given(st.sampled_from(QUESTIONS), st.integers(0, 10**6))
def test_every_rule_is_kept_and_only_repaired_rows_change(constraints, seed):
    task = replace(task_of(mixed_numbers(12, seed), constraints), oracle=Steps([0.4, 0.3, 0.2, 1.0, 1.0], 4.0))
    found = task.rules.project(task.factuals + 0.6)
    before = met(task, found)
    answers, repaired = mend(task, found)
    assert task.rules.violations(answers) == [[]] * 12
    assert met(task, answers)[before].all()
    same = ((answers == found) | (answers.isnan() & found.isnan())).all(1)
    assert same[before & ~repaired].all()
    assert (met(task, answers) >= before).all()


def test_rows_without_guides_climb_column_by_column():
    """Only the category c is accepted, and no plausible row is there to borrow it from."""
    task = task_of(mixed_numbers(30, seed=2), pool_rows=1, min_plausibility=1e-6)
    label_c = Steps([0.0, 0.0, 0.0, 1.0, 0.0], 1.0)
    task = replace(task, oracle=label_c, pool=(task.pool[0], task.pool[1][:0]))
    refused = torch.nonzero(~met(task, task.factuals))[:, 0]
    task = task.of_rows(refused)
    answers, repaired = mend(task, task.factuals.clone())
    assert (answers[:, 3] == 2).all()
    assert repaired.all()
    assert (task.rules.changed(answers).sum(1) == 1).all()


def test_a_deadline_that_has_passed_stops_it():
    task, found = plane(rows=30)
    late = replace(task, deadline=Deadline(0.0), oracle=Steps([1.0, 1.0], 50.0))
    mend(late, found)
    assert len(late.oracle.rows) <= 16


def test_rows_that_cannot_be_repaired_are_not_called_repaired():
    task, found = plane(rows=5)
    never = replace(task, oracle=Steps([0.0, 0.0], 50.0))
    _, repaired = mend(never, found)
    assert not repaired.any()


def test_what_is_asked_is_repaired_and_nothing_else():
    task, found = plane(rows=6)
    incumbent = Incumbent(task, aim=0.1)
    incumbent.offer(found)
    kept = incumbent.numbers.clone()
    done = repair(incumbent, torch.tensor([1, 4]))
    assert done.tolist() == [1, 4]
    assert torch.equal(incumbent.numbers[[0, 2, 3, 5]], kept[[0, 2, 3, 5]])
    assert incumbent.quality.tier[[1, 4]].tolist() == [0, 0]


@pytest.mark.parametrize("offset", [1.0, 3.0])
def test_repairs_end_beyond_the_step_by_a_little_only(offset):
    task, found = plane(offset=offset)
    answers, _ = mend(task, found)
    beyond = answers.sum(1) - (offset + 0.5)
    assert beyond.min() >= -1e-9
    assert beyond.median() < 0.3
