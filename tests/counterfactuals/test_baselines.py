"""Baselines, each against brute force in plain Python or a closed form."""

import math

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.counterfactuals.baselines import GrowingSpheres, Nearest, nearest_rows
from counterflow.metrics import gower_distance
from counterflow.tables import Column, Schema
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)

METHODS = [Nearest(), GrowingSpheres(draws=60)]


def plain_task(factuals, *, columns=2, pool=None, offset=1.0, **settings):
    """The model accepts x0 > offset."""
    schema = plain_schema(columns)
    density = toy_density(schema, plain_numbers(200, columns))
    weight = [1.0] + [0.0] * (columns - 1)
    return toy_task(schema, factuals, LinearModel(weight, offset), density=density, pool=pool, **settings)


def mixed_task(factuals, **settings):
    numbers = mixed_numbers(200)
    model = LinearModel([0.4, 0.3, 0.2, 0.5, 0.6], 1.5)
    return toy_task(mixed_schema(), factuals, model, density=toy_density(mixed_schema(), numbers), **settings)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
@pytest.mark.parametrize("constraints", [{}, {"max_changes": 2}, {"immutable": ["money", "label"]}])
def test_every_answer_is_legal_and_no_worse_than_the_row_itself(method, constraints):
    task = mixed_task(mixed_numbers(12, seed=3), constraints=constraints, pool=mixed_numbers(60, seed=4))
    found = method.find(task)
    assert all(not broken for broken in task.rules.violations(found))
    before, after = task.quality(task.factuals, aim=0.0), task.quality(found, aim=0.0)
    assert not before.better_than(after).any()
    assert task.goal.met(task.verdict(found)).float().mean() >= 0.5


@pytest.mark.parametrize("method", METHODS, ids=lambda method: type(method).__name__)
def test_an_answer_does_not_hang_on_the_rows_beside_it(method):
    factuals = mixed_numbers(7, seed=5)
    pool = mixed_numbers(40, seed=6)
    together = method.find(mixed_task(factuals, pool=pool))
    alone = torch.cat([method.find(mixed_task(row[None], pool=pool)) for row in factuals])
    assert torch.equal(together, alone)


class TestNearest:
    def test_is_the_nearest_accepted_guide_by_brute_force(self):
        pool, factuals = plain_numbers(50, seed=1) * 2, plain_numbers(8, seed=2) * 0.3
        task = plain_task(factuals, pool=pool)
        accepted = pool[pool[:, 0] > 1.0]
        unit = task.scale.numpy()
        expected = [
            accepted[min(range(len(accepted)), key=lambda k: math.dist(accepted[k] / unit, row / unit))]
            for row in factuals
        ]
        np.testing.assert_array_equal(Nearest().find(task).numpy(), expected)

    def test_asks_about_no_more_guides_than_allowed(self):
        pool = np.array([[0.1, 0.0], [0.2, 0.0], [0.3, 0.0], [1.5, 0.0]])
        factuals = np.zeros((1, 2))
        assert Nearest(tried=3).find(plain_task(factuals, pool=pool)).tolist() == [[0.3, 0.0]]
        assert Nearest(tried=4).find(plain_task(factuals, pool=pool)).tolist() == [[1.5, 0.0]]

    def test_keeps_what_may_not_change(self):
        pool = np.array([[2.0, 5.0]])
        found = Nearest().find(plain_task(np.array([[0.0, 0.5]]), pool=pool, constraints={"immutable": ["x1"]}))
        assert found.tolist() == [[2.0, 0.5]]

    def test_no_guides_leave_the_row_as_it_is(self):
        assert Nearest().find(plain_task(np.zeros((2, 2)))).tolist() == [[0.0, 0.0]] * 2

    def test_never_returns_a_copy_of_a_training_row(self):
        pool = np.array([[1.2, 0.0], [1.9, 0.0]])
        found = Nearest().find(plain_task(np.zeros((1, 2)), pool=pool, copies=pool[:1]))
        assert found.tolist() == [[1.9, 0.0]]

    def test_refuses_to_try_nothing(self):
        with pytest.raises(ArgumentError, match="tried must be at least 1, got 0"):
            Nearest(tried=0)


