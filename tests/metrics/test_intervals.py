"""Intervals, against scipy, closed forms and their own promise."""

import math

import numpy as np
import pytest
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import bootstrap_interval, paired_difference, wilson_interval


@pytest.mark.parametrize(("successes", "trials"), [(0, 1), (0, 20), (3, 20), (20, 20), (417, 900)])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_wilson_is_scipys(successes, trials, confidence):
    found = wilson_interval(successes, trials, confidence=confidence)
    expected = stats.binomtest(successes, trials).proportion_ci(confidence, method="wilson")
    assert found.value == successes / trials
    np.testing.assert_allclose(found[1:], [expected.low, expected.high], atol=1e-12)


def test_wilson_of_nothing_is_nan():
    assert all(math.isnan(end) for end in wilson_interval(0, 0))


def test_wilson_covers_the_truth_about_as_often_as_it_says():
    """Exact: the chance of every count, summed where the interval holds the true share."""
    n, share = 60, 0.3
    ends = [wilson_interval(k, n) for k in range(n + 1)]
    inside = [low <= share <= high for _, low, high in ends]
    assert stats.binom.pmf(np.arange(n + 1), n, share)[inside].sum() == pytest.approx(0.95, abs=0.02)


def flags_of(counts):
    """Two columns of flags with so many pairs of yes-yes, yes-no, no-yes and no-no."""
    pairs = np.repeat([[1, 1], [1, 0], [0, 1], [0, 0]], counts, axis=0).astype(bool)
    return pairs[:, 0], pairs[:, 1]


def test_a_paired_difference_covers_the_truth_about_as_often_as_it_says():
    """Exact: the multinomial chance of every table of 15 pairs, summed where the interval holds the true difference."""
    n, law = 15, np.array([0.35, 0.35, 0.1, 0.2])
    tables = [(a, b, c, n - a - b - c) for a in range(n + 1) for b in range(n + 1 - a) for c in range(n + 1 - a - b)]
    ends = [paired_difference(*flags_of(table)) for table in tables]
    inside = [low <= law[1] - law[2] <= high for _, low, high in ends]
    assert stats.multinomial.pmf(tables, n, law)[inside].sum() == pytest.approx(0.95, abs=0.015)


def test_a_paired_difference_is_narrower_than_that_of_two_samples_where_both_agree():
    """Closed form: without correlation it is Newcombe's square-and-add interval of two independent shares."""
    first, second = flags_of((20, 20, 20, 20))
    one, two = wilson_interval(40, 80), wilson_interval(40, 80)
    apart = paired_difference(first, second)
    assert apart.low == pytest.approx(-math.hypot(one.value - one.low, two.high - two.value))
    assert apart.high == pytest.approx(math.hypot(one.high - one.value, two.value - two.low))
    together = paired_difference(*flags_of((39, 1, 1, 39)))
    assert together.high - together.low < 0.5 * (apart.high - apart.low)


def test_a_paired_difference_changes_its_sign_with_its_sides():
    first, second = flags_of((30, 14, 2, 9))
    there, back = paired_difference(first, second), paired_difference(second, first)
    np.testing.assert_allclose([there.value, there.low, there.high], [-back.value, -back.high, -back.low])


def test_paired_differences_at_the_edge():
    value, low, high = paired_difference(*flags_of((0, 50, 0, 0)))
    assert value == high == 1
    assert 0.8 < low < 1
    assert all(math.isnan(end) for end in paired_difference(*flags_of((0, 0, 0, 0))))
    with pytest.raises(ShapeError, match=r"must have one entry each, got shapes \(3,\) and \(2,\)"):
        paired_difference(np.ones(3, dtype=bool), np.ones(2, dtype=bool))


def test_the_bootstrap_of_a_mean_is_about_normal():
    values = np.random.default_rng(0).gamma(2.0, size=400)
    found = bootstrap_interval(values, draws=8000)
    half = 1.96 * values.std() / 20
    assert found.value == pytest.approx(values.mean())
    np.testing.assert_allclose(found[1:], [values.mean() - half, values.mean() + half], atol=0.15 * half)


def test_the_bootstrap_of_a_median_is_scipys():
    values = np.random.default_rng(1).normal(size=101)
    found = bootstrap_interval(values, "median", draws=8000)
    peer = stats.bootstrap((values,), np.median, method="percentile", n_resamples=8000, rng=2).confidence_interval
    assert found.value == np.median(values)
    np.testing.assert_allclose(found[1:], [peer.low, peer.high], atol=0.05)


def test_the_bootstrap_is_the_same_in_blocks(monkeypatch):
    values = np.random.default_rng(2).normal(size=4200)
    assert bootstrap_interval(values, draws=3000) == bootstrap_interval(values, draws=3000)
    low, high = bootstrap_interval(values, draws=3000)[1:]
    assert low < values.mean() < high


def test_the_bootstrap_of_nothing_is_nan():
    assert all(math.isnan(end) for end in bootstrap_interval(np.zeros(0)))


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="successes must lie between 0 and trials, got 3 of 2"):
        wilson_interval(3, 2)
    with pytest.raises(ArgumentError, match=r"confidence must lie in \(0, 1\)"):
        wilson_interval(1, 2, confidence=1.0)
    with pytest.raises(ArgumentError, match=r"confidence must lie in \(0, 1\)"):
        bootstrap_interval(np.zeros(3), confidence=0.0)
