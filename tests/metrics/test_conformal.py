"""Conformal numbers: loops, the exact law of a fresh row, and agreement of threshold and p-value."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, multivariate_normal

from counterflow import metrics
from counterflow.core.errors import ArgumentError, DataError, ShapeError

scores = arrays(np.float64, st.integers(1, 40), elements=st.integers(-8, 8).map(float))


@given(scores, scores)
def test_pvalue_against_a_loop(calibration, judged):
    values = metrics.conformal_pvalue(calibration, judged)
    n = len(calibration)
    for value, score in zip(values, judged, strict=True):
        assert value == (1 + sum(c <= score for c in calibration)) / (n + 1)
    assert (values >= 1 / (n + 1)).all()
    assert (values <= 1).all()


@given(scores, scores, st.one_of(st.floats(0, 1), st.sampled_from([0.05, 0.07, 0.1, 0.14, 0.5, 0.9])))
def test_threshold_and_pvalue_say_the_same(calibration, judged, level):
    threshold = metrics.conformal_threshold(calibration, level)
    for block in (judged, calibration, np.array([-np.inf, np.inf])):
        np.testing.assert_array_equal(block >= threshold, metrics.conformal_pvalue(calibration, block) >= level)


def test_threshold_at_levels_that_fall_on_a_step():
    calibration = np.arange(1.0, 100.0)  # n + 1 = 100: 0.07 * 100 = 7.000000000000001 in floats
    for percent in range(2, 101):
        assert metrics.conformal_threshold(calibration, percent / 100) == percent - 1
    assert metrics.conformal_threshold(calibration, 0.01) == -math.inf
    assert metrics.conformal_threshold(calibration, 0.0) == -math.inf


def test_the_promise_holds_exactly_for_fresh_rows():
    """Without ties the pass rate of a fresh row is 1 - (ceil(a(n+1)) - 1)/(n+1), averaged over calibrations."""
    rng = np.random.default_rng(0)
    n, level, trials = 29, 0.1, 4000
    rejected = sum(metrics.conformal_pvalue(draw[:n], draw[n:])[0] < level for draw in rng.normal(size=(trials, n + 1)))
    chance = 2 / 30  # of the 30 equally likely ranks, those with rank/30 < 0.1
    low, high = binom.ppf([1e-4, 1 - 1e-4], trials, chance)
    assert low <= rejected <= high


def test_nan_scores_are_the_strangest():
    assert metrics.conformal_pvalue(np.array([-np.inf, 0.0, 1.0, 2.0]), np.array([np.nan, -np.inf])).tolist() == [
        0.4,
        0.4,
    ]


def test_calibration_errors():
    for function, argument in ((metrics.conformal_pvalue, np.zeros(1)), (metrics.conformal_threshold, 0.1)):
        with pytest.raises(DataError, match="at least one score"):
            function(np.zeros(0), argument)
        with pytest.raises(DataError, match="must not be NaN"):
            function(np.array([np.nan, 1.0]), argument)
    with pytest.raises(ArgumentError, match="level must lie"):
        metrics.conformal_threshold(np.zeros(3), 1.5)


@given(st.integers(2, 12), st.integers(1, 5), st.integers(0, 50))
def test_permuting_changes_one_entry_and_invents_nothing(n, features, seed):
    rows = np.arange(float(n * features)).reshape(n, features)
    before = rows.copy()
    wrong, column = metrics.permute_one_column(rows, generator=np.random.default_rng(seed))
    np.testing.assert_array_equal(rows, before)
    np.testing.assert_array_equal((wrong != rows).sum(axis=1), 1)
    np.testing.assert_array_equal(np.argmax(wrong != rows, axis=1), column)
    for j in range(features):
        assert set(wrong[:, j]) <= set(rows[:, j])


def test_permuting_needs_a_donor():
    with pytest.raises(DataError, match="at least two rows"):
        metrics.permute_one_column(np.zeros((1, 2)), generator=np.random.default_rng(0))


def test_a_judge_of_dependence_rejects_and_a_judge_of_margins_does_not():
    rng = np.random.default_rng(0)
    covariance = np.array([[1.0, 0.98], [0.98, 1.0]])
    real = rng.multivariate_normal([0, 0], covariance, size=2000)
    wrong, _ = metrics.permute_one_column(real, generator=rng)
    rejections = []
    for judge in (multivariate_normal([0, 0], covariance), multivariate_normal([0, 0], np.eye(2))):
        threshold = metrics.conformal_threshold(judge.logpdf(real), 0.1)
        rejections.append(metrics.permutation_rejection(judge.logpdf(wrong), threshold))
    assert rejections[0] > 0.7
    assert rejections[1] < 0.2


def test_rejection_counts():
    found = np.array([[-2.0, np.nan], [0.0, 1.0]])
    assert metrics.permutation_rejection(found, 0.0) == 0.5
    assert metrics.permutation_rejection(found, 0.0, changed=np.array([[True, True], [True, False]])) == pytest.approx(
        2 / 3
    )
    with pytest.raises(ShapeError, match="changed must have the shape"):
        metrics.permutation_rejection(found, 0.0, changed=np.array([[True]]))


@pytest.mark.parametrize(
    ("rejection", "witness", "search", "expected"),
    [(0.5, -1.0, -1.0, True), (0.49, 0.0, -1.0, False), (0.9, -1.1, -1.0, False), (math.nan, 0.0, -1.0, False)],
)
def test_when_a_witness_counts(rejection, witness, search, expected):
    verdict = metrics.is_informative_witness(
        rejection=rejection, witness_log_density=witness, search_log_density=search
    )
    assert verdict is expected
