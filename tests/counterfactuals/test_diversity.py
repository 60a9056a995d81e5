"""Later ranks do without what earlier ones leaned on."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals.diversity import lock_for_next_rank
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)

EVERYWHERE = torch.tensor([[99.0, 11.0, 50.0, 2.0, 2.0]] * 8, dtype=torch.float64)


def mixed_task(seed=0, **settings):
    density = toy_density(mixed_schema(), mixed_numbers(150))
    factuals = mixed_numbers(8, seed + 10)
    return toy_task(mixed_schema(), factuals, LinearModel([1.0, 0, 0, 0, 0], 0.0), density=density, **settings)


def plain_task(columns=3, **settings):
    schema = plain_schema(columns)
    density = toy_density(schema, plain_numbers(200, columns))
    return toy_task(schema, np.zeros((2, columns)), LinearModel([1.0] * columns, 0.0), density=density, **settings)


def test_the_first_rank_is_free():
    task = plain_task()
    assert lock_for_next_rank(task, []) is task


def test_the_largest_change_is_locked():
    task = plain_task()
    earlier = torch.tensor([[0.1, -2.0, 1.0], [0.0, 0.0, 0.3]], dtype=torch.float64)
    locked = lock_for_next_rank(task, [earlier])
    assert locked.rules.movable.tolist() == [[True, False, True], [True, True, False]]
    moved = locked.rules.project(torch.full((2, 3), 5.0, dtype=torch.float64))
    assert moved.tolist() == [[5.0, 0.0, 5.0], [5.0, 5.0, 0.0]]


def test_costs_say_what_is_large():
    task = plain_task(cost=[9.0, 1.0, 1.0])
    locked = lock_for_next_rank(task, [torch.tensor([[0.5, 2.0, 0.0]] * 2, dtype=torch.float64)])
    assert locked.rules.movable.tolist() == [[False, True, True]] * 2


def test_each_rank_locks_one_more_column():
    task = plain_task()
    ranks = [torch.tensor([row] * 2, dtype=torch.float64) for row in ([3.0, 2.0, 0.0], [0.0, 2.0, 1.0])]
    locked = lock_for_next_rank(task, ranks)
    assert locked.rules.movable.tolist() == [[False, False, True]] * 2


def test_the_last_open_column_is_never_locked():
    task = plain_task(columns=2)
    ranks = [torch.tensor([row] * 2, dtype=torch.float64) for row in ([3.0, 0.0], [0.0, 2.0], [0.0, 2.5])]
    for count in (2, 3):
        locked = lock_for_next_rank(task, ranks[:count])
        assert locked.rules.movable.sum(1).tolist() == [1, 1]


def test_a_row_without_change_locks_nothing():
    task = plain_task()
    locked = lock_for_next_rank(task, [task.factuals.clone()])
    assert locked.rules.movable.all()


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_what_is_locked_cannot_change_and_what_is_open_is_as_before(seed):
    task = mixed_task(seed)
    earlier = task.rules.project(torch.from_numpy(mixed_numbers(8, seed + 500)))
    locked = lock_for_next_rank(task, [earlier])
    size = (task.delta(earlier).abs() * task.cost).numpy()
    proposal = torch.from_numpy(mixed_numbers(8, seed + 900))
    before, after = task.rules.project(proposal), locked.rules.project(proposal)
    assert task.rules.violations(after) == [[]] * 8
    for row in range(8):
        top = int(size[row].argmax())
        open_columns = [k for k in range(5) if (task.rules.movable | task.rules.may_switch)[row, k]]
        is_locked = size[row, top] > 0 and any(k != top for k in open_columns)
        assert (after[row, top] == task.factuals[row, top]) or not is_locked
        kept = [k for k in range(5) if not (is_locked and k == top)]
        assert torch.equal(after[row, kept], before[row, kept])
