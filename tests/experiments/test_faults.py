"""The closed forms behind the table of faults, against sums over a grid and importance weights."""

import math

import pytest
import torch

from experiments.faults import GROUPS, alarm_rates
from experiments.faults_models import CASES, FAULTS, faulty


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def grid(n=241, reach=6.0):
    line = torch.linspace(-reach, reach, n, dtype=torch.float64)
    return torch.cartesian_prod(line, line), (line[1] - line[0]) ** 2


def test_the_posterior_of_two_modes_is_prior_times_likelihood():
    case, x = CASES["two_modes"], torch.tensor([[0.3, -0.2]]).double()
    points, cell = grid()
    product = case.prior(1).log_prob(points[None]) + case.log_likelihood(points[None], x)
    expected = product - product.logsumexp(1, keepdim=True) - math.log(cell)
    found = case.posterior(x).log_prob(points[None])
    likely = expected > -15
    torch.testing.assert_close(found[likely], expected[likely], atol=1e-6, rtol=1e-6)


def test_the_posterior_of_gaussian_linear_is_that_of_the_benchmark():
    x = torch.randn(3, 10, generator=seeded()).double()
    found = CASES["gaussian_linear"].posterior(x)
    torch.testing.assert_close(found.means[:, 0], x / 2)
    torch.testing.assert_close(found.covariance, 0.05 * torch.eye(10).double())


@pytest.mark.parametrize("fault", FAULTS)
def test_densities_of_faulty_posteriors_are_those_of_their_draws(fault):
    """They sum to one, and have the mean and covariance of draws."""
    law = faulty("two_modes", fault, torch.tensor([[0.3, -0.2]]).double())
    points, cell = grid()
    mass = law.log_prob(points[None])[0].exp() * cell
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-3)
    draws = law.sample(40_000, generator=seeded())[0]
    mean = (mass[:, None] * points).sum(0)
    covariance = (mass[:, None] * (points - mean)).T @ (points - mean)
    torch.testing.assert_close(draws.mean(0), mean, atol=0.02, rtol=0.02)
    torch.testing.assert_close(draws.T.cov(), covariance, atol=0.03, rtol=0.03)


def test_rates_are_shares_of_repetitions():
    repetitions = dict.fromkeys(GROUPS, 2) | {"local": 1}
    found = alarm_rates("two_modes", "posterior = prior", repetitions=repetitions)
    assert found["SBC, likelihood"]["rate"] == 1.0
    assert found["C2ST vs exact"]["rate"] == 1.0
    assert all(rate["low"] <= rate["rate"] <= rate["high"] for rate in found.values())
