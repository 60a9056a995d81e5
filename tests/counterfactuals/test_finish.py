"""The last steps: candidates are legal, no step worsens a tier, and brute force finds nothing that was missed."""

from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals.finish import Incumbent, pull_back, round_to_grid, undo_needless
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)

AIM = 0.3
QUESTIONS = (
    {},
    {"immutable": ["label"]},
    {"increase_only": ["count"]},
    {"max_changes": 3},
    {"ranges": {"money": (-9, 9)}},
)


def mixed_task(factuals, constraints=None, **options):
    density = toy_density(mixed_schema(), mixed_numbers(200))
    model = LinearModel([0.4, 0.3, 0.2, 0.8, 0.8], 4.0)
    return toy_task(mixed_schema(), factuals, model, density=density, constraints=constraints, **options)


def plain_task(factuals, model, columns=3, **options):
    schema = plain_schema(columns, decimals=2)
    density = toy_density(schema, plain_numbers(300, columns))
    return toy_task(schema, factuals, model, density=density, **options)


def pairs(quality):
    return list(zip(quality.tier.tolist(), quality.cost.tolist(), strict=True))


def filled(task, seed):
    """An incumbent that was offered many legal rows."""
    incumbent = Incumbent(task, aim=AIM)
    for draw in range(6):
        incumbent.offer(task.rules.project(torch.from_numpy(mixed_numbers(len(task.factuals), seed + draw))))
    return incumbent


@settings(max_examples=12)
@given(st.sampled_from(QUESTIONS), st.integers(0, 10**6))
def test_every_step_keeps_rows_legal_and_never_worsens_a_tier(constraints, seed):
    task = mixed_task(mixed_numbers(8, seed), constraints)
    incumbent = Incumbent(task, aim=AIM)
    assert torch.equal(incumbent.numbers, task.factuals)
    everywhere = torch.from_numpy(np.random.default_rng(seed).normal(size=(8, 5)) * 6)
    steps = (
        lambda: round_to_grid(incumbent, everywhere, torch.arange(8)),
        lambda: incumbent.offer(task.rules.project(torch.from_numpy(mixed_numbers(8, seed + 1)))),
        lambda: pull_back(incumbent),
        lambda: undo_needless(incumbent),
    )
    for step in steps:
        before = incumbent.quality.tier.clone()
        step()
        assert task.rules.violations(incumbent.numbers) == [[]] * 8
        assert (incumbent.quality.tier <= before).all()
        fresh = task.quality(incumbent.numbers, aim=AIM)
        assert torch.equal(fresh.tier, incumbent.quality.tier)
        torch.testing.assert_close(fresh.cost, incumbent.quality.cost)


def test_an_incumbent_takes_what_is_better_and_nothing_else():
    task = mixed_task(mixed_numbers(6, 5))
    incumbent = Incumbent(task, aim=AIM)
    offered = [task.factuals] + [task.rules.project(torch.from_numpy(mixed_numbers(6, seed))) for seed in range(9)]
    for numbers in offered[1:]:
        incumbent.offer(numbers)
    ranks = [pairs(task.quality(numbers, aim=AIM)) for numbers in offered]
    for row in range(6):
        best = min(range(10), key=lambda k: ranks[k][row])
        assert pairs(incumbent.quality)[row] == ranks[best][row]
        assert torch.equal(incumbent.numbers[row], offered[best][row])


def test_an_offer_to_some_rows_leaves_the_others():
    task = mixed_task(mixed_numbers(6, 5))
    incumbent = Incumbent(task, aim=AIM)
    rows = torch.tensor([4, 1])
    better = task.rules.project(torch.tensor([[30.0, 12.0, 5.0, 2.0, 2.0]] * 6, dtype=torch.float64))
    incumbent.offer(better[rows], rows)
    assert torch.equal(incumbent.numbers[[0, 2, 3, 5]], task.factuals[[0, 2, 3, 5]])
    assert torch.equal(incumbent.numbers[rows], better[rows])


