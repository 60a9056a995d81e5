"""Nearest rows against a loop that computes every distance value by value."""

import math

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.dicoflex import Neighbors
from tests.counterfactuals.toys import mixed_numbers, mixed_schema, plain_schema

WEIGHT = 1000.0


def brute_distance(schema, before, after, scale, *, norm, locked):
    """The formula of the paper, one column at a time."""
    total = 0.0
    for place, column in enumerate(schema.columns):
        a, b = float(before[place]), float(after[place])
        codes = [column.code_of(value) if column.numeric else None for value in (a, b)]
        is_code = [code is not None and code.kind == "code" for code in codes]
        if a == b or (math.isnan(a) and math.isnan(b)):
            gap = 0.0
        elif not column.numeric or any(is_code):
            gap = 1.0
        else:
            gap = abs(a - b) / float(scale[place])
        total += (WEIGHT if locked[place] else 1.0) * (gap**norm if gap else 0.0)
    return total


@pytest.mark.parametrize("norm", [2.0, 1.0, 0.5, 0.1, 0.01])
def test_distances_are_those_of_the_formula(norm):
    schema, numbers = mixed_schema(), mixed_numbers(60)
    scale = torch.tensor([5.0, 3.7, 2.0, 1.0, 0.8], dtype=torch.float64)
    pool, rows = torch.from_numpy(numbers[:40]), torch.from_numpy(numbers[40:])
    locked = torch.rand(20, 5, generator=torch.Generator().manual_seed(1)) < 0.4
    near = Neighbors(schema, pool, scale=scale, weight=WEIGHT)
    distances = torch.cat(list(near.distances(rows, locked=locked, norm=norm))).numpy()
    expected = [
        [brute_distance(schema, row, other, scale, norm=norm, locked=lock) for other in pool.tolist()]
        for row, lock in zip(rows.tolist(), locked.tolist(), strict=True)
    ]
    np.testing.assert_allclose(distances, expected, rtol=1e-4, atol=2e-3)  # float32 sums of up to 5000


@pytest.mark.parametrize("norm", [2.0, 0.01])
def test_the_nearest_rows_are_found_in_order(norm):
    schema, numbers = mixed_schema(), mixed_numbers(300, seed=3)
    scale = torch.tensor([5.0, 3.7, 2.0, 1.0, 0.8], dtype=torch.float64)
    pool, rows = torch.from_numpy(numbers[:280]), torch.from_numpy(numbers[280:])
    locked = torch.zeros(20, 5, dtype=torch.bool)
    found, places = Neighbors(schema, pool, scale=scale).find(rows, locked=locked, norm=norm, count=7)
    for row, values, place in zip(rows.tolist(), found, places, strict=True):
        every = [brute_distance(schema, row, other, scale, norm=norm, locked=[False] * 5) for other in pool.tolist()]
        np.testing.assert_allclose(values.numpy(), np.sort(every)[:7], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(np.array(every)[place.numpy()], np.sort(every)[:7], rtol=1e-4, atol=1e-4)


def test_chunks_change_nothing(monkeypatch):
    schema, numbers = mixed_schema(), torch.from_numpy(mixed_numbers(90, seed=5))
    scale = torch.ones(5, dtype=torch.float64)
    near = Neighbors(schema, numbers[:50], scale=scale)
    locked = torch.zeros(40, 5, dtype=torch.bool)
    whole, _ = near.find(numbers[50:], locked=locked, norm=2.0, count=5)
    monkeypatch.setattr("counterflow.counterfactuals.dicoflex.neighbors._ENTRIES_AT_ONCE", 130)
    assert len(list(near.distances(numbers[50:], locked=locked, norm=2.0))) == 20
    pieces, _ = near.find(numbers[50:], locked=locked, norm=2.0, count=5)
    torch.testing.assert_close(whole, pieces)


def test_a_protected_column_comes_first():
    schema = plain_schema(2)
    pool = torch.tensor([[5.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    near = Neighbors(schema, pool, scale=torch.ones(2, dtype=torch.float64))
    row = torch.zeros(1, 2, dtype=torch.float64)
    for lock, nearest in (([False, False], 1), ([False, True], 0)):
        _, place = near.find(row, locked=torch.tensor([lock]), norm=1.0, count=1)
        assert place.item() == nearest


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [({"norm": 0.0, "count": 1}, "norm must be above 0"), ({"norm": 1.0, "count": 9}, r"count must lie in 1\.\.3")],
)
def test_errors_say_what_was_expected(settings, sentence):
    near = Neighbors(plain_schema(2), torch.zeros(3, 2, dtype=torch.float64), scale=torch.ones(2, dtype=torch.float64))
    with pytest.raises(ArgumentError, match=sentence):
        near.find(torch.zeros(1, 2, dtype=torch.float64), locked=torch.zeros(1, 2, dtype=torch.bool), **settings)


def test_the_weight_must_be_above_zero():
    with pytest.raises(ArgumentError, match="weight must be above 0"):
        Neighbors(plain_schema(1), torch.zeros(1, 1), scale=torch.ones(1), weight=0.0)
