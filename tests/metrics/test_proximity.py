"""Distances: scipy and loops as witnesses, and the laws of a distance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.spatial.distance import cdist
from scipy.stats import median_abs_deviation
from sklearn.datasets import load_wine

from counterflow import metrics
from counterflow.core.errors import ArgumentError, DataError, ShapeError

numbers = st.floats(-100, 100, allow_subnormal=False)
shapes = st.tuples(st.integers(1, 8), st.integers(1, 5))
pairs = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=numbers)] * 2))
triples = shapes.flatmap(lambda shape: st.tuples(*[arrays(np.float64, shape, elements=numbers)] * 3))


def diagonal(a, b, metric, **options):
    return cdist(a, b, metric, **options).diagonal()


@given(pairs)
def test_norms_against_scipy(pair):
    a, b = pair
    scale = 1.0 + np.arange(a.shape[1])
    for s in (None, scale):
        u, v = (a, b) if s is None else (a / s, b / s)
        np.testing.assert_allclose(metrics.l1_distance(a, b, scale=s), diagonal(u, v, "cityblock"), atol=1e-12)
        np.testing.assert_allclose(metrics.l2_distance(a, b, scale=s), diagonal(u, v, "euclidean"), atol=1e-12)
        np.testing.assert_allclose(
            metrics.lp_distance(a, b, p=3, scale=s), diagonal(u, v, "minkowski", p=3), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(metrics.lp_distance(a, b, p=np.inf, scale=s), diagonal(u, v, "chebyshev"))


def test_small_powers_neither_overflow_nor_vanish():
    a, b = np.zeros((1, 3)), np.array([[1e-3, 2.0, 1e-3]])
    by_hand = sum(abs(x) ** 0.01 for x in b[0]) ** 100
    np.testing.assert_allclose(metrics.lp_distance(a, b, p=0.01), by_hand, rtol=1e-9)
    assert metrics.lp_distance(a, a, p=0.01) == 0
    assert np.isfinite(metrics.lp_distance(a, b * 1e200, p=2)).all()


@given(triples)
def test_distances_are_distances(triple):
    a, b, c = triple
    columns = np.arange(a.shape[1]) % 2 == 1
    a[:, columns], b[:, columns], c[:, columns] = (np.round(x[:, columns] / 50) for x in (a, b, c))
    span = metrics.range_scale(np.concatenate(triple))
    measures = (
        lambda x, y: metrics.l1_distance(x, y, scale=span),
        lambda x, y: metrics.l2_distance(x, y, scale=span),
        lambda x, y: metrics.mad_distance(x, y, scale=span),
        lambda x, y: metrics.gower_distance(x, y, scale=span, categorical=columns),
        lambda x, y: metrics.mixed_distance(x, y, scale=span, categorical=columns),
    )
    for measure in measures:
        assert (measure(a, a) == 0).all()
        np.testing.assert_array_equal(measure(a, b), measure(b, a))
        assert (measure(a, c) <= measure(a, b) + measure(b, c) + 1e-9).all()
        assert ((measure(a, b) > 0) == (a != b).any(axis=1)).all()


@given(pairs)
def test_gower_against_a_loop_and_its_range(pair):
    a, b = pair
    columns = np.arange(a.shape[1]) % 2 == 0
    span = metrics.range_scale(a)
    expected = [
        np.mean(
            [float(x != y) if k else min(abs(x - y) / s, 1) for x, y, s, k in zip(r, q, span, columns, strict=True)]
        )
        for r, q in zip(a, b, strict=True)
    ]
    value = metrics.gower_distance(a, b, scale=span, categorical=columns)
    np.testing.assert_allclose(value, expected, atol=1e-12)
    assert ((value >= 0) & (value <= 1)).all()


def test_mixed_is_the_reference_librarys_euclidean_hamming():
    rng = np.random.default_rng(0)
    a, b = (np.hstack([rng.normal(size=(20, 3)), rng.integers(0, 3, (20, 2))]) for _ in range(2))
    columns = np.array([False, False, False, True, True])
    euclidean, hamming = diagonal(a[:, :3], b[:, :3], "euclidean"), diagonal(a[:, 3:], b[:, 3:], "hamming")
    np.testing.assert_allclose(metrics.mixed_distance(a, b, categorical=columns), 0.6 * euclidean + 0.4 * hamming)
    np.testing.assert_allclose(
        metrics.mixed_distance(a, b, categorical=columns, p=1, ratio=0.25),
        0.25 * diagonal(a[:, :3], b[:, :3], "cityblock") + 0.75 * hamming,
    )


def test_mixed_without_one_of_the_kinds():
    a, b = np.zeros((1, 2)), np.array([[3.0, 4.0]])
    assert metrics.mixed_distance(a, b, categorical=np.array([False, False])) == 5
    assert metrics.mixed_distance(a, b, categorical=np.array([True, True])) == 1


def test_scales_against_scipy_on_real_rows():
    rows = load_wine().data
    np.testing.assert_allclose(metrics.mad_scale(rows), median_abs_deviation(rows, axis=0))
    np.testing.assert_allclose(metrics.standard_scale(rows), rows.std(axis=0))
    np.testing.assert_allclose(metrics.range_scale(rows), rows.max(axis=0) - rows.min(axis=0))


def test_scales_are_never_zero():
    rows = np.array([[0.0, 0.1, 1.0], [0.0, 0.1, 2.0], [0.0, 0.1, 3.0], [5.0, 0.1, 4.0]])
    np.testing.assert_allclose(metrics.mad_scale(rows), [rows[:, 0].std(), 1.0, 1.0])
    assert metrics.standard_scale(rows)[1] == metrics.range_scale(rows)[1] == 1.0


@pytest.mark.parametrize("function", [metrics.l1_distance, metrics.l2_distance, metrics.changed_features])
def test_bad_pairs(function):
    with pytest.raises(ShapeError, match=r"same shape, got \(3, 2\) and \(2, 2\)"):
        function(np.zeros((3, 2)), np.zeros((2, 2)))
    with pytest.raises(DataError, match="counterfactuals must be finite"):
        function(np.zeros((1, 2)), np.array([[np.nan, 0.0]]))


def test_bad_scales_powers_and_columns():
    a = np.zeros((3, 2))
    with pytest.raises(ShapeError, match=r"one entry per feature, shape \(2,\), got \(3,\)"):
        metrics.l1_distance(a, a, scale=np.ones(3))
    with pytest.raises(ArgumentError, match="positive in every feature"):
        metrics.mad_distance(a, a, scale=np.array([1.0, 0.0]))
    with pytest.raises(ArgumentError, match="p must be positive"):
        metrics.lp_distance(a, a, p=0)
    with pytest.raises(ShapeError, match="one Boolean per feature"):
        metrics.gower_distance(a, a, scale=np.ones(2), categorical=np.array([True]))
    with pytest.raises(ArgumentError, match="ratio must lie in"):
        metrics.mixed_distance(a, a, categorical=np.array([True, False]), ratio=1.5)


@given(pairs)
def test_changed_features_and_sparsity_against_a_loop(pair):
    a, b = pair
    b = np.where(np.arange(a.size).reshape(a.shape) % 2 == 0, a, b)
    expected = np.array([sum(x != y for x, y in zip(r, q, strict=True)) for r, q in zip(a, b, strict=True)])
    np.testing.assert_array_equal(metrics.changed_features(a, b), expected)
    np.testing.assert_allclose(metrics.sparsity(a, b), diagonal(a, b, "hamming"), atol=1e-12)
    assert ((metrics.sparsity(a, b) >= 0) & (metrics.sparsity(a, b) <= 1)).all()


def test_tolerances():
    a, b = np.zeros((1, 3)), np.array([[0.04, 0.06, 10.0]])
    assert metrics.changed_features(a, b, tolerance=0.05) == 2
    assert metrics.changed_features(a, b, tolerance=np.array([0.0, 0.1, 10.0])) == 1
    with pytest.raises(ArgumentError, match="tolerance"):
        metrics.changed_features(a, b, tolerance=-1)
