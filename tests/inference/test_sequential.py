"""Truncated sequential estimation: nearer to an exact posterior than one round, and never beyond the prior."""

import math

import pytest
import scipy.stats
import torch

from counterflow.core.errors import ArgumentError
from counterflow.inference import BoxUniform, SplineHead, TruncatedPrior, fit_sequential_posterior

PRIOR = BoxUniform([-3.0, -3.0], [3.0, 3.0])
HEAD = SplineHead(layers=2, hidden=(32,), bins=4)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def cubic(theta, generator):
    """Far from linear, so that few simulations of the whole prior teach little of one place."""
    return theta**3 + 0.2 * torch.randn(theta.shape, generator=generator)


@pytest.fixture(scope="module")
def found():
    x = torch.tensor([3.375, 8.0])
    return fit_sequential_posterior(
        cubic, PRIOR, x=x, rounds=4, simulations=400, head=HEAD, max_epochs=40, generator=seeded(), progress=False
    )


def test_rounds_close_in_on_the_exact_posterior(found):
    """The posterior of each parameter is proportional to exp(-(x - theta^3)^2 / .08) under the even prior."""
    grid = torch.linspace(-3, 3, 20001, dtype=torch.float64)
    theta = found.sample(4000, generator=seeded(1)).double()
    for i, x in enumerate(found.x.double()):
        weights = (-((x - grid**3) ** 2) / 0.08).softmax(0)
        mean = (weights * grid).sum()
        deviation = (weights * (grid - mean) ** 2).sum().sqrt()
        assert abs(theta[:, i].mean() - mean) < 0.5 * deviation
        assert 0.6 < theta[:, i].std() / deviation < 1.6
    assert found.rounds[0].acceptance == 1.0
    assert found.rounds[-1].acceptance < 0.1
    assert len(found.simulations) == 1600


def test_only_what_the_proposal_may_give_is_learned_from(found):
    inside = found.proposal.contains(found.simulations.theta)
    assert found.rounds[-1].used == int(inside.sum())
    assert 400 <= found.rounds[-1].used < 1600


def test_a_truncated_prior_is_the_prior_times_a_constant_where_it_is(found):
    proposal = found.proposal
    theta = proposal.sample(2000, generator=seeded(2))
    assert proposal.contains(theta).all()
    log_prob = proposal.log_prob(theta)
    torch.testing.assert_close(log_prob, log_prob[:1].expand_as(log_prob))
    far = torch.tensor([[-3.0, -3.0]])
    assert proposal.log_prob(far).item() == -math.inf
    tries = PRIOR.sample(40_000, generator=seeded(3))
    share = proposal.contains(tries).double().mean()
    assert abs(share - proposal.acceptance) < 5 * (share / 10_000) ** 0.5


def test_where_little_of_the_prior_is_left_a_box_is_searched(found):
    """Both ways draw the same law."""
    few = TruncatedPrior(PRIOR, found.proposal.posterior, found.proposal.log_threshold, 1e-5)
    boxed = few.sample(2000, generator=seeded(4))
    assert few.contains(boxed).all()
    rejected = found.proposal.sample(2000, generator=seeded(5))
    for ours, theirs in zip(boxed.T, rejected.T, strict=True):
        assert scipy.stats.ks_2samp(ours.numpy(), theirs.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"rounds": 0}, "rounds"), ({"simulations": 5}, "simulations"), ({"mass": 0.5}, "mass must be above 0")],
)
def test_settings_out_of_range_are_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        fit_sequential_posterior(cubic, PRIOR, x=torch.zeros(2), **settings)
