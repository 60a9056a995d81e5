"""Tests of uniformity: scipy's, and simulated uniform numbers, as witnesses."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from counterflow.core.errors import ArgumentError, DataError
from counterflow.inference import Uniformity, ecdf_band


def uniform(n, seed, power=1.0):
    return torch.as_tensor(np.random.default_rng(seed).uniform(size=n) ** power)


@pytest.mark.parametrize("n", [20, 200, 2000])
@pytest.mark.parametrize("power", [1.0, 1.1])
def test_kolmogorov_and_smirnov_against_scipy(n, power):
    for seed in range(20):
        values = uniform(n, seed, power)
        expected = stats.kstest(values.numpy(), "uniform", method="exact")
        found = Uniformity(values)
        assert found.ks_distance == pytest.approx(expected.statistic, abs=1e-12)
        assert found.ks_pvalue == pytest.approx(expected.pvalue, abs=1e-3 if n == 20 else 1e-4)


@pytest.mark.parametrize("bins", [2, 7, 20])
def test_pearson_against_scipy(bins):
    values = uniform(300, 1, 1.2)
    counts = np.histogram(values.numpy(), bins, (0, 1))[0]
    assert Uniformity(values).chi_square_pvalue(bins) == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-9)


def shares(n, points, repetitions, seed=0):
    """The distribution function of many samples of uniform numbers, at the points."""
    counts = np.random.default_rng(seed).multinomial(n, np.full(len(points) + 1, 1 / (len(points) + 1)), repetitions)
    return counts.cumsum(1)[:, :-1] / n


@pytest.mark.parametrize(("n", "confidence"), [(30, 0.9), (100, 0.95), (1000, 0.95), (1000, 0.5)])
def test_uniform_numbers_stay_within_the_band_as_often_as_it_says(n, confidence):
    band = ecdf_band(n, confidence=confidence)
    seen = shares(n, band.points, 20_000)
    within = ((seen >= band.low - 1e-9) & (seen <= band.high + 1e-9)).all(1).mean()
    noise = 3 * math.sqrt(confidence * (1 - confidence) / 20_000)
    assert confidence - noise <= within <= confidence + noise + 0.02 * (n < 200)  # counts are whole: a step is wide


def test_the_band_at_one_point_is_a_binomial_interval():
    """With two numbers there is one point, one half, and three counts."""
    band = ecdf_band(2, confidence=0.4)
    assert band.points.tolist() == [0.5]
    assert (band.low[0], band.high[0]) == (0.5, 0.5)
    assert ecdf_band(2, confidence=0.6).high[0] == 1.0


def test_the_pvalue_is_the_share_of_samples_as_unlikely():
    """By brute force: the smallest binomial tail of each of many samples, against that of ours."""
    n = 150
    values = uniform(n, 3, 1.15)
    band = ecdf_band(n)
    counts = np.round(shares(n, band.points, 20_000) * n)
    mine = np.searchsorted(np.sort(values.numpy()), band.points, side="right")

    def least(counts):
        law = stats.binom(n, band.points)
        return np.minimum(law.cdf(counts), law.sf(counts - 1)).min(-1)

    expected = (least(counts) <= least(mine) * (1 + 1e-9)).mean()
    assert 0.01 < expected < 0.9
    assert Uniformity(values).band_pvalue == pytest.approx(expected, abs=4 * math.sqrt(expected / 20_000))


def test_pvalue_and_band_agree():
    band = ecdf_band(200)
    for seed in range(40):
        values = uniform(200, seed, 1.15)
        seen = np.searchsorted(np.sort(values.numpy()), band.points, side="right") / 200
        outside = bool(((seen < band.low - 1e-9) | (seen > band.high + 1e-9)).any())
        assert outside == (Uniformity(values).band_pvalue < 0.05)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda u: u, "uniform as far as can be seen"),
        (lambda u: u**0.7, "too high"),
        (lambda u: u**1.4, "too low"),
        (lambda u: (1 - torch.cos(math.pi * u)) / 2, "too often at the ends"),
        (lambda u: torch.arcsin(2 * u - 1) / math.pi + 0.5, "too often in the middle"),
    ],
)
def test_it_says_in_which_way(change, sentence):
    assert Uniformity(change(uniform(400, 5))).says == sentence


def test_wrong_input_gets_a_sentence():
    for bad in (torch.tensor([0.5, 1.2]), torch.tensor([math.nan]), torch.zeros(0)):
        with pytest.raises(DataError, match=r"must lie in \[0, 1\]"):
            Uniformity(bad)
    with pytest.raises(ArgumentError, match=r"must lie in \(0, 1\)"):
        ecdf_band(10, confidence=1.0)
