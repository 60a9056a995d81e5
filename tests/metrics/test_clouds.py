"""Distances of clouds and of sets of clouds, each beside a second implementation."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, jensenshannon
from sklearn.neighbors import KNeighborsClassifier

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics import (
    chamfer_distance,
    cloud_distances,
    earth_mover_distance,
    matching_coverage,
    minimum_matching_distance,
    nearest_neighbor_accuracy,
    occupancy_divergence,
)


def clouds(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fast(cost):
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])


def test_chamfer_is_its_formula():
    """Witness: scipy's distances, cloud by cloud; sizes differ."""
    x, y = clouds(4, 13, 3), clouds(4, 9, 3, seed=1)
    for found, a, b in zip(chamfer_distance(x, y), x, y, strict=True):
        squares = cdist(a, b, "sqeuclidean")
        assert found.item() == pytest.approx(squares.min(1).mean() + squares.min(0).mean(), rel=1e-12)


def test_earth_mover_is_the_best_assignment():
    """Witness: scipy's solver."""
    x, y = clouds(5, 17, 3), clouds(5, 17, 3, seed=1)
    for found, a, b in zip(earth_mover_distance(x, y), x, y, strict=True):
        costs = cdist(a, b)
        assert found.item() == pytest.approx(costs[linear_sum_assignment(costs)].mean(), rel=1e-12)
    assert torch.allclose(earth_mover_distance(x, y, assignment=fast), earth_mover_distance(x, y), atol=1e-12)


def test_earth_mover_in_one_dimension_pairs_in_order():
    """Witness: the closed form on a line."""
    x, y = clouds(1, 40, 1), clouds(1, 40, 1, seed=1)
    expected = (x.sort(1).values - y.sort(1).values).abs().mean()
    assert earth_mover_distance(x, y).item() == pytest.approx(expected.item(), rel=1e-12)


@pytest.mark.parametrize("kind", ["chamfer", "earth_mover"])
def test_tables_hold_the_distances_of_pairs(kind):
    x, y = clouds(4, 10, 2), clouds(3, 10, 2, seed=1)
    single = {"chamfer": chamfer_distance, "earth_mover": earth_mover_distance}[kind]
    table = cloud_distances(x, y, kind=kind)
    for row in range(4):
        expected = single(x[row].expand(3, -1, -1), y)
        assert torch.allclose(table[row], expected, atol=1e-12)
    own = cloud_distances(x, kind=kind)
    assert torch.allclose(own, cloud_distances(x, x, kind=kind), atol=1e-12)


def test_points_that_are_not_there_do_not_count():
    x, y = clouds(3, 12, 3), clouds(3, 12, 3, seed=1)
    parts = [x[0, :4], x[1], x[2, :7]]
    table = cloud_distances(parts, y)
    for row, part in enumerate(parts):
        assert torch.allclose(table[row], cloud_distances(part[None], y)[0], atol=1e-12)
    assert torch.allclose(cloud_distances(y, parts), table.T, atol=1e-12)
    both = [y[0, :4], y[1], y[2, :7]]
    expected = torch.cat([earth_mover_distance(a[None], b[None]) for a, b in zip(parts, both, strict=True)])
    assert torch.allclose(earth_mover_distance(parts, both), expected, atol=1e-12)


def test_large_clouds_are_measured_in_parts(monkeypatch):
    from counterflow.metrics import clouds as module

    x, y = clouds(3, 12, 3), clouds(5, 9, 3, seed=1)
    whole = cloud_distances(x, y)
    monkeypatch.setattr(module, "_NUMBERS_AT_ONCE", 100)
    assert torch.equal(cloud_distances(x, y), whole)


def test_far_clouds_keep_their_digits():
    """Float32, a million units away: the same cloud is at distance 0, a moved one at the square of its way, twice."""
    x = clouds(1, 50, 3).float() + 1e6
    assert chamfer_distance(x, x).item() == 0
    moved = x + torch.tensor([128.0, 0.0, 0.0])
    assert earth_mover_distance(x, moved).item() == pytest.approx(128, rel=1e-5)


def test_matching_and_coverage_by_loops():
    table = clouds(7, 5).abs()
    expected = sum(min(row) for row in table.tolist()) / 7
    assert minimum_matching_distance(table) == pytest.approx(expected, rel=1e-12)
    nearest = {min(range(7), key=lambda r: table[r, g]) for g in range(5)}
    assert matching_coverage(table) == len(nearest) / 7


def test_neighbors_tell_as_a_classifier_does():
    """Witness: scikit-learn's classifier with one neighbor, each shape left out in turn."""
    real, made = clouds(12, 2), 1.5 * clouds(9, 2, seed=1) + 0.5
    points, labels = torch.cat([real, made]).numpy(), np.array([1] * 12 + [0] * 9)
    right = []
    for out in range(21):
        rest = np.arange(21) != out
        judge = KNeighborsClassifier(1).fit(points[rest], labels[rest])
        right.append(judge.predict(points[out : out + 1])[0] == labels[out])
    found = nearest_neighbor_accuracy(
        torch.cdist(real, made), reference=torch.cdist(real, real), generated=torch.cdist(made, made)
    )
    assert found.accuracy == pytest.approx(np.mean(right))
    assert found.of_reference == pytest.approx(np.mean(right[:12]))
    assert found.of_generated == pytest.approx(np.mean(right[12:]))


