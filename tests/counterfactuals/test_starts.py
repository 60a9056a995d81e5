"""Starts are legal hybrids of a factual with rows of the pool, the best of the nearest ones."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals.starts import propose_starts
from counterflow.tables import Atom, Column, Schema
from tests.counterfactuals.toys import LinearModel, mixed_numbers, mixed_schema, toy_density, toy_task

QUESTIONS = (
    {},
    {"immutable": ["label", "money"]},
    {"increase_only": ["count"], "ranges": {"money": (-3, 3)}},
    {"max_changes": 2},
    {"allowed": {"label": ["b"]}, "decrease_only": ["level"]},
)


def task_of(factuals, constraints=None, pool_rows=60, **options):
    schema, numbers = mixed_schema(), mixed_numbers(200)
    density = toy_density(schema, numbers)
    model = LinearModel([0.4, 0.3, 0.2, 1.0, 1.0], 4.0)
    pool = mixed_numbers(pool_rows, seed=77)
    return toy_task(schema, factuals, model, density=density, constraints=constraints, pool=pool, **options)


@settings(max_examples=15)
@given(st.sampled_from(QUESTIONS), st.integers(0, 10**6), st.integers(1, 4))
def test_starts_are_legal_and_hold_values_of_the_factual_or_of_one_guide(constraints, seed, count):
    factuals = mixed_numbers(6, seed)
    task = task_of(factuals, constraints)
    rows = torch.tensor([0, 2, 3, 5])
    starts, kept = propose_starts(task, rows, count=count, aim=0.3)
    assert starts.shape == (count, 4, 5)
    assert sorted(kept.tolist()) == rows.tolist()
    guides = task.pool[1].numpy()
    for start in starts:
        assert task.of_rows(kept).rules.violations(start) == [[]] * 4
        for values, row in zip(start.numpy(), kept.tolist(), strict=True):
            taken = values != factuals[row]
            assert any((guide[taken] == values[taken]).all() for guide in guides) or "ranges" in constraints


def test_starts_come_best_first():
    task = task_of(mixed_numbers(5, seed=3))
    starts, kept = propose_starts(task, torch.arange(5), count=4, aim=0.3)
    qualities = [task.of_rows(kept).quality(start, aim=0.3) for start in starts]
    for better, worse in zip(qualities[:-1], qualities[1:], strict=True):
        assert not worse.better_than(better).any()


def test_the_start_is_the_best_of_the_sixteen_nearest_by_brute_force():
    task = task_of(mixed_numbers(4, seed=8), pool_rows=40)
    starts, kept = propose_starts(task, torch.arange(4), count=1, aim=0.3)
    scale = task.scale.numpy()
    numeric = np.array([column.numeric for column in task.rules.schema.columns])
    for place, row in enumerate(kept.tolist()):
        one = task.of_rows(torch.tensor([row]))
        gaps = np.abs(task.factuals[row].numpy() - task.pool[1].numpy())
        moves = one.rules.movable[0].numpy() & numeric
        size = ((gaps / scale)[:, moves] ** 2).sum(1) + (gaps > 0)[:, one.switchable[0].numpy()].sum(1)
        size[size == 0] = np.inf
        nearest = np.argsort(size)[:16]
        hybrids = [one.rules.project(task.pool[1][guide][None]) for guide in nearest]
        ranks = [tuple(float(part) for part in one.quality(hybrid, aim=0.3)) for hybrid in hybrids]
        found = tuple(float(part) for part in one.quality(starts[0, place][None], aim=0.3))
        assert found == pytest.approx(min(ranks))


def test_no_guides_and_no_wish_for_starts_give_none():
    rows = torch.arange(3)
    for task, count in ((task_of(mixed_numbers(3), pool_rows=0), 3), (task_of(mixed_numbers(3)), 0)):
        starts, kept = propose_starts(task, rows, count=count, aim=0.3)
        assert starts.shape[1:] == (0, 5)
        assert len(kept) == 0


def test_a_pool_smaller_than_asked_gives_none():
    starts, kept = propose_starts(task_of(mixed_numbers(3), pool_rows=2), torch.arange(3), count=3, aim=0.3)
    assert starts.shape == (3, 0, 5)
    assert len(kept) == 0


def test_guides_that_change_nothing_do_not_crowd_out_those_that_do():
    """Only the label may change, and most guides have the factual's own: the start must have another one."""
    schema = mixed_schema()
    held = [name for name in schema.names if name != "label"]
    factual = np.array([[1.0, 3.0, 0.0, 0.0, 1.0]])
    for question, labels in (({}, {1.0, 2.0}), ({"allowed": {"label": ["c"]}}, {2.0})):
        density = toy_density(schema, mixed_numbers(200))
        pool = mixed_numbers(90, seed=5)
        pool[:, 3] = np.repeat([0.0, 1.0, 2.0], [40, 40, 10])
        model = LinearModel([0.0, 0.0, 0.0, 1.0, 0.0], 0.5)
        asked = {"immutable": held} | question
        task = toy_task(schema, factual, model, density=density, constraints=asked, pool=pool)
        starts, _ = propose_starts(task, torch.tensor([0]), count=1, aim=0.0)
        assert starts[0, 0, 3].item() in labels
        assert starts[0, 0, [0, 1, 2, 4]].tolist() == factual[0, [0, 1, 2, 4]].tolist()


def test_a_missing_value_does_not_blind_the_choice_of_guides():
    """A row whose first number is missing still gets the guides nearest in the second."""
    schema = Schema((Column("x", atoms=(Atom(math.nan, may_change=False),)), Column("y")))
    numbers = np.random.default_rng(0).normal(size=(100, 2))
    numbers[::4, 0] = math.nan
    pool = np.stack([np.zeros(50), np.linspace(50, 1, 50)], 1)
    task = toy_task(
        schema, [[math.nan, 0.0]], LinearModel([0.0, 1.0], 0.5), density=toy_density(schema, numbers), pool=pool
    )
    starts, _ = propose_starts(task, torch.tensor([0]), count=1, aim=0.0)
    assert starts[0, 0, 1].item() == 1.0
