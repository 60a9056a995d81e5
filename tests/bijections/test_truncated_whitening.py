"""The regression before a posterior's flow: truncated laws are found by maximum likelihood, whatever their units."""

import math

import numpy as np
import pytest
import scipy.stats
import torch

from counterflow.bijections import Bounded, TruncatedWhitening, Whitening
from counterflow.core.errors import ArgumentError, ShapeError

LOW, HIGH = torch.tensor([-1.0, 0.0]), torch.tensor([1.0, 2.0])


def rows(count=4000, seed=0):
    """An even prior over the box, and one noisy look at each parameter."""
    generator = torch.Generator().manual_seed(seed)
    theta = LOW + (HIGH - LOW) * torch.rand(count, 2, generator=generator)
    return theta, theta + 0.3 * torch.randn(theta.shape, generator=generator)


def log_density(layer, theta, x):
    z, log_det = layer.to_latent(theta, x)
    return torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(1) + log_det


def exact(theta, x):
    """The posterior: a normal law around the data, cut off at the box."""
    total = np.zeros(len(theta))
    for i, (low, high) in enumerate(zip(LOW.tolist(), HIGH.tolist(), strict=True)):
        center = x[:, i].double().numpy()
        a, b = (low - center) / 0.3, (high - center) / 0.3
        total += scipy.stats.truncnorm.logpdf(theta[:, i].double().numpy(), a, b, center, 0.3)
    return total


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-4, 1e4)])
def test_a_truncated_gaussian_posterior_is_found_in_any_units(units):
    theta, x = rows()
    units = torch.tensor(units)
    layer = TruncatedWhitening(LOW * units, HIGH * units, context_features=2)
    layer.initialize(theta * units, x)
    fresh, looked = rows(1000, seed=1)
    found = log_density(layer, fresh * units, looked).detach() + units.log().sum()
    loss = exact(fresh, looked) - found.numpy()
    assert abs(loss.mean()) < 0.01  # nats, of two parameters; least squares alone lose more, see below


def test_maximum_likelihood_betters_least_squares():
    theta, x = rows()
    layer, plain = TruncatedWhitening(LOW, HIGH, context_features=2), Whitening(2, context_features=2)
    layer.initialize(theta, x)
    plain.initialize(theta, x)
    fresh, looked = rows(1000, seed=1)
    gain = log_density(layer, fresh, looked) - log_density(plain, fresh, looked)
    assert gain.mean() > 0.1


def test_without_bounds_it_is_whitening():
    theta, x = rows()
    unbounded = torch.full((2,), torch.inf)
    layer, plain = TruncatedWhitening(-unbounded, unbounded, context_features=2), Whitening(2, context_features=2)
    layer.initialize(theta, x)
    plain.initialize(theta, x)
    torch.testing.assert_close(log_density(layer, theta, x), log_density(plain, theta, x), atol=1e-4, rtol=0)


def test_draws_stay_within_the_bounds_however_far_the_data_lie():
    theta, x = rows()
    layer = TruncatedWhitening(LOW, HIGH, context_features=2)
    layer.initialize(theta, x)
    z = torch.randn(1000, 2, generator=torch.Generator().manual_seed(2))
    for far in ([30.0, -30.0], [0.0, 1.0]):
        drawn, log_det = layer.to_data(z, torch.tensor(far))
        assert ((drawn >= LOW) & (drawn <= HIGH)).all()
        assert log_det.isfinite().all()


def test_it_is_initialized_once():
    theta, x = rows(100)
    layer = TruncatedWhitening(LOW, HIGH, context_features=2)
    layer.initialize(theta, x)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.initialize(theta.flip(0), x)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_constant_feature_keeps_its_scale():
    theta, x = rows(100)
    theta[:, 0] = 0.25
    layer = TruncatedWhitening(LOW, HIGH, context_features=2)
    layer.initialize(theta, x)
    assert log_density(layer, theta, x).isfinite().all()


@pytest.mark.parametrize(
    ("low", "high", "error", "words"),
    [
        (torch.zeros(2), torch.ones(1), ShapeError, "one bound of each kind"),
        (torch.ones(1), torch.zeros(1), ArgumentError, "Swap them"),
        (torch.tensor([math.nan]), torch.ones(1), ArgumentError, "low must be below high"),
    ],
)
def test_bounds_that_are_none_are_refused(low, high, error, words):
    for layer in (TruncatedWhitening, Bounded):
        with pytest.raises(error, match=words):
            layer(low, high)
