"""Neural likelihood estimation: against known likelihoods and conjugate posteriors, by every way of drawing."""

import math

import numpy as np
import pytest
import scipy.stats
import torch
from torch.distributions import Beta, Gamma, Independent, Normal, Uniform

from counterflow.core.errors import ArgumentError, DataError, MissingExtra, ShapeError, UnreliableError
from counterflow.inference import (
    BoxUniform,
    IndependentPrior,
    Likelihood,
    PosteriorTarget,
    Simulations,
    as_prior,
    fit_likelihood,
    simulate,
)

NORMAL = as_prior(Independent(Normal(torch.zeros(2), torch.ones(2)), 1))
METHODS = ("mcmc", "importance", "rejection", "variational")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noisy(theta, generator):
    return theta + 0.5 * torch.randn(theta.shape, generator=generator)


@pytest.fixture(scope="module")
def gaussian():
    found = simulate(noisy, NORMAL, count=4000, generator=seeded())
    return fit_likelihood(found, NORMAL, max_epochs=5, generator=seeded(), progress=False)


def test_trials_add_up(gaussian):
    x, theta = torch.tensor([[0.1, 0.2], [-0.3, 0.5], [1.0, 0.0]]), NORMAL.sample(4, generator=seeded())
    each = torch.stack([gaussian.log_prob(row, theta) for row in x])
    torch.testing.assert_close(gaussian.log_prob(x, theta), each.sum(0))
    exact = Independent(Normal(theta.unsqueeze(1), 0.5), 1).log_prob(x).sum(1)
    torch.testing.assert_close(gaussian.log_prob(x, theta), exact, atol=0.5, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_draws_the_conjugate_posterior(gaussian, method):
    """With four trials and noise .25 the posterior is N(16 mean / 17, 1 / 17)."""
    x = torch.tensor([1.0, -0.5]) + 0.5 * torch.randn(4, 2, generator=seeded(3))
    target = gaussian.posterior(x)
    theta = target.sample(2000, method=method, steps=250, generator=seeded(), progress=False)
    assert theta.shape == (2000, 2)
    torch.testing.assert_close(theta.mean(0), 16 * x.mean(0) / 17, atol=0.06, rtol=0)
    torch.testing.assert_close(theta.std(0), torch.full((2,), 17**-0.5), atol=0.03, rtol=0)


@pytest.mark.parametrize("method", METHODS)
def test_no_draw_leaves_the_support(method):
    """A beta posterior of a coin, at the edge of its support; and no prior is a box only."""
    prior = IndependentPrior([Uniform(0.0, 1.0), Gamma(2.0, 1.0)])
    heads = torch.tensor([1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0])

    def coin(theta):
        shares = theta[:, :1].clamp(1e-6, 1 - 1e-6)
        return (heads * shares.log() + (1 - heads) * torch.log1p(-shares)).sum(1)

    theta = PosteriorTarget(coin, prior).sample(2000, method=method, steps=300, generator=seeded(), progress=False)
    assert prior.log_prob(theta).isfinite().all()
    exact = Beta(torch.tensor(8.0), torch.tensor(2.0))
    assert abs(theta[:, 0].mean() - exact.mean) < 0.02
    assert scipy.stats.kstest(theta[::20, 0].numpy(), scipy.stats.beta(8, 2).cdf).pvalue > 1e-3
    assert abs(theta[:, 1].mean() - 2.0) < 0.2


def test_walkers_bridge_far_modes():
    far = lambda theta: torch.logaddexp(-50 * (theta[:, 0] - 1) ** 2, -50 * (theta[:, 0] + 1) ** 2)  # noqa: E731
    theta = PosteriorTarget(far, BoxUniform([-2.0], [2.0])).sample(2000, generator=seeded(), progress=False)
    assert abs((theta > 0).double().mean() - 0.5) < 0.15


def test_short_chains_are_refused(gaussian):
    with pytest.raises(UnreliableError, match="autocorrelation time"):
        gaussian.posterior(torch.zeros(2)).sample(100, steps=20, generator=seeded(), progress=False)


def decision(theta, generator):
    """A choice between three, with a time that depends on it: mixed data."""
    logits = torch.cat([theta, torch.zeros(len(theta), 1)], dim=1)
    choice = torch.multinomial(logits.softmax(1), 1, generator=generator).to(theta)
    return torch.cat([choice, 2 * choice + 0.3 * torch.randn(choice.shape, generator=generator)], dim=1)


def test_mixed_data_have_a_mass_and_a_density():
    found = simulate(decision, NORMAL, count=6000, generator=seeded())
    likelihood = fit_likelihood(found, NORMAL, discrete=[0], max_epochs=12, generator=seeded(), progress=False)
    theta = NORMAL.sample(50, generator=seeded(1))
    chances = torch.cat([theta, torch.zeros(50, 1)], dim=1).log_softmax(1)
    for choice in (0, 2):
        x = torch.tensor([float(choice), 2 * choice + 0.1])
        density = scipy.stats.norm.logpdf(0.1, 0, 0.3)
        error = likelihood.log_prob(x, theta) - chances[:, choice] - density
        assert error.detach().abs().mean() < 0.15
    assert (likelihood.log_prob(torch.tensor([7.0, 0.0]), theta) == -math.inf).all()  # a choice there is not
    drawn = likelihood.sample(theta[:1].repeat(4000, 1), generator=seeded())
    shares = np.bincount(drawn[:, 0].long().numpy(), minlength=3) / 4000
    np.testing.assert_allclose(shares, chances[0].exp().numpy(), atol=0.05)
    assert (drawn[:, 1] - 2 * drawn[:, 0]).std() == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize("columns", [[0, 1], [0], [1]])
def test_a_saved_likelihood_comes_back_bit_by_bit(columns, tmp_path):
    """Of mixed, of discrete and of continuous data."""
    found = simulate(decision, NORMAL, count=60, generator=seeded())
    found = Simulations(found.theta, found.x[:, columns])
    discrete = [0] if 0 in columns else []
    likelihood = fit_likelihood(found, NORMAL, discrete=discrete, members=2, max_epochs=1, progress=False)
    likelihood.save(tmp_path)
    again = Likelihood.load(tmp_path, prior=NORMAL)
    assert torch.equal(again.log_prob(found.x[0], found.theta), likelihood.log_prob(found.x[0], found.theta))
    with pytest.raises(ShapeError, match="2 parameters of the saved likelihood, got 1"):
        Likelihood.load(tmp_path, prior=BoxUniform([0.0], [1.0]))


def test_an_emulator_draws_what_the_simulator_does(gaussian):
    theta = torch.tensor([[0.5, -1.0]])
    drawn = gaussian.sample(theta.repeat(4000, 1), generator=seeded())
    torch.testing.assert_close(drawn.mean(0), theta[0], atol=0.06, rtol=0)
    torch.testing.assert_close(drawn.std(0), torch.full((2,), 0.5), atol=0.04, rtol=0)


def test_another_prior_may_take_the_place_of_the_first(gaussian):
    x, narrow = torch.tensor([1.0, 1.0]), IndependentPrior([Normal(0.0, 0.1), Normal(0.0, 0.1)])
    theta = gaussian.posterior(x, prior=narrow).sample(2000, method="importance", generator=seeded(), progress=False)
    torch.testing.assert_close(theta.mean(0), torch.full((2,), 4 / 104), atol=0.02, rtol=0)


def test_without_emcee_there_is_no_mcmc(gaussian, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "emcee", None)
    with pytest.raises(MissingExtra, match=r"counterflow\[mcmc\]"):
        gaussian.posterior(torch.zeros(2)).sample(10)


def quick(x=None, theta=None, **settings):
    theta = NORMAL.sample(40, generator=seeded()) if theta is None else theta
    x = torch.randn(len(theta), 2, generator=seeded()) if x is None else x
    return fit_likelihood(Simulations(theta, x), NORMAL, max_epochs=1, progress=False, **settings)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: quick(theta=NORMAL.sample(5)), DataError, "at least 10 runs, got 5"),
        (lambda: quick(theta=torch.zeros(40, 3)), ShapeError, "got 3 and 2"),
        (lambda: quick(theta=torch.full((40, 2), torch.nan)), ArgumentError, "theta must be finite"),
        (lambda: quick(torch.zeros(40, 5, 2)), ShapeError, "a likelihood is learned of vectors"),
        (lambda: quick(torch.full((40, 2), torch.nan)), DataError, "without gaps"),
        (lambda: quick(discrete=[2]), ArgumentError, "columns from 0 to 1, got 2"),
        (lambda: quick(torch.arange(4000.0).view(-1, 2), NORMAL.sample(2000), discrete=[0]), DataError, "continuous"),
        (lambda: quick().log_prob(torch.zeros(3), torch.zeros(1, 2)), ShapeError, "one trial of shape"),
        (
            lambda: quick().log_prob(torch.tensor([0.0, torch.nan]), torch.zeros(1, 2)),
            ArgumentError,
            "x must be finite",
        ),
        (lambda: quick().log_prob(torch.zeros(2), torch.zeros(1, 3)), ShapeError, "theta must have shape"),
        (lambda: quick().posterior(torch.zeros(2)).sample(5, method="gibbs"), ArgumentError, "got 'gibbs'"),
    ],
)
def test_what_cannot_be_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
