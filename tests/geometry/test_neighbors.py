"""Dimensions from nearest neighbors, against manifolds of known dimension and against scikit-learn's neighbors."""

import math

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from counterflow import geometry
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from tests.laws.registry import draw


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def helix(rows: int) -> torch.Tensor:
    t = 8 * (uniform(rows) - 0.5)
    return torch.stack([t.sin(), t.cos(), t], dim=1)


def sphere(rows: int) -> torch.Tensor:
    x = draw(rows, 3)
    return x / x.norm(dim=1, keepdim=True)


def turned(points: torch.Tensor, dimension: int) -> torch.Tensor:
    """The same points in more dimensions: an isometry."""
    basis = torch.linalg.qr(draw(dimension, dimension, seed=4)).Q
    return points @ basis[: points.shape[1]]


@pytest.mark.parametrize(
    ("data", "dimension", "slack"),
    [
        (helix(3000), 1, 0.03),
        (sphere(3000), 2, 0.06),
        (turned(uniform(3000, 2), 10), 2, 0.06),
        (turned(uniform(3000, 3), 10), 3, 0.2),  # edges make a cube look thinner than it is
        (draw(3000, 5), 5, 0.5),
    ],
    ids=["helix", "sphere", "square", "cube", "normal law"],
)
@pytest.mark.parametrize("neighbors", [2, 10])
def test_known_manifolds_have_their_dimension(data, dimension, slack, neighbors):
    """Within what edges and curvature take, and three standard errors of the mean of the reciprocals."""
    found = geometry.pooled_dimension(geometry.neighbor_dimension(data, data, neighbors=neighbors)).item()
    assert found == pytest.approx(dimension, abs=slack + 3 * dimension / math.sqrt(3000 * (neighbors - 1)))


@pytest.mark.parametrize("neighbors", [2, 7])
def test_the_estimate_is_the_formula_over_the_neighbors_of_scikit_learn(neighbors):
    data = draw(200, 2, 3)
    flat = data.flatten(1).numpy()
    distances = NearestNeighbors(n_neighbors=neighbors + 1).fit(flat).kneighbors(flat)[0][:, 1:]
    expected = [1 / np.mean([math.log(row[-1] / other) for other in row[:-1]]) for row in distances]
    found = geometry.neighbor_dimension(data, data, neighbors=neighbors)
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-9)
    assert geometry.pooled_dimension(found).item() == pytest.approx(1 / np.mean(1 / np.array(expected)))


def test_memory_is_bounded_and_changes_nothing(monkeypatch):
    data, sizes = draw(100, 3), []
    whole = geometry.neighbor_dimension(data, data, neighbors=5)
    original = torch.cdist

    def counted(points, others, **settings):
        sizes.append(len(points) * len(others))
        return original(points, others, **settings)

    monkeypatch.setattr(torch, "cdist", counted)
    torch.testing.assert_close(geometry.neighbor_dimension(data, data, neighbors=5, pairs_at_once=700), whole)
    assert max(sizes) == 700


def test_noise_around_a_manifold_is_seen_by_near_neighbors_and_not_by_far_ones():
    data = helix(20000) + 0.005 * draw(20000, 3)
    near, far = (
        geometry.pooled_dimension(geometry.neighbor_dimension(data[:200], data, neighbors=k)) for k in (4, 400)
    )
    assert near > 2.5
    assert far < 1.2


def test_copies_of_a_point_are_the_point():
    data = draw(50, 2)
    twice = torch.cat([data, data[:1]])
    once = geometry.neighbor_dimension(data[:1], data, neighbors=5)
    torch.testing.assert_close(geometry.neighbor_dimension(data[:1], twice, neighbors=5), once)


def test_neighbors_at_one_distance_tell_nothing():
    data = torch.tensor([[0.0, 0.0], [1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]])
    assert geometry.neighbor_dimension(data[:1], data, neighbors=3).item() == math.inf


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: geometry.neighbor_dimension(x, x[:, :2]), ShapeError, r"shape \(2,\) of data"),
        (lambda x: geometry.neighbor_dimension(x, x, neighbors=1), ArgumentError, "neighbors"),
        (lambda x: geometry.neighbor_dimension(x, x, neighbors=31), DataError, "at least 31 data"),
        (lambda x: geometry.neighbor_dimension(x, x, neighbors=30), DataError, "differ from it"),
        (lambda x: geometry.neighbor_dimension(x, x / 0, neighbors=3), DataError, "finite"),
        (lambda x: geometry.pooled_dimension(x[:0, 0]), DataError, "at least one estimate"),
    ],
)
def test_wrong_questions_are_refused_with_a_sentence(call, error, message):
    with pytest.raises(error, match=message):
        call(draw(30, 3))
