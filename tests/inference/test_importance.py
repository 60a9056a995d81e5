"""Importance weights, their tails and their refusals, against closed forms and scipy."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from counterflow import flows
from counterflow.core.errors import ArgumentError, ShapeError, UnreliableError
from counterflow.distributions import Gaussian, GaussianMixture, StudentT
from counterflow.inference import DefensiveMixture, fit_tail, importance_sample, smooth_weights

LOG_Z = 1.7


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def law(mean, variance):
    return Gaussian(torch.tensor([mean]).double(), torch.tensor([[variance]]).double())


def target(x):
    """A mixture of normal laws times a known number."""
    means = torch.tensor([[-1.5], [1.0]]).double()
    parts = Gaussian(means, torch.tensor([[[0.3]], [[0.5]]]).double())
    return GaussianMixture(torch.tensor([0.3, 0.7]).double(), parts).log_prob(x) + LOG_Z


@pytest.mark.parametrize("shape", [-0.3, 0.2, 0.5, 0.9])
def test_the_shape_of_a_pareto_tail_is_found(shape):
    levels = (torch.arange(5000, dtype=torch.float64) + 0.5) / 5000
    found = fit_tail(torch.as_tensor(stats.genpareto(shape, scale=2.0).ppf(levels)))
    assert found.shape == pytest.approx(shape, abs=0.02)
    assert found.scale == pytest.approx(2.0, rel=0.03)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_the_fit_is_about_as_likely_as_the_best(seed):
    y = torch.as_tensor(stats.genpareto(0.4).rvs(500, random_state=seed))
    found = fit_tail(y)
    best = stats.genpareto.fit(y.numpy(), floc=0)
    mine = stats.genpareto(found.shape, scale=found.scale).logpdf(y).sum()
    assert (
        mine > stats.genpareto(best[0], scale=best[2]).logpdf(y).sum() - 1.5
    )  # half a unit for each parameter, and more


def test_smoothing_keeps_order_and_bound_and_all_but_the_tail():
    log_weights = torch.as_tensor(stats.norm(scale=2).rvs(1000, random_state=0))
    smoothed, shape = smooth_weights(log_weights)
    order, tail = log_weights.argsort(), int(3 * math.sqrt(1000))
    assert (smoothed[order].diff() >= 0).all()
    assert smoothed.max() <= log_weights.max()
    torch.testing.assert_close(smoothed[order[:-tail]], log_weights[order[:-tail]])
    assert 0.3 < shape < 1.5
    assert smooth_weights(log_weights + 700)[1] == pytest.approx(shape, abs=1e-6)


def test_the_normalizer_and_means_are_those_of_the_target():
    found = importance_sample(target, law(0.0, 4.0), n=40_000, generator=seeded())
    assert found.trustworthy
    assert found.log_normalizer.item() == pytest.approx(LOG_Z, abs=4 * found.log_normalizer_error)
    assert found.expectation(lambda x: x).item() == pytest.approx(0.7 * 1.0 - 0.3 * 1.5, abs=0.03)
    draws = found.resample(5000, generator=seeded(1))
    assert (draws < -0.4).double().mean().item() == pytest.approx(0.3, abs=0.03)


def test_the_stated_error_is_the_spread_of_many_runs():
    runs = [importance_sample(target, law(0.0, 4.0), n=500, generator=seeded(i)) for i in range(200)]
    spread = torch.stack([run.log_normalizer for run in runs]).std().item()
    stated = sum(run.log_normalizer_error for run in runs) / len(runs)
    assert stated == pytest.approx(spread, rel=0.2)


def test_effective_draws_are_all_of_them_where_the_proposal_is_the_target():
    found = importance_sample(law(0.0, 1.0).log_prob, law(0.0, 1.0), n=1000, generator=seeded())
    assert found.effective_draws == pytest.approx(1000)
    assert found.shape == -math.inf
    assert found.log_normalizer.item() == pytest.approx(0.0, abs=1e-12)


def test_a_proposal_that_is_too_narrow_is_not_reported():
    found = importance_sample(law(0.0, 4.0).log_prob, law(0.0, 0.6), n=5000, generator=seeded())
    assert found.shape > 0.7
    for report in (
        lambda: found.log_normalizer,
        lambda: found.log_normalizer_error,
        lambda: found.expectation(lambda x: x),
        lambda: found.resample(3),
    ):
        with pytest.raises(UnreliableError, match="the tail of the importance weights has shape"):
            report()
    assert found.effective_draws < 5000  # what it is worth is said all the same


def test_a_defensive_mixture_mends_it():
    wide = StudentT(1, degrees=3.0).double()
    proposal = DefensiveMixture(law(0.0, 0.6), wide, share=0.2)
    found = importance_sample(law(0.0, 4.0).log_prob, proposal, n=20_000, generator=seeded())
    assert found.trustworthy
    assert found.log_normalizer.item() == pytest.approx(0.0, abs=4 * found.log_normalizer_error)
    x, log_q = proposal.sample_and_log_prob(50_000, generator=seeded(2))
    grid = torch.linspace(-0.5, 0.5, 999).double()[:, None]
    inside = torch.trapezoid(proposal.log_prob(grid).detach().exp(), grid[:, 0])
    torch.testing.assert_close((x.abs() < 0.5).double().mean(), inside, atol=0.01, rtol=0)
    torch.testing.assert_close(log_q, proposal.log_prob(x))


def test_a_flow_is_a_proposal_and_batches_do_not_matter():
    flow = flows.realnvp(2, generator=seeded()).double()
    found = importance_sample(flow.log_prob, flow, n=1000, batch_size=300, generator=seeded())
    assert found.points.shape == (1000, 2)
    assert found.log_normalizer.item() == pytest.approx(0.0, abs=1e-9)


def test_targets_may_have_no_density_somewhere():
    def half(x):
        return torch.where(x[:, 0] > 0, law(0.0, 1.0).log_prob(x), -torch.inf)

    found = importance_sample(half, law(0.0, 1.0), n=20_000, generator=seeded())
    assert found.log_normalizer.item() == pytest.approx(math.log(0.5), abs=0.03)


def test_wrong_input_is_refused():
    proposal = law(0.0, 1.0)
    with pytest.raises(ArgumentError, match="must be finite or -inf, got nan"):
        importance_sample(lambda x: x[:, 0] * torch.nan, proposal, n=10)
    with pytest.raises(ArgumentError, match="is -inf at all of 10 draws"):
        importance_sample(lambda x: torch.full((len(x),), -torch.inf), proposal, n=10)
    with pytest.raises(ShapeError, match="one number for each of 10 points"):
        importance_sample(lambda x: x, proposal, n=10)
    with pytest.raises(ArgumentError, match="share must be between 0 and 1"):
        DefensiveMixture(proposal, proposal, share=1.0)
    with pytest.raises(ShapeError, match="log_weights must have shape"):
        smooth_weights(torch.zeros(0))
    assert importance_sample(proposal.log_prob, proposal, n=10).shape == math.inf  # too few to tell
