"""Scores of predicted laws, against integrals, scipy and closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import crps, interval_coverage, pinball_loss, pit_distance

NUMBERS = st.floats(-5, 5)


@given(st.lists(NUMBERS, min_size=1, max_size=8), NUMBERS)
def test_crps_is_its_integral(points, y):
    grid = np.linspace(-6, 6, 24_001)
    cdf = np.searchsorted(np.sort(points), grid, side="right") / len(points)
    expected = ((cdf - (grid >= y)) ** 2).sum() * (grid[1] - grid[0])
    assert crps(np.array([points]), np.array([y]))[0] == pytest.approx(expected, abs=2e-3)


def test_crps_of_a_normal_law_is_the_closed_form():
    """Gneiting and Raftery, 2007, equation 5."""
    points = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)[None]
    for y in (-1.3, 0.0, 2.0):
        exact = y * (2 * stats.norm.cdf(y) - 1) + 2 * stats.norm.pdf(y) - 1 / np.sqrt(np.pi)
        assert crps(points, np.array([y]))[0] == pytest.approx(exact, abs=1e-3)


def test_the_true_quantile_has_the_least_pinball_loss():
    y = np.random.default_rng(0).exponential(size=4000)
    tried = np.linspace(0.01, 5, 200)
    for level in (0.1, 0.5, 0.9):
        losses = [pinball_loss(np.full((4000, 1), q), y, levels=np.array([level]))[0] for q in tried]
        assert tried[np.argmin(losses)] == pytest.approx(np.quantile(y, level), abs=0.05)


def test_pit_distance_is_the_statistic_of_kolmogorov_and_smirnov():
    pit = np.random.default_rng(0).beta(2, 3, size=50)
    assert pit_distance(pit) == pytest.approx(stats.kstest(pit, "uniform").statistic)


def test_coverage_counts_rows_whose_targets_are_all_inside():
    intervals = np.array([[[0.0, 0.0], [1.0, 1.0]], [[0.0, 0.0], [1.0, 1.0]]])
    assert interval_coverage(intervals, np.array([[0.5, 1.0], [0.5, 1.1]])) == 0.5


def test_what_does_not_go_together_is_refused():
    with pytest.raises(ShapeError, match="each of the 2 rows"):
        crps(np.zeros((2, 3)), np.zeros(3))
    with pytest.raises(ShapeError, match="each of the 2 rows"):
        pinball_loss(np.zeros((2, 1)), np.zeros(3), levels=np.array([0.5]))
    with pytest.raises(ShapeError, match="intervals must have shape"):
        interval_coverage(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ArgumentError, match=r"pit must lie in \[0, 1\]"):
        pit_distance(np.array([1.2]))
