"""Rejection sampling and chains: acceptance is Z/M, draws pass a Kolmogorov-Smirnov test, wrong bounds are caught."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError, UnreliableError
from counterflow.inference import ChainSample, effective_size, independence_metropolis, rejection_sample, split_rhat
from tests.inference.test_importance import LOG_Z, law, seeded, target

LEVEL = 1e-3


def distribution(x):
    return 0.3 * stats.norm(-1.5, math.sqrt(0.3)).cdf(x) + 0.7 * stats.norm(1.0, math.sqrt(0.5)).cdf(x)


def bound(proposal):
    grid = torch.linspace(-12, 12, 20_001, dtype=torch.float64)[:, None]
    return float((target(grid) - proposal.log_prob(grid)).max()) + 1e-6


def test_accepted_draws_have_the_law_and_acceptance_is_the_normalizer_over_the_bound():
    proposal = law(0.0, 4.0)
    log_bound = bound(proposal)
    found = rejection_sample(target, proposal, n=20_000, log_bound=log_bound, generator=seeded())
    assert found.points.shape == (20_000, 1)
    assert stats.kstest(found.points[:, 0].numpy(), distribution).pvalue > LEVEL
    wanted = math.exp(LOG_Z - log_bound)
    assert stats.binomtest(found.accepted, found.tried, wanted).pvalue > LEVEL
    assert found.log_normalizer == pytest.approx(LOG_Z, abs=0.03)
    assert found.largest <= log_bound


def test_a_wrong_bound_is_caught_and_nothing_is_returned():
    proposal = law(0.0, 4.0)
    with pytest.raises(UnreliableError, match="the bound is wrong"):
        rejection_sample(target, proposal, n=10_000, log_bound=bound(proposal) - 0.3, generator=seeded())


def test_a_bound_far_too_large_gives_up():
    with pytest.raises(UnreliableError, match="of 100 draws were accepted in 1000 tries"):
        rejection_sample(target, law(0.0, 4.0), n=100, log_bound=30.0, batch_size=500, most_tries=1000)


def test_chains_find_the_law_of_the_target():
    found = independence_metropolis(target, law(0.0, 4.0), steps=3000, chains=8, generator=seeded())
    assert found.trustworthy
    thinned = found.chains[:, ::20].flatten()  # nearly independent
    assert stats.kstest(thinned.numpy(), distribution).pvalue > LEVEL
    assert 0.2 < found.acceptance < 0.9


def test_a_chain_is_the_textbook_loop():
    proposal, steps = law(0.0, 4.0), 50
    found = independence_metropolis(target, proposal, steps=steps, chains=2, warmup=5, generator=seeded(3))
    generator = seeded(3)
    x, log_q = proposal.sample_and_log_prob(2 * (steps + 6), generator=generator)
    ratio = (target(x) - log_q).view(2, -1)
    chance = torch.rand(ratio.shape, generator=generator, dtype=torch.float64)
    for chain in range(2):
        here, walk = 0, []
        for step in range(1, steps + 6):
            if chance[chain, step] < torch.exp(ratio[chain, step] - ratio[chain, here]):
                here = step
            walk.append(x.view(2, -1)[chain, here])
        torch.testing.assert_close(found.chains[chain, :, 0], torch.stack(walk[5:]))


def test_chains_that_do_not_agree_are_not_reported():
    found = independence_metropolis(target, law(-4.0, 0.1), steps=300, chains=4, generator=seeded())
    assert not found.trustworthy
    with pytest.raises(UnreliableError, match="draws cannot be reported: R-hat is"):
        _ = found.points


def autoregressive(share, chains=4, steps=4000, seed=0):
    noise = np.random.default_rng(seed).normal(size=(chains, steps))
    walk = np.zeros((chains, steps))
    for step in range(1, steps):
        walk[:, step] = share * walk[:, step - 1] + math.sqrt(1 - share**2) * noise[:, step]
    return torch.as_tensor(walk)[..., None]


@pytest.mark.parametrize("share", [-0.3, 0.0, 0.5, 0.9])
def test_effective_draws_of_an_autoregression_are_known(share):
    x = autoregressive(share)
    assert effective_size(x).item() == pytest.approx(x.numel() * (1 - share) / (1 + share), rel=0.2)
    assert split_rhat(x).item() == pytest.approx(1.0, abs=0.02)


def test_rhat_is_its_formula_written_out():
    x = autoregressive(0.5, steps=20)
    halves = np.concatenate([x[:, :10, 0], x[:, 10:, 0]])
    within, between = halves.var(axis=1, ddof=1).mean(), halves.mean(axis=1).var(ddof=1)
    assert split_rhat(x).item() == pytest.approx(math.sqrt(0.9 + between / within))
    assert split_rhat(torch.zeros(2, 8, 1)).item() == 1.0


def test_wrong_input_is_refused():
    with pytest.raises(ArgumentError, match="at all of the first 2 draws"):
        independence_metropolis(lambda x: torch.full((len(x),), -torch.inf), law(0.0, 1.0), steps=4, chains=2)
    with pytest.raises(ArgumentError, match="chains must be"):
        independence_metropolis(target, law(0.0, 1.0), chains=1)
    with pytest.raises(ShapeError, match="at least 4 steps"):
        split_rhat(torch.zeros(2, 3, 1))
    stuck = ChainSample(torch.zeros(2, 8, 1), torch.zeros(2, 8, dtype=torch.bool))
    assert stuck.acceptance == 0.0
