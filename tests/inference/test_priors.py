"""Priors: densities against scipy, bounds, and randomness that is an argument."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import (
    Beta,
    Dirichlet,
    Exponential,
    HalfNormal,
    Independent,
    LogNormal,
    MultivariateNormal,
    Normal,
    Poisson,
    Uniform,
)

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.inference import BoxUniform, IndependentPrior, as_prior


def test_the_density_of_a_product_is_that_of_scipy():
    prior = IndependentPrior([Normal(1.0, 2.0), LogNormal(0.0, 0.5), Exponential(3.0), Beta(2.0, 5.0)])
    theta = prior.sample(50, generator=torch.Generator().manual_seed(0))
    a, b, c, d = theta.numpy().astype(np.float64).T
    expected = (
        scipy.stats.norm.logpdf(a, 1, 2)
        + scipy.stats.lognorm.logpdf(b, 0.5)
        + scipy.stats.expon.logpdf(c, scale=1 / 3)
        + scipy.stats.beta.logpdf(d, 2, 5)
    )
    np.testing.assert_allclose(prior.log_prob(theta).numpy(), expected, rtol=1e-4, atol=1e-4)


def test_bounds_come_from_the_supports():
    prior = IndependentPrior([Normal(0.0, 1.0), HalfNormal(1.0), Uniform(-2.0, 3.0)])
    assert prior.low.tolist() == [-math.inf, 0.0, -2.0]
    assert prior.high.tolist() == [math.inf, math.inf, 3.0]


def test_there_is_no_density_outside_of_the_support():
    prior = IndependentPrior([LogNormal(0.0, 1.0), Uniform(-2.0, 3.0)])
    outside = torch.tensor([[-1.0, 0.0], [1.0, 4.0], [float("nan"), 0.0]])
    assert (prior.log_prob(outside) == -torch.inf).all()
    assert BoxUniform([0.0], [1.0]).log_prob(torch.tensor([[1.5]])).item() == -math.inf


@pytest.mark.parametrize("prior", [IndependentPrior([Normal(0.0, 1.0)]), BoxUniform([0.0], [1.0])])
def test_draws_follow_the_generator_and_leave_the_global_state_alone(prior):
    before = torch.random.get_rng_state()
    first, again = (prior.sample(5, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert torch.equal(torch.random.get_rng_state(), before)
    prior.log_prob(first)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_law_of_vectors_is_a_prior():
    law = MultivariateNormal(torch.zeros(2), torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    prior = as_prior(law)
    theta = prior.sample(4000, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.cov(theta.T), law.covariance_matrix, atol=0.1, rtol=0)
    torch.testing.assert_close(prior.log_prob(theta), law.log_prob(theta))


def test_an_independent_uniform_law_is_a_box():
    prior = as_prior(Independent(Uniform(torch.zeros(2), torch.tensor([1.0, 4.0])), 1))
    assert isinstance(prior, BoxUniform)
    assert prior.high.tolist() == [1.0, 4.0]
    assert as_prior(prior) is prior


@pytest.mark.parametrize(
    ("build", "error", "words"),
    [
        (lambda: IndependentPrior([]), ArgumentError, "at least one law"),
        (lambda: IndependentPrior([3]), ArgumentError, "law of torch.distributions, got 3"),
        (lambda: IndependentPrior([Normal(torch.zeros(2), 1.0)]), ShapeError, "Independent"),
        (lambda: IndependentPrior([Poisson(2.0)]), ArgumentError, "Whole numbers"),
        (lambda: as_prior(Dirichlet(torch.ones(3))), ArgumentError, "add up to one"),
        (lambda: BoxUniform([0.0, 0.0], [1.0]), ShapeError, "one bound of each kind"),
        (lambda: BoxUniform([1.0], [0.0]), ArgumentError, "Swap them"),
        (lambda: as_prior("uniform"), ArgumentError, "got 'uniform'"),
    ],
)
def test_what_is_no_prior_is_refused(build, error, words):
    with pytest.raises(error, match=words):
        build()
