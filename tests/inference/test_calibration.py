"""Ranks and coverage against scipy, loops and a posterior known in closed form."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from counterflow.core.errors import DataError, ShapeError
from counterflow.inference import highest_density_coverage, simulation_based_calibration, tarp
from counterflow.inference.calibration import rank_among

ROWS, COUNT, PARAMETERS = 300, 99, 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def conjugate(seed=0, *, spread=1.0, shift=0.0, learned=True):
    """theta ~ N(0, I), x ~ N(theta, I): the posterior is N(x / 2, I / 2); draws of it or of a faulty one."""
    g = seeded(seed)
    theta = torch.randn(ROWS, PARAMETERS, generator=g)
    x = theta + torch.randn(ROWS, PARAMETERS, generator=g)
    noise = torch.randn(ROWS, COUNT, PARAMETERS, generator=g)
    center, deviation = (x / 2, 0.5**0.5) if learned else (torch.zeros_like(x), 1.0)
    return center.unsqueeze(1) + shift + spread * deviation * noise, theta, x


def log_likelihood(points, x):
    return -(points - x.unsqueeze(1)).square().sum(-1) / 2


def test_ranks_are_counts():
    draws, theta, _ = conjugate()
    found = simulation_based_calibration(draws, theta, generator=seeded())
    for i in range(0, ROWS, 37):
        for k in range(PARAMETERS):
            assert found.ranks[i, k] == sum(float(draw) < float(theta[i, k]) for draw in draws[i, :, k])
    assert torch.equal((found.levels * (COUNT + 1)).floor().long(), found.ranks)
    assert found.count == COUNT


def test_ties_are_broken_evenly():
    """A parameter of three values: its ranks would pile up if ties counted as below, or as above."""
    g = seeded(1)
    theta, draws = torch.randint(0, 3, (2000, 1), generator=g), torch.randint(0, 3, (2000, 9, 1), generator=g)
    ranks, _ = rank_among(draws.float(), theta.float(), generator=g)
    counts = torch.bincount(ranks[:, 0], minlength=10)
    assert stats.chisquare(counts.numpy()).pvalue > 0.01
    assert stats.chisquare(np.bincount((draws < theta[:, None]).sum(1)[:, 0].numpy(), minlength=10)).pvalue < 1e-6


def test_pvalues_are_those_of_scipy():
    found = simulation_based_calibration(*conjugate(2, spread=0.9)[:2], names=["a", "b", "c"], generator=seeded())
    for k, name in enumerate("abc"):
        levels = found.levels[:, k].numpy()
        assert found.ks_pvalues[name] == pytest.approx(stats.kstest(levels, "uniform").pvalue, abs=1e-3)
        counts = np.histogram(levels, 20, (0, 1))[0]
        assert found.chi_square_pvalues[name] == pytest.approx(stats.chisquare(counts).pvalue, rel=1e-6)
    assert found.pvalue == pytest.approx(min(1.0, 3 * min(found.band_pvalues.values())))


def test_the_exact_posterior_passes_as_often_as_it_should():
    alarms = {"ranks": 0, "balls": 0, "density": 0}
    for seed in range(60):
        draws, theta, x = conjugate(seed)
        g, center = seeded(seed), x[:, None] / 2
        alarms["ranks"] += simulation_based_calibration(draws[..., :1], theta[:, :1], generator=g).pvalue <= 0.05
        alarms["balls"] += tarp(draws, theta, generator=g).pvalue <= 0.05
        away = [-(points - center).square().sum(-1) for points in (draws, theta[:, None])]
        alarms["density"] += highest_density_coverage(away[0], away[1][:, 0], generator=g).pvalue <= 0.05
    most = stats.binom(60, 0.05).ppf(0.999)
    assert all(count <= most for count in alarms.values()), alarms


@pytest.mark.parametrize(
    ("fault", "ranks", "area"),
    [
        ({"spread": 0.7}, "too often at the ends", -1),
        ({"spread": 1.4}, "too often in the middle", 1),
        ({"shift": 0.3}, "too low", 0),
    ],
)
def test_faults_are_named(fault, ranks, area):
    draws, theta, _ = conjugate(3, **fault)
    found = simulation_based_calibration(draws, theta, generator=seeded())
    assert {found.uniformity(name).says for name in found.names} == {ranks}
    assert found.pvalue < 0.01
    assert found.says.startswith("The posterior is wrong")
    if area:
        balls = tarp(draws, theta, generator=seeded())
        assert np.sign(balls.area) == area
        assert ("narrow" in balls.says, "wide" in balls.says) == (area < 0, area > 0)


def test_the_prior_passes_for_a_posterior_until_a_quantity_looks_at_the_data():
    draws, theta, x = conjugate(4, learned=False)
    blind = simulation_based_calibration(draws, theta, generator=seeded())
    assert blind.pvalue > 0.05
    assert "if every posterior were the prior" in blind.says
    assert blind.prior_c2st == pytest.approx(0.5, abs=0.08)
    seeing = simulation_based_calibration(
        draws, theta, x=x, quantities={"likelihood": log_likelihood}, generator=seeded()
    )
    assert seeing.band_pvalues["likelihood"] < 1e-6
    assert tarp(draws, theta, generator=seeded()).pvalue > 0.05
    assert tarp(draws, theta, references=x, generator=seeded()).pvalue < 1e-6


def test_posteriors_that_do_not_average_to_the_prior_are_told_from_it():
    draws, theta, _ = conjugate(5, shift=1.0)
    assert simulation_based_calibration(draws, theta, generator=seeded()).prior_c2st > 0.7


def test_the_ranks_can_be_told_from_uniform_numbers_where_they_are_not():
    right = simulation_based_calibration(*conjugate(6)[:2], generator=seeded()).ranks_c2st()
    wrong = simulation_based_calibration(*conjugate(6, spread=0.3)[:2], generator=seeded()).ranks_c2st()
    assert max(right.values()) < 0.6 < min(wrong.values())


def test_the_curve_and_its_area_against_a_loop():
    draws, theta, _ = conjugate(7, spread=0.8)
    references = torch.randn(ROWS, PARAMETERS, generator=seeded(9))
    found = tarp(draws, theta, references=references, generator=seeded())
    scale = theta.std(0)
    for i in range(0, ROWS, 29):
        radius = ((theta[i] - references[i]) / scale).norm()
        nearer = sum(bool(((draw - references[i]) / scale).norm() < radius) for draw in draws[i])
        assert int(found.levels[i] * (COUNT + 1)) == nearer
    credibility = torch.linspace(0, 1, 20_001, dtype=torch.float64)
    curve = found.expected(credibility)
    assert curve[10_000] == (found.levels <= 0.5).double().mean()
    half = credibility >= 0.5
    assert found.area == pytest.approx(torch.trapezoid((curve - credibility)[half], credibility[half]).item(), abs=1e-4)


def test_highest_density_regions_of_a_normal_law_are_balls_around_its_mean():
    draws, theta, x = conjugate(8)
    center = x[:, None] / 2
    away = [(points - center).norm(dim=-1) for points in (draws, theta[:, None])]
    found = highest_density_coverage(-away[0].square(), -away[1][:, 0].square(), generator=seeded())
    assert torch.equal((found.levels * (COUNT + 1)).floor().long(), (away[0] < away[1]).sum(1))
    exact = stats.chi2(PARAMETERS).cdf(2 * away[1][:, 0].square().numpy())
    assert np.abs(found.levels.numpy() - exact).max() < 5 * math.sqrt(0.25 / COUNT)


def test_wrong_input_gets_a_sentence():
    draws, theta, _ = conjugate()
    with pytest.raises(ShapeError, match="names must be 3"):
        simulation_based_calibration(draws, theta, names=["a"])
    with pytest.raises(DataError, match="must not be NaN"):
        tarp(draws * math.nan, theta)
    with pytest.raises(DataError, match="one of theta_1"):
        simulation_based_calibration(draws, theta, generator=seeded()).uniformity("beta")
