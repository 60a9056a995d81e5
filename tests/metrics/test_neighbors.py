"""Nearest real points: scikit-learn and a brute-force loop as witnesses."""

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics import nearest_neighbors, neighbor_target_share, neighbors


@pytest.mark.parametrize("numbers_at_once", [10, 2**22])
def test_neighbors_are_scikit_learns_in_blocks_of_any_size(monkeypatch, numbers_at_once):
    monkeypatch.setattr(neighbors, "_NUMBERS_AT_ONCE", numbers_at_once)
    random = np.random.default_rng(0)
    points, real = random.normal(size=(40, 3, 2)), random.normal(size=(300, 3, 2))
    expected = NearestNeighbors(n_neighbors=7).fit(real.reshape(300, -1)).kneighbors(points.reshape(40, -1))[1]
    np.testing.assert_array_equal(nearest_neighbors(points, real, neighbors=7), expected)


def test_many_points_are_taken_in_parts():
    points = np.arange(1500.0)[:, None]
    np.testing.assert_array_equal(nearest_neighbors(points, points, neighbors=1)[:, 0], np.arange(1500))


def test_points_far_from_zero_lose_no_digits():
    random = np.random.default_rng(1)
    real = 1e6 + random.normal(size=(200, 4))
    expected = [np.abs(real - point).argmin(axis=0)[0] for point in real[:9, :1]]
    np.testing.assert_array_equal(nearest_neighbors(real[:9, :1], real[:, :1], neighbors=1)[:, 0], expected)


def test_shares_are_those_of_a_nearest_neighbor_classifier():
    digits = load_digits()
    answers, real, labels = digits.data[:50], digits.data[50:], digits.target[50:]
    judge = KNeighborsClassifier(10).fit(real, labels)
    expected = judge.predict_proba(answers)[np.arange(50), digits.target[:50]]
    found = neighbor_target_share(answers, real, labels=labels, target=digits.target[:50])
    np.testing.assert_allclose(found, expected)
    nines = neighbor_target_share(answers.astype(np.float32), real, labels=labels, target=9)
    np.testing.assert_allclose(nines, judge.predict_proba(answers)[:, 9])


def test_words_may_be_classes():
    real, labels = np.array([[0.0], [1.0], [2.0]]), np.array(["no", "yes", "yes"])
    assert neighbor_target_share(np.array([[0.4]]), real, labels=labels, target="yes", neighbors=2).tolist() == [0.5]


@pytest.mark.parametrize(
    ("points", "settings", "error", "words"),
    [
        (np.zeros((2, 3)), {}, ShapeError, r"must hold the same events, got \(3,\) and \(2,\)"),
        (np.zeros((2, 2)), {"neighbors": 6}, ArgumentError, "must hold at least 6 points, got 5"),
        (np.zeros((2, 2)), {"neighbors": 0}, ArgumentError, "neighbors must be a whole number of at least 1"),
        (np.full((2, 2), np.nan), {}, DataError, "points must be finite"),
    ],
)
def test_wrong_points_are_refused(points, settings, error, words):
    with pytest.raises(error, match=words):
        nearest_neighbors(points, np.zeros((5, 2)), **{"neighbors": 1} | settings)


def test_labels_and_targets_must_fit():
    real = np.zeros((5, 2))
    with pytest.raises(ShapeError, match="labels must have one entry per row"):
        neighbor_target_share(real, real, labels=np.zeros(4), target=1, neighbors=1)
    with pytest.raises(ShapeError, match="target must have one entry per row"):
        neighbor_target_share(real, real, labels=np.zeros(5), target=np.zeros(2), neighbors=1)