def test_rounding_outward_saves_a_row_that_the_nearest_grid_point_loses():
    """Accepted from x0 > 1 on whole numbers: 1.3 is rounded to 1, which fails, and then outward to 2."""
    schema = plain_schema(1, decimals=0)
    density = toy_density(schema, np.random.default_rng(0).normal(size=(200, 1)) * 5)
    task = toy_task(schema, [[0.0], [4.0]], LinearModel([1.0], 1.0), density=density)
    incumbent = Incumbent(task, aim=0.0)
    round_to_grid(incumbent, torch.tensor([[1.3], [1.3]], dtype=torch.float64), torch.tensor([0, 1]))
    assert incumbent.numbers.tolist() == [[2.0], [4.0]]  # the second factual was accepted as it was


def test_needless_changes_are_undone():
    """Only x0 matters to the model: the changes of x1 and x2 go, the one of x0 stays."""
    task = plain_task([[0.0, 0.0, 0.0]], LinearModel([1.0, 0.0, 0.0], 1.0))
    incumbent = Incumbent(task, aim=AIM)
    incumbent.offer(torch.tensor([[1.1, 0.3, -0.2]], dtype=torch.float64))
    undo_needless(incumbent)
    assert incumbent.numbers.tolist() == [[1.1, 0.0, 0.0]]
    assert incumbent.quality.tier.tolist() == [0]


def test_needed_changes_stay():
    task = plain_task([[0.0, 0.0, 0.0]], LinearModel([1.0, 1.0, 1.0], 1.5))
    incumbent = Incumbent(task, aim=AIM)
    answer = torch.tensor([[0.6, 0.5, 0.5]], dtype=torch.float64)
    incumbent.offer(answer)
    undo_needless(incumbent)
    assert torch.equal(incumbent.numbers, answer)


def test_a_change_that_carries_the_plausibility_stays():
    """x1 leaves a strange place: the model does not ask for it, the density does."""
    task = plain_task([[0.0, 6.0, 0.0]], LinearModel([1.0, 0.0, 0.0], 1.0))
    incumbent = Incumbent(task, aim=AIM)
    incumbent.offer(torch.tensor([[1.1, 0.2, 0.1]], dtype=torch.float64))
    undo_needless(incumbent)
    assert incumbent.numbers.tolist() == [[1.1, 0.2, 0.0]]


@settings(max_examples=6)
@given(st.integers(0, 10**6))
def test_undoing_against_all_subsets(seed):
    """The k smallest changes go, the next one would cost the tier, and of the others each goes that can.

    Brute force over all subsets: the result is among those that keep the tier; and a plain loop for the single ones.
    """
    task = mixed_task(mixed_numbers(4, seed))
    incumbent = filled(task, seed + 1)
    numbers, tier = incumbent.numbers.clone(), incumbent.quality.tier.clone()
    size = (task.delta(numbers).abs() * task.cost).numpy()
    undo_needless(incumbent)
    for row in range(4):
        changed = [k for k in range(5) if size[row, k] > 0]
        one = task.of_rows(torch.tensor([row]))

        def tier_without(undone, row=row, one=one):
            trial = numbers[row].clone()
            trial[list(undone)] = task.factuals[row, list(undone)]
            return trial, one.quality(trial[None], aim=AIM).tier.item()

        keeping = []
        for count in range(len(changed) + 1):
            for subset in combinations(changed, count):
                trial, reached = tier_without(subset)
                if reached <= tier[row]:
                    keeping.append(trial)
        assert any(torch.equal(incumbent.numbers[row], trial) for trial in keeping)
        order = sorted(changed, key=lambda k: size[row, k])
        undone = {k for k in changed if incumbent.numbers[row, k] == task.factuals[row, k]}
        first = next((place for place, k in enumerate(order) if k not in undone), 0)
        if first < len(changed) - 1:
            assert tier_without(order[: first + 1])[1] > tier[row]
        expected, best = set(order[:first]), tier_without(order[:first])[1]
        for k in order[first + 1 :]:
            if len(expected) < len(changed) - 1 and tier_without(expected | {k})[1] <= best:
                expected, best = expected | {k}, tier_without(expected | {k})[1]
        assert undone == expected


