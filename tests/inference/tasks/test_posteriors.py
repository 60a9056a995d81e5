"""Exact posteriors: against the benchmark's reference draws, against scipy, and by their own calibration."""

import numpy as np
import pytest
import torch
from scipy import stats

from counterflow import datasets
from counterflow.core.errors import UnreliableError
from counterflow.inference import tasks
from counterflow.inference.tasks.sampling import concave_sampler, density_sampler, draw_until, truncated_normal

SHIPPED = ["two_moons", "gaussian_linear", "gaussian_linear_uniform", "slcp"]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smallest_p(first, second, projections=10):
    """Kolmogorov and Smirnov's test of two samples, of each coordinate and of random sums of coordinates and squares.

    What is given back is the smallest p-value times the number of tests.
    """
    scale = second.std(0)
    first, second = first / scale, second / scale
    shares = np.random.default_rng(0).normal(size=(2 * first.shape[1], projections))
    pairs = [(first, second), *[(np.hstack([x, x**2]) @ shares for x in (first, second))]]
    p = [
        stats.ks_2samp(a, b, method="asymp").pvalue for one, other in pairs for a, b in zip(one.T, other.T, strict=True)
    ]
    return min(p) * len(p)


@pytest.mark.data
@pytest.mark.parametrize("observation", [1, 5, 7, 10])
@pytest.mark.parametrize("name", SHIPPED)
def test_exact_posteriors_are_the_reference_posteriors(name, observation, data_folder):
    reference = datasets.reference_posterior(data_folder / "sbibm", name, observation=observation)
    count = len(reference.draws)
    draws = tasks.by_name(name).sample_posterior(count, reference.observation, generator=generator(1))
    assert draws.shape == reference.draws.shape == (10_000, len(reference.true_parameters))
    assert smallest_p(draws.numpy(), reference.draws.numpy()) > 1e-3


@pytest.mark.data
def test_that_comparison_can_fail(data_folder):
    reference = datasets.reference_posterior(data_folder / "sbibm", "slcp").draws.numpy()
    assert smallest_p(reference * np.array([1, 1, 1, 1, 0.8]), reference) < 1e-6
    assert smallest_p(np.abs(reference), reference) < 1e-6


@pytest.mark.data
@pytest.mark.parametrize("name", SHIPPED)
def test_what_was_observed_is_typical(name, data_folder):
    """The likelihood of each observation is among those of a thousand simulations with the same parameters."""
    task, ranks = tasks.by_name(name), []
    for observation in range(1, 11):
        seen = datasets.reference_posterior(data_folder / "sbibm", name, observation=observation)
        theta = seen.true_parameters.expand(1000, -1)
        usual = task.log_likelihood(task.simulator(theta, generator(observation)), theta)
        ranks.append(float((usual < task.log_likelihood(seen.observation, seen.true_parameters)).float().mean()))
    assert min(ranks) > 0.001
    assert stats.kstest(ranks, "uniform").pvalue > 0.001


@pytest.mark.data
def test_distractors_do_not_change_the_posterior(data_folder):
    told, hidden = (datasets.reference_posterior(data_folder / "sbibm", name) for name in ("slcp", "slcp_distractors"))
    plain = tasks.slcp().sample_posterior(50, told.observation, generator=generator())
    found = tasks.slcp_distractors().sample_posterior(50, hidden.observation, generator=generator())
    assert torch.equal(found, plain)


def test_gaussian_mixture_near_the_edge():
    """Witness: distribution functions by sums over a fine grid."""
    task, x = tasks.gaussian_mixture(), torch.tensor([9.9, -10.2])
    side = torch.arange(5.0, 10.0, 0.004) + 0.002
    density = task.log_likelihood(x, torch.cartesian_prod(side, -side)).exp().reshape(len(side), -1).double()
    found = task.sample_posterior(20_000, x, generator=generator(2)) * torch.tensor([1, -1])
    assert found.max() <= 10
    for column, shares in zip(found.T, (density.sum(1), density.sum(0)), strict=True):
        below = np.concatenate([[0], (shares.cumsum(0) / shares.sum()).numpy()])
        distribution = stats.kstest(column.numpy(), lambda y, b=below: np.interp(y, np.linspace(5, 10, len(b)), b))
        assert distribution.pvalue > 0.001