def test_equal_laws_give_one_half_and_copies_less():
    """Copies of the reference: the nearest neighbor is always the copy."""
    points = clouds(400, 2)
    real, made = points[:200], points[200:]
    own = torch.cdist(real, real)
    fresh = nearest_neighbor_accuracy(torch.cdist(real, made), reference=own, generated=torch.cdist(made, made))
    assert fresh.accuracy == pytest.approx(0.5, abs=0.1)
    assert nearest_neighbor_accuracy(own, reference=own, generated=own).accuracy == 0
    still = nearest_neighbor_accuracy(torch.ones(3, 4), reference=torch.ones(3, 3), generated=torch.ones(4, 4))
    assert still == (0.5, 0.5, 0.5)


def test_crowding_shows_in_the_halves_and_not_in_the_whole():
    """Two nearly equal shapes beside each real one: all generated are told, no real one is."""
    real = clouds(60, 2)
    made = torch.cat([real + 1e-3, real + 1.1e-3])
    found = nearest_neighbor_accuracy(
        torch.cdist(real, made), reference=torch.cdist(real, real), generated=torch.cdist(made, made)
    )
    assert (found.of_reference, found.of_generated) == (0.0, 1.0)
    assert found.accuracy == pytest.approx(2 / 3)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_divergence_of_occupied_cells(dimensions):
    """Witness: numpy's histogram and scipy's divergence in bits."""
    x, y = clouds(6, 50, dimensions), 0.5 + clouds(4, 40, dimensions, seed=1)
    edges = [np.linspace(-1, 2, 6)] * dimensions
    counts = [
        np.histogramdd(part.flatten(0, 1).numpy().clip(-1, 2), bins=edges)[0].ravel() for part in (x, y)
    ]  # fmt: skip
    expected = jensenshannon(*(count / count.sum() for count in counts), base=2) ** 2
    assert occupancy_divergence(x, y, cells=5, limits=(-1.0, 2.0)) == pytest.approx(expected, rel=1e-9)


def test_divergence_ends_at_nothing_and_everything():
    x = clouds(3, 20, 3)
    assert occupancy_divergence(x, x) == pytest.approx(0, abs=1e-12)
    assert occupancy_divergence(x, x + 100) == pytest.approx(1, abs=0.2)  # all of y in the outermost corner
    absent = torch.cat([x, torch.full((3, 5, 3), math.nan, dtype=torch.float64)], 1)
    assert occupancy_divergence(absent, x) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: chamfer_distance(clouds(2, 3, 3), clouds(3, 3, 3)), ShapeError, "as many clouds, got 2 and 3"),
        (lambda: chamfer_distance(clouds(2, 3, 3), clouds(2, 3, 2)), ShapeError, "y must hold points in 3 dimensions"),
        (lambda: cloud_distances(torch.zeros(2, 0, 3), clouds(2, 3, 3)), DataError, "x must have at least one point"),
        (lambda: earth_mover_distance(clouds(2, 3, 3), clouds(2, 4, 3)), ShapeError, "same number of points"),
        (lambda: cloud_distances(torch.full((1, 2, 3), math.inf)), DataError, "must be finite"),
        (lambda: minimum_matching_distance(torch.zeros(0, 3)), ShapeError, "distances must have shape"),
        (lambda: matching_coverage(torch.zeros(3, 0)), ShapeError, "distances must have shape"),
        (lambda: occupancy_divergence(clouds(1, 2, 3), clouds(1, 2, 3), limits=(1.0, 1.0)), ArgumentError, "limits"),
        (lambda: occupancy_divergence(torch.zeros(1, 2, 3), clouds(1, 2, 3)), DataError, "points that differ"),
    ],
)
def test_bad_arguments_are_named(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_tables_that_do_not_fit_are_named():
    with pytest.raises(ShapeError, match="Measure all pairs"):
        nearest_neighbor_accuracy(torch.zeros(1, 1), reference=torch.zeros(1, 1), generated=torch.zeros(1, 1))


def test_tables_may_be_arrays_or_lists():
    between, real, made = clouds(4, 3).abs(), clouds(4, 4, seed=1).abs(), clouds(3, 3, seed=2).abs()
    expected = nearest_neighbor_accuracy(between, reference=real, generated=made)
    for form in (torch.Tensor.numpy, torch.Tensor.tolist):
        assert nearest_neighbor_accuracy(form(between), reference=form(real), generated=form(made)) == expected
        assert minimum_matching_distance(form(between)) == minimum_matching_distance(between)
        assert matching_coverage(form(between)) == matching_coverage(between)
    with pytest.raises(DataError, match="distances must be real numbers"):
        matching_coverage("table")


@pytest.mark.parametrize("far", [1e10, 1e30, 1e300])
def test_points_beyond_the_limits_are_alike_however_far(far):
    ones = torch.ones(1, 4, 3)
    assert occupancy_divergence(ones, torch.full((1, 4, 3), far, dtype=torch.float64), limits=(0.0, 1.0)) == 0
    assert occupancy_divergence(ones, torch.full((1, 4, 3), -far, dtype=torch.float64), limits=(0.0, 1.0)) == 1


def test_limits_are_finite():
    with pytest.raises(ArgumentError, match="finite and low below high"):
        occupancy_divergence(clouds(1, 2, 3), clouds(1, 2, 3), limits=(0.0, math.inf))


def test_neither_side_loses_digits_to_the_other():
    """Single against double precision, far from the origin: the distance is the same in both directions."""
    x, y = torch.full((1, 1, 2), 4649776.0), torch.full((1, 1, 2), 4649776.224, dtype=torch.float64)
    expected = 2 * 2 * (y - x.double())[0, 0, 0].item() ** 2
    for pair in ((x, y), (y, x)):
        assert chamfer_distance(*pair).item() == pytest.approx(expected, rel=1e-9)
        assert cloud_distances(*pair).item() == pytest.approx(expected, rel=1e-9)
