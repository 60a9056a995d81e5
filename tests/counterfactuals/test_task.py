"""Wishes and ranks of rows, each against plain Python on one row at a time."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterflow.counterfactuals import Goal
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)

NAN = math.nan
logits = arrays(np.float64, (6, 3), elements=st.floats(-8, 8))
ranges = st.sampled_from([None, (0.7, 1.0), (0.0, 0.2), (0.4, 0.45), (0.5, 1.0)])


def softmax(row):
    return np.exp(row - row.max()) / np.exp(row - row.max()).sum()


@given(logits, arrays(np.int64, 6, elements=st.integers(0, 2)), ranges)
def test_a_wish_is_met_as_the_words_say(values, target, probability):
    goal = Goal.of(torch.from_numpy(target), probability)
    met = goal.met(torch.from_numpy(values))
    for row, wished in enumerate(target):
        if probability is None:
            assert bool(met[row]) == (int(values[row].argmax()) == wished)
        else:
            value = softmax(values[row])[wished]
            if min(abs(value - probability[0]), abs(value - probability[1])) > 1e-9:
                assert bool(met[row]) == (probability[0] <= value <= probability[1])


@given(logits, arrays(np.int64, 6, elements=st.integers(0, 2)), ranges, st.sampled_from(["log-odds", "probability"]))
def test_no_gap_means_that_the_wish_is_met(values, target, probability, scale):
    goal = Goal.of(torch.from_numpy(target), probability)
    gap = goal.gap(torch.from_numpy(values), margin=0.0, scale=scale)
    met = goal.met(torch.from_numpy(values))
    clear = gap.abs() > 1e-9
    assert ((gap <= 0) == met)[clear].all()
    assert not gap.isnan().any()


@given(logits, arrays(np.int64, 6, elements=st.integers(0, 2)), ranges, st.sampled_from(["log-odds", "probability"]))
def test_a_margin_asks_for_more(values, target, probability, scale):
    goal = Goal.of(torch.from_numpy(target), probability)
    numbers = torch.from_numpy(values)
    reached = goal.gap(numbers, margin=0.02, scale=scale) <= 0
    assert goal.met(numbers)[reached].all()
    assert (goal.gap(numbers, margin=0.02, scale=scale) >= goal.gap(numbers, margin=0.0, scale=scale) - 1e-12).all()


def test_a_margin_wider_than_the_range_aims_at_its_middle():
    goal = Goal.of(torch.tensor([1]), (0.40, 0.42))
    middle = math.log(0.41 / 0.59)
    best = torch.tensor([[0.0, middle]], dtype=torch.float64)
    assert goal.gap(best, margin=0.05, scale="probability").item() == pytest.approx(0.0, abs=1e-12)
    assert goal.gap(best, margin=0.05).item() == pytest.approx(0.0, abs=5e-3)


def test_the_log_odds_of_a_range_are_those_of_one_class_against_all_others():
    goal = Goal.of(torch.tensor([0]), (0.7, 1.0))
    row = torch.tensor([[1.0, 0.5, -0.3]], dtype=torch.float64)
    p = softmax(row[0].numpy())[0]
    expected = math.log(0.7 / 0.3) - math.log(p / (1 - p))
    assert goal.gap(row, margin=0.0).item() == pytest.approx(expected, rel=1e-12)


def mixed_task(factuals, **settings):
    density = toy_density(mixed_schema(), mixed_numbers(200))
    return toy_task(mixed_schema(), factuals, LinearModel([1.0, 0, 0, 0, 0], 5.0), density=density, **settings)


def test_changes_in_standardized_units_and_counted_ones():
    """A number in its own deviations; 1 for another category and for leaving a code; an ordinal in its deviations."""
    task = mixed_task([[0.0, 3.0, 0.0, 0.0, 0.0], [0.0, -9.0, 1.5, 2.0, 1.0]])
    numbers = torch.tensor([[2.5, 5.0, 3.0, 2.0, 2.0], [0.0, -9.0, 1.5, 2.0, 1.0]], dtype=torch.float64)
    money, count, zero, _, level = task.scale.tolist()
    expected = [[2.5 / money, 2.0 / count, 3.0 / zero, 1.0, 2.0 / level], [0.0] * 5]
    np.testing.assert_allclose(task.delta(numbers).numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("norm", [1.0, 2.0, 0.5])
def test_distance_is_the_weighted_length_of_the_change(norm):
    cost = [1.0, 2.0, 0.5, 3.0, 1.0]
    task = mixed_task([[0.0, 3.0, 0.0, 0.0, 0.0]], norm=norm, cost=cost)
    numbers = torch.tensor([[2.5, 5.0, 0.0, 2.0, 0.0]], dtype=torch.float64)
    money, count, *_ = task.scale.tolist()
    sizes = [2.5 / money, 2 * 2.0 / count, 3.0]
    assert task.distance(numbers).item() == pytest.approx(sum(s**norm for s in sizes) ** (1 / norm), rel=1e-12)


def test_atoms_are_recognized_in_their_own_columns():
    task = mixed_task([[0.0, 3.0, 0.0, 0.0, 0.0]])
    rows = torch.tensor([[-9.0, -9.0, 0.0, 0.0, 0.0]], dtype=torch.float64)
    assert task.on_atoms(rows).tolist() == [[False, True, True, False, False]]


def quality_task(**settings):
    schema, numbers = plain_schema(2), plain_numbers(99)
    density = toy_density(schema, numbers)
    return toy_task(schema, np.zeros((4, 2)), LinearModel([1.0, 0.0], 1.0), density=density, **settings)


def test_tiers_by_hand():
    """Accepted where x0 > 1; as dense as aimed for near the middle, then as asked, then not; rejected elsewhere."""
    task = quality_task(min_plausibility=0.1)
    rows = torch.tensor([[1.01, 0.0], [1.9, 0.5], [4.0, 4.0], [0.9, 0.0]], dtype=torch.float64)
    aim = 0.5
    score = torch.from_numpy(task.density.log_density(rows, task.goal.target))
    plausibility = task.density.plausibility(score.numpy(), task.goal.target)
    assert plausibility[0] >= aim
    assert 0.1 <= plausibility[1] < aim
    assert plausibility[2] < 0.1
    quality = task.quality(rows, aim=aim)
    assert quality.tier.tolist() == [0, 1, 2, 3]
    expected = [*task.distance(rows)[:2].tolist(), -score[2].item(), 0.1]
    np.testing.assert_allclose(quality.cost.numpy(), expected, rtol=1e-9)


def test_a_copy_of_a_training_row_is_the_worst_answer():
    rows = torch.tensor([[1.01, 0.0], [1.02, 0.0], [0.0, 0.0], [0.5, 0.0]], dtype=torch.float64)
    task = quality_task(copies=rows[[0, 2, 3]])
    assert task.quality(rows, aim=0.5).tier.tolist() == [4, 0, 3, 4]  # the third is the factual itself


def test_better_is_a_lower_tier_then_a_lower_cost():
    task = quality_task()
    rows = torch.tensor([[1.01, 0.0], [1.3, 0.0], [4.0, 4.0], [0.9, 0.0]], dtype=torch.float64)
    first = task.quality(rows, aim=0.1)
    second = task.quality(rows.flip(0), aim=0.1)
    pairs = zip(*(part.tolist() for part in (*first, *second)), strict=True)
    expected = [(t1, c1) < (t2, c2) for t1, c1, t2, c2 in pairs]
    assert first.better_than(second).tolist() == expected
    assert not first.better_than(first).any()


def test_some_rows_of_a_task_are_the_same_rows():
    factuals = mixed_numbers(6, seed=4)
    task = mixed_task(factuals, constraints={"increase_only": ["money"]})
    some = task.of_rows(torch.tensor([4, 1, 4]))
    numbers = torch.from_numpy(mixed_numbers(6, seed=5))
    assert torch.equal(some.factuals, task.factuals[[4, 1, 4]])
    assert torch.equal(some.distance(numbers[[4, 1, 4]]), task.distance(numbers)[[4, 1, 4]])
    assert torch.equal(some.rules.project(numbers[[4, 1, 4]]), task.rules.project(numbers)[[4, 1, 4]])
    whole, part = task.quality(numbers, aim=0.3), some.quality(numbers[[4, 1, 4]], aim=0.3)
    assert torch.equal(part.tier, whole.tier[[4, 1, 4]])