def test_sir_by_importance_weights():
    """Witness: draws of a broad normal law in the logarithms, weighed by prior and likelihood."""
    task, theta = tasks.sir(), torch.tensor([[0.6, 0.12]])
    x = task.simulator(theta, generator(4))[0]
    found = task.sample_posterior(4000, x, generator=generator(5))
    logs = found.log().double()
    law = torch.distributions.MultivariateNormal(logs.mean(0), 1.5 * logs.T.cov())
    broad = logs.mean(0) + torch.randn(8000, 2, generator=generator(6), dtype=torch.float64) @ law.scale_tril.T
    target = task.log_likelihood(x.double(), broad.exp()) + task.prior.log_prob(broad.exp()) + broad.sum(1)
    weights = (target - law.log_prob(broad)).softmax(0)
    assert 1 / weights.square().sum() > 4000
    mean = weights @ broad
    scale = (weights @ (broad - mean).square()).sqrt()
    assert ((logs.mean(0) - mean).abs() < 5 * scale / 4000**0.5).all()
    assert ((logs.std(0) / scale - 1).abs() < 0.06).all()


def test_spikes_are_calibrated():
    """Ranks of true parameters among draws of the exact posterior are uniform, and all ten are judged together."""
    task = tasks.bernoulli_glm()
    theta = task.prior.sample(15, generator=generator(7))
    x = task.simulator(theta, generator(8))
    draws = [task.sample_posterior(199, row, generator=generator(9 + place)) for place, row in enumerate(x)]
    shares = torch.stack([(drawn < true).float().mean(0) for drawn, true in zip(draws, theta, strict=True)])
    assert stats.kstest(shares.flatten().numpy(), "uniform").pvalue > 0.001
    raw = tasks.bernoulli_glm_raw()
    z = raw.simulator(theta[:1], generator(8))[0]
    same = raw.sample_posterior(199, z, generator=generator(9))
    torch.testing.assert_close(same, draws[0])


# --------------------------------------------------------------------------------------------------- the samplers
@pytest.mark.parametrize(
    ("mean", "low", "high"), [(0.0, -1.0, 2.0), (-12.0, 0.0, 3.0), (12.0, -1.0, 1.0), (0.5, -9, 0)]
)
def test_truncated_normal_by_scipy(mean, low, high):
    scale = 1.3
    center = torch.full((20_000,), mean, dtype=torch.float64)
    x = truncated_normal(
        center,
        torch.full_like(center, scale),
        low=torch.full_like(center, low),
        high=torch.full_like(center, high),
        generator=generator(),
    )
    law = stats.truncnorm((low - mean) / scale, (high - mean) / scale, loc=mean, scale=scale)
    assert stats.kstest(x.numpy(), law.cdf).pvalue > 0.001


def test_a_narrow_ridge_is_found_on_a_grid():
    """A correlated normal law, a thousandth as wide as its box."""
    center = torch.tensor([0.123, -0.377], dtype=torch.float64)
    law = torch.distributions.MultivariateNormal(
        center, 1e-6 * torch.tensor([[1.0, 0.99], [0.99, 1.0]], dtype=torch.float64)
    )
    corner = torch.ones(2, dtype=torch.float64)
    x = density_sampler(law.log_prob, -corner, high=corner)(20_000, generator())
    z = torch.linalg.solve_triangular(law.scale_tril, (x - center).T, upper=False)
    assert min(stats.kstest(row.numpy(), "norm").pvalue for row in (*z, z.sum(0) / 2**0.5)) > 0.001


def test_a_skew_density_near_its_mode():
    """The logarithm of a gamma variable has a concave and skew log-density."""
    sampler = concave_sampler(lambda x: (3 * x - x.exp()).sum(1), torch.zeros(2, dtype=torch.float64))
    x = sampler(10_000, generator())
    assert min(stats.kstest(column.exp().numpy(), stats.gamma(3).cdf).pvalue for column in x.T) > 0.001


def test_hopeless_rejection_is_said():
    with pytest.raises(UnreliableError, match=r"only 0 of 5 draws were kept"):
        draw_until(5, lambda tries: torch.zeros(0, 2))
    with pytest.raises(UnreliableError, match="as good as impossible"):
        tasks.two_moons().sample_posterior(5, torch.tensor([5.0, 0.0]))
