"""Outlier scores: scikit-learn itself and a definition written out in loops as witnesses."""

import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import LocalOutlierFactor

from counterflow import metrics
from counterflow.core.errors import ArgumentError, DataError, ShapeError

rng = np.random.default_rng(1)


def lof_by_hand(x, reference, k):
    """Breunig's definitions 3 to 7, one at a time."""

    def neighbors(point, others):
        distance = np.linalg.norm(others - point, axis=1)
        order = np.argsort(distance)[:k]
        return order, distance[order]

    def others(i):
        return np.delete(reference, i, axis=0)

    k_distance = np.array([neighbors(reference[i], others(i))[1][-1] for i in range(len(reference))])

    def density(order, distance):
        return 1.0 / np.mean(np.maximum(k_distance[order], distance))

    def own_density(i):
        order, distance = neighbors(reference[i], others(i))
        return density(np.where(order >= i, order + 1, order), distance)

    order, distance = neighbors(x, reference)
    return np.mean([own_density(o) for o in order]) / density(order, distance)


def test_lof_against_its_definition():
    reference, rows = rng.normal(size=(40, 3)), rng.normal(size=(6, 3)) * 2
    expected = [lof_by_hand(x, reference, 5) for x in rows]
    np.testing.assert_allclose(metrics.lof_scores(rows, reference, neighbors=5), expected, rtol=1e-7)


def test_both_are_what_scikit_learn_says_on_real_rows():
    wine = load_wine().data
    reference, rows = wine[::2], wine[1::2]
    lof = LocalOutlierFactor(n_neighbors=20, novelty=True).fit(reference)
    np.testing.assert_array_equal(metrics.lof_scores(rows, reference), -lof.score_samples(rows))
    forest = IsolationForest(n_estimators=100, random_state=42).fit(reference)
    ours = metrics.isolation_forest_scores(rows, reference, random_state=42)
    np.testing.assert_array_equal(ours, forest.decision_function(rows))
    assert (np.abs(ours) <= 0.5).all()


def test_far_rows_score_worse():
    reference = rng.normal(size=(200, 2))
    rows = np.array([[0.0, 0.0], [9.0, 9.0]])
    near, far = metrics.lof_scores(rows, reference)
    assert near < 1.5 < far
    near, far = metrics.isolation_forest_scores(rows, reference)
    assert near > 0 > far


def test_few_reference_rows_and_no_rows():
    reference = rng.normal(size=(3, 2))
    assert metrics.lof_scores(reference, reference, neighbors=20).shape == (3,)
    assert metrics.lof_scores(np.zeros((0, 2)), reference).shape == (0,)
    assert metrics.isolation_forest_scores(np.zeros((0, 2)), reference).shape == (0,)


@pytest.mark.parametrize("function", [metrics.lof_scores, metrics.isolation_forest_scores])
def test_errors(function):
    with pytest.raises(ShapeError, match="3 features like reference, got 2"):
        function(np.zeros((4, 2)), np.zeros((5, 3)))
    with pytest.raises(DataError, match="reference must be finite"):
        function(np.zeros((4, 2)), np.full((5, 2), np.inf))


def test_lof_needs_neighbors():
    with pytest.raises(ArgumentError, match="at least two reference rows"):
        metrics.lof_scores(np.zeros((4, 2)), np.zeros((1, 2)))
