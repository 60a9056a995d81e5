"""Few-column answers against every choice that the guides offer, ranked one by one in plain Python."""

from dataclasses import replace
from itertools import combinations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals import recombine as module
from counterflow.counterfactuals.finish import Incumbent
from counterflow.counterfactuals.recombine import recombine
from counterflow.counterfactuals.starts import hybrids_of
from tests.counterfactuals.test_starts import QUESTIONS, task_of
from tests.counterfactuals.toys import mixed_numbers

AIM = 0.3


def brought_nearer(task, rows=None):
    """The incumbents that a search without success would leave, and what becomes of them."""
    incumbent = Incumbent(task, aim=AIM)
    recombine(incumbent, torch.arange(len(task.factuals)) if rows is None else rows)
    return incumbent


def best_by_brute_force(task, row):
    """The rank of the best of all choices of up to four columns of every hybrid of a row."""
    hybrids = hybrids_of(task, torch.tensor([row]), count=96)[0]
    choices = [columns for size in (1, 2, 3, 4) for columns in combinations(range(5), size)]
    trials = [task.factuals[[row]]]
    for columns in choices:
        changed = task.factuals[row].repeat(len(hybrids), 1)
        changed[:, list(columns)] = hybrids[:, list(columns)]
        trials.append(changed)
    trials = torch.cat(trials)
    quality = task.of_rows(torch.full((len(trials),), row)).quality(trials, aim=AIM)
    return min(zip(quality.tier.tolist(), quality.cost.tolist(), strict=True))


def test_no_choice_of_columns_is_better(monkeypatch):
    """With sieves wide open, so that every candidate is ranked."""
    for name, value in {"_SIFTED": 10**6, "_RANKED": 10**6, "_TRIED": 10**6, "_SLACK": 1e9}.items():
        monkeypatch.setattr(module, name, value)
    task = task_of(mixed_numbers(5, seed=4), pool_rows=30)
    incumbent = brought_nearer(task)
    for row in range(5):
        tier, cost = best_by_brute_force(task, row)
        if tier < 2:
            assert int(incumbent.quality.tier[row]) == tier
            assert float(incumbent.quality.cost[row]) == pytest.approx(cost)


def test_narrow_sieves_lose_little():
    task = task_of(mixed_numbers(12, seed=9), pool_rows=40)
    incumbent = brought_nearer(task)
    found = [best_by_brute_force(task, row) for row in range(12)]
    reachable = [row for row, (tier, _) in enumerate(found) if tier == 0]
    assert len(reachable) >= 5
    ratios = [float(incumbent.quality.cost[row]) / max(found[row][1], 1e-9) for row in reachable]
    assert (incumbent.quality.tier[reachable] == 0).double().mean() >= 0.9
    assert sorted(ratios)[len(ratios) // 2] < 1.05


@settings(max_examples=5)
@given(st.sampled_from(QUESTIONS), st.integers(0, 10**6))
def test_rows_stay_legal_and_never_get_worse(constraints, seed):
    task = task_of(mixed_numbers(6, seed), constraints, pool_rows=30)
    before = Incumbent(task, aim=AIM)
    after = brought_nearer(task)
    assert task.rules.violations(after.numbers) == [[]] * 6
    assert not before.quality.better_than(after.quality).any()


def test_a_row_does_not_depend_on_its_company():
    task = task_of(mixed_numbers(6, seed=3))
    together = brought_nearer(task).numbers
    for row in range(6):
        assert torch.equal(brought_nearer(task.of_rows(torch.tensor([row]))).numbers[0], together[row])


def test_only_the_rows_named_change():
    task = task_of(mixed_numbers(6, seed=3))
    incumbent = brought_nearer(task, torch.tensor([1, 2]))
    assert torch.equal(incumbent.numbers[[0, 3, 4, 5]], task.rules.project(task.factuals)[[0, 3, 4, 5]])


def test_nothing_to_borrow_from_changes_nothing():
    task = task_of(mixed_numbers(3))
    task = replace(task, pool=(task.pool[0], task.pool[1][:0]))
    assert torch.equal(brought_nearer(task).numbers, task.rules.project(task.factuals))