class TestGrowingSpheres:
    def test_finds_the_boundary_from_both_sides(self):
        """Accepted where x0 > 0.5: the nearest row is half a unit away, and the layers come close to it."""
        task = plain_task(np.zeros((3, 2)) + [[0.0, 0.0], [-1.0, 0.3], [0.45, -2.0]], offset=0.5)
        found = GrowingSpheres(draws=400).find(task)
        least = (0.5 - task.factuals[:, 0]) / task.scale[0]
        assert (found[:, 0] > 0.5).all()
        distance = task.distance(found)
        assert (distance >= least).all()
        assert (distance <= least + 0.25).all()

    def test_undoes_what_is_not_needed(self):
        task = plain_task(np.zeros((4, 6)), columns=6, offset=0.5)
        found = GrowingSpheres().find(task)
        assert task.rules.changed(found).sum(1).tolist() == [1, 1, 1, 1]

    def test_a_wider_search_is_needed_far_from_the_boundary(self):
        task = plain_task(np.zeros((1, 2)), offset=4.0)
        assert not task.goal.met(task.verdict(GrowingSpheres(layers=2).find(task))).any()
        assert task.goal.met(task.verdict(GrowingSpheres(layers=24).find(task))).all()

    def test_goes_on_where_the_nearest_rows_are_copies_of_training_rows(self):
        """All rows with a whole number up to 3 are known: the nearest that is none has 4 accounts."""
        schema = Schema((Column("accounts", "integer", lower=0, upper=20),))
        known = np.repeat(np.arange(4.0), 30)[:, None]
        task = toy_task(schema, known[:1], LinearModel([1.0], 0.5), density=toy_density(schema, known), copies=known)
        assert GrowingSpheres().find(task).tolist() == [[4.0]]

    def test_switches_to_allowed_categories_only(self):
        schema = mixed_schema()
        model = LinearModel([0.0, 0.0, 0.0, 1.0, 0.0], 0.5)  # accepts every label but "a"
        density = toy_density(schema, mixed_numbers(200))
        factuals = mixed_numbers(6, seed=1)
        factuals[:, 3] = 0.0
        task = toy_task(schema, factuals, model, density=density, constraints={"allowed": {"label": ["c"]}})
        found = GrowingSpheres().find(task)
        assert found[:, 3].tolist() == [2.0] * 6
        assert task.rules.changed(found).sum(1).tolist() == [1] * 6

    def test_draws_fill_the_layer_uniformly(self):
        """The share of a ball's points inside radius r is r^d: the closed form of the volume."""
        from counterflow.counterfactuals.baselines.growing_spheres import _drawn

        task = plain_task(np.zeros((1, 3)), columns=3)
        ends = torch.tensor([0.0]).double(), torch.tensor([2.0]).double()
        points = _drawn(task, *ends, 4000, torch.Generator().manual_seed(0))[0] / task.scale
        radius = points.norm(dim=1)
        assert radius.max() <= 2.0
        for inner in (0.5, 1.0, 1.5):
            share = (inner / 2.0) ** 3
            assert (radius < inner).double().mean().item() == pytest.approx(share, abs=4 * (share / 4000) ** 0.5)
        assert points.mean(0).abs().max() < 4 * 2.0 / math.sqrt(3 * 4000)

    @pytest.mark.parametrize("wrong", [{"radius": 0.0}, {"draws": 0}, {"layers": 0}])
    def test_refuses_what_is_out_of_range(self, wrong):
        with pytest.raises(ArgumentError, match="must be"):
            GrowingSpheres(**wrong)


class TestNearestRows:
    def test_is_the_least_gower_distance_by_a_loop(self):
        rows, others = mixed_numbers(15, seed=7), mixed_numbers(40, seed=8)
        scale, columns = np.array([20.0, 21.0, 9.0, 1.0, 2.0]), np.array([False, False, False, True, False])
        found = nearest_rows(rows, others, scale=scale, categorical=columns)
        for row, place in zip(rows, found, strict=True):
            distances = gower_distance(np.repeat(row[None], 40, 0), others, scale=scale, categorical=columns)
            assert distances[place] == distances.min()

    def test_missing_values_are_equal_to_each_other_and_far_from_all_else(self):
        rows = np.array([[np.nan, 0.0]])
        others = np.array([[0.0, 0.0], [np.nan, 0.4]])
        columns = np.array([False, False])
        assert nearest_rows(rows, others, scale=np.ones(2), categorical=columns).tolist() == [1]

    def test_says_what_is_wrong(self):
        columns = np.array([False])
        with pytest.raises(DataError, match="no candidates"):
            nearest_rows(np.zeros((1, 1)), np.zeros((0, 1)), scale=np.ones(1), categorical=columns)
        with pytest.raises(ShapeError, match="must have 1 columns"):
            nearest_rows(np.zeros((1, 1)), np.zeros((2, 2)), scale=np.ones(1), categorical=columns)
