"""Log Z from both sides, against divergences of normal laws in closed form."""

import math

import pytest
import torch
from scipy import stats

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import Gaussian, GaussianMixture
from counterflow.inference import evidence_bounds, importance_sample
from tests.inference.test_importance import LOG_Z, law, seeded


def test_the_bounds_lie_by_both_divergences_from_the_normalizer():
    target, proposal = law(0.5, 1.5), law(0.0, 1.0)
    exact = target.sample(40_000, generator=seeded(1))
    found = evidence_bounds(
        lambda x: target.log_prob(x) + LOG_Z, proposal, exact=exact, n=40_000, batch_size=7000, generator=seeded()
    )
    assert found.lower == pytest.approx(LOG_Z - proposal.kl(target).item(), abs=4 * found.lower_error)
    assert found.upper == pytest.approx(LOG_Z + target.kl(proposal).item(), abs=4 * found.upper_error)
    assert 0 < found.lower_error < 0.005
    assert 0 < found.upper_error < 0.005
    assert found.gap == pytest.approx((proposal.kl(target) + target.kl(proposal)).item(), abs=0.03)


def test_only_the_upper_bound_and_not_the_tail_of_the_weights_sees_a_mode_that_no_draw_visits():
    means = torch.tensor([[-20.0], [20.0]]).double()
    target = GaussianMixture(torch.tensor([0.5, 0.5]).double(), Gaussian(means, torch.ones(2, 1, 1).double()))
    one = law(20.0, 1.0)
    found = evidence_bounds(
        target.log_prob, one, exact=target.sample(4000, generator=seeded()), n=4000, generator=seeded(1)
    )
    assert found.lower == pytest.approx(-math.log(2), abs=1e-6)  # as if there were no other mode
    assert found.upper > 100
    blind = importance_sample(target.log_prob, one, n=4000, generator=seeded(2))
    assert blind.trustworthy
    assert blind.log_normalizer.item() == pytest.approx(-math.log(2), abs=1e-6)


def test_a_bound_is_infinite_where_the_supports_differ():
    def half(x):
        return torch.where(x[:, 0] > 0, law(0.0, 1.0).log_prob(x), -torch.inf)

    exact = law(0.0, 1.0).sample(100, generator=seeded()).abs()
    found = evidence_bounds(half, law(0.0, 1.0), exact=exact, n=100, generator=seeded())
    assert (found.lower, found.lower_error) == (-math.inf, math.inf)
    assert found.upper == pytest.approx(0.0, abs=1e-12)  # where there is a target, the proposal is equal to it


def test_perplexity_is_the_exponential_of_the_entropy():
    found = importance_sample(law(0.5, 1.5).log_prob, law(0.0, 1.0), n=2000, generator=seeded())
    weights = found.log_weights.exp().numpy()
    assert found.perplexity == pytest.approx(math.exp(stats.entropy(weights)))
    assert found.effective_draws < found.perplexity < 2000


def test_wrong_input_is_refused():
    proposal = law(0.0, 1.0)
    with pytest.raises(ShapeError, match="exact must hold at least 2 draws, got 1"):
        evidence_bounds(proposal.log_prob, proposal, exact=torch.zeros(1, 1).double())
    with pytest.raises(ArgumentError, match="n must be"):
        evidence_bounds(proposal.log_prob, proposal, exact=torch.zeros(2, 1).double(), n=1)