def test_changes_are_undone_one_by_one_where_the_smallest_is_needed():
    """x0 is small and carries the class; x1 and x2 are larger and do nothing."""
    task = plain_task([[0.0, 0.0, 0.0]], LinearModel([1.0, 0.0, 0.0], 0.2))
    incumbent = Incumbent(task, aim=AIM)
    incumbent.offer(torch.tensor([[0.3, 0.6, -0.5]], dtype=torch.float64))
    undo_needless(incumbent)
    assert incumbent.numbers.tolist() == [[0.3, 0.0, 0.0]]


@settings(max_examples=8)
@given(st.integers(0, 10**6))
def test_rules_between_columns_survive_every_step(seed):
    """Undoing one column of a rule moves another, or takes the rest back too."""
    linked = ["count <= zero + 6", "label = c implies level in (mid, high)", "2 * money = count"]
    task = mixed_task(mixed_numbers(8, seed), {"linked": linked})
    incumbent = filled(task, seed + 1)
    for step in (pull_back, undo_needless):
        before, tiers = task.rules.changed(incumbent.numbers).sum(1), incumbent.quality.tier.clone()
        step(incumbent)
        assert task.rules.violations(incumbent.numbers) == [[]] * 8
        assert (incumbent.quality.tier <= tiers).all()
        fresh = task.quality(incumbent.numbers, aim=AIM)
        assert torch.equal(fresh.tier, incumbent.quality.tier)
    assert (task.rules.changed(incumbent.numbers).sum(1) <= before).all()


def test_pulling_back_shortens_to_the_cut_off():
    """On a line with the cut-off at 1, an answer at 4 comes back to within a sixteenth of its way."""
    task = plain_task([[0.0, 0.0, 0.0]], LinearModel([1.0, 0.0, 0.0], 1.0))
    incumbent = Incumbent(task, aim=0.0)
    incumbent.offer(torch.tensor([[2.0, 0.0, 0.0]], dtype=torch.float64))
    pull_back(incumbent)
    assert 1.0 < incumbent.numbers[0, 0].item() <= 1.0 + 2.0 / 16 + 0.01
    assert incumbent.numbers[0, 1:].tolist() == [0.0, 0.0]


@settings(max_examples=10)
@given(st.integers(0, 10**6))
def test_pulling_back_never_lengthens(seed):
    task = mixed_task(mixed_numbers(8, seed))
    incumbent = filled(task, seed + 1)
    before, tier = task.distance(incumbent.numbers), incumbent.quality.tier.clone()
    labels, atoms = incumbent.numbers[:, 3].clone(), task.on_atoms(incumbent.numbers)
    numbers = incumbent.numbers.clone()
    pull_back(incumbent)
    assert (task.distance(incumbent.numbers) <= before + 1e-12).all()
    assert (incumbent.quality.tier <= tier).all()
    assert torch.equal(incumbent.numbers[:, 3], labels)
    assert torch.equal(incumbent.numbers[atoms], numbers[atoms])


@pytest.mark.parametrize("finish", [pull_back, undo_needless])
def test_rows_that_fail_and_rows_without_change_are_left_alone(finish):
    task = plain_task([[0.0, 0.0, 0.0], [2.0, 0.0, 0.0]], LinearModel([1.0, 0.0, 0.0], 1.0))
    incumbent = Incumbent(task, aim=AIM)
    incumbent.offer(torch.tensor([[0.5, 0.0, 0.0], [2.0, 0.0, 0.0]], dtype=torch.float64))
    before = incumbent.numbers.clone()
    finish(incumbent)
    assert torch.equal(incumbent.numbers, before)
