"""Proposals trained on all draws so far: weights by brute force, normalizers known, modes kept."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import optimize, special, stats

from counterflow import flows
from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import ProposalOutcome
from counterflow.distributions import Gaussian, GaussianMixture
from counterflow.flows import from_gaussian
from counterflow.inference import fit_proposal, importance_sample, start_from
from counterflow.inference.off_policy import _Buffer, _largest_exponent
from tests.inference.test_importance import LOG_Z, law, seeded

SETTINGS = {"rounds": 4, "draws": 1000, "steps": 100, "batch_size": 256, "learning_rate": 5e-3, "progress": False}


def two_modes(x):
    """Two normal laws four apart in the plane, times a known number: no gradient passes through it."""
    means = torch.tensor([[-2.0, 0.0], [2.0, 1.0]])
    parts = Gaussian(means, torch.stack([0.2 * torch.eye(2), 0.3 * torch.eye(2)]))
    return GaussianMixture(torch.tensor([0.4, 0.6]), parts).log_prob(x.detach()) + LOG_Z


def started(mean=(0.0, 0.0), variance=4.0):
    at = Gaussian(torch.tensor(mean), variance * torch.eye(2))
    return at, start_from(at, flows.realnvp(2, layers=4, hidden=(32,), generator=seeded(9)))


def test_weights_know_of_every_law_that_filled_the_buffer():
    laws, counts, buffer = [law(0.0, 4.0), law(1.0, 1.0), law(-3.0, 0.5)], [300, 50, 120], _Buffer()
    for one, count in zip(laws, counts, strict=True):
        points = one.sample(count, generator=seeded(count))
        buffer.add(points, one, law(0.5, 1.5).log_prob(points) + LOG_Z)
    x = buffer.points[:, 0].numpy()
    densities = [stats.norm(m, math.sqrt(v)).pdf(x) for m, v in ((0.0, 4.0), (1.0, 1.0), (-3.0, 0.5))]
    mixture = np.average(densities, axis=0, weights=counts)
    wanted = np.log(stats.norm(0.5, math.sqrt(1.5)).pdf(x) / mixture) + LOG_Z
    np.testing.assert_allclose(buffer.sample().log_weights.numpy(), wanted, atol=1e-9)
    assert buffer.sample().log_normalizer.item() == pytest.approx(LOG_Z, abs=0.1)


@pytest.mark.parametrize("least", [30.0, 100.0, 300.0])
def test_the_power_of_the_weights_leaves_as_many_effective_draws_as_asked(least):
    log_weights = stats.norm(scale=3).rvs(500, random_state=0)

    def effective(exponent):
        return 1 / np.square(special.softmax(exponent * log_weights)).sum()

    wanted = optimize.brentq(lambda exponent: effective(exponent) - least, 1e-6, 1.0)
    assert _largest_exponent(torch.as_tensor(log_weights), least) == pytest.approx(wanted, rel=2e-3)
    assert _largest_exponent(torch.zeros(500).double(), least) == 1.0


def test_a_proposal_finds_both_modes_and_the_normalizer_without_a_gradient():
    asked = []

    def counted(x):
        asked.append(len(x))
        return two_modes(x)

    broad, flow = started()
    settings = {**SETTINGS, "draws": 1500, "steps": 150}
    found = fit_proposal(counted, flow, broad=broad, generator=seeded(), **settings)
    assert found.rounds[-1].evaluations == sum(asked) == len(found.sample.points)
    assert found.rounds[-1].effective_share > max(0.6, 3 * found.rounds[0].effective_share)
    assert found.trustworthy
    for sample in (found.sample, importance_sample(two_modes, found.proposal, n=5000, generator=seeded(1))):
        assert sample.log_normalizer.item() == pytest.approx(LOG_Z, abs=4 * sample.log_normalizer_error)
        left = sample.expectation(lambda x: (x[:, 0] < 0).float()).item()
        assert left == pytest.approx(0.4, abs=0.04)
    assert [one.report is None for one in found.rounds] == [False] * 4 + [True]
    assert found.outcome is ProposalOutcome.MAX_ROUNDS


def test_training_on_the_weights_mends_a_flow_that_dropped_a_mode():
    """Reverse divergence leaves such a flow as it is; here the broad law's draws tell of the other mode."""
    _, flow = started(mean=(2.0, 1.0), variance=0.3)
    broad, _ = started()
    before = (flow.sample(2000, generator=seeded()) < 0)[:, 0].double().mean()
    fit_proposal(two_modes, flow, broad=broad, share=0.3, generator=seeded(), **SETTINGS)
    after = (flow.sample(2000, generator=seeded()) < 0)[:, 0].double().mean()
    assert before < 1e-3
    assert after.item() == pytest.approx(0.4, abs=0.08)


def test_while_weights_are_uneven_a_power_of_them_is_trained_on():
    broad, flow = started(mean=(8.0, 8.0), variance=9.0)
    found = fit_proposal(two_modes, flow, broad=broad, generator=seeded(), **SETTINGS)
    powers = [one.exponent for one in found.rounds[:-1]]
    assert powers[0] < 0.7
    assert powers[-1] > powers[0]
    assert math.isnan(found.rounds[-1].exponent)


def test_given_draws_are_learned_from():
    shares = []
    exact = GaussianMixture(
        torch.tensor([0.4, 0.6]),
        Gaussian(torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.stack([0.2 * torch.eye(2), 0.3 * torch.eye(2)])),
    )
    settings = {**SETTINGS, "rounds": 1, "draws": 200}
    for given in ([], [(exact.sample(3000, generator=seeded(3)), exact)]):
        broad, flow = started(mean=(4.0, 4.0))
        found = fit_proposal(two_modes, flow, broad=broad, given=given, generator=seeded(), **settings)
        shares.append(found.rounds[-1].effective_share)
    assert found.rounds[0].evaluations == 3200
    assert shares[1] > 2 * shares[0]


def test_one_generator_decides_everything_and_the_broad_law_stays_as_it_is():
    state = torch.random.get_rng_state()
    settings = {**SETTINGS, "rounds": 2, "draws": 300, "steps": 20}
    ended = []
    for _ in range(2):
        _, flow = started()
        wide = flows.linear(2)
        untouched = copy.deepcopy(wide.state_dict())
        found = fit_proposal(two_modes, flow, broad=wide, generator=seeded(5), **settings)
        assert all(torch.equal(value, untouched[name]) for name, value in wide.state_dict().items())
        ended.append((found.sample.log_weights, torch.cat([p.flatten() for p in flow.parameters()])))
    torch.testing.assert_close(ended[0], ended[1], atol=0, rtol=0)
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_flow_that_is_the_target_is_left_alone():
    at = Gaussian(torch.tensor([1.0]), torch.tensor([[2.0]]))
    flow = from_gaussian(at)
    found = fit_proposal(at.log_prob, flow, generator=seeded(), **SETTINGS)
    assert found.outcome is ProposalOutcome.ENOUGH
    assert len(found.rounds) == 1
    assert found.rounds[0].effective_share == pytest.approx(1.0)
    torch.testing.assert_close(flows.as_gaussian(flow).mean, at.mean)


def test_wrong_input_is_refused():
    flow = flows.linear(2)
    with pytest.raises(ArgumentError, match="rounds must be"):
        fit_proposal(two_modes, flow, rounds=0)
    with pytest.raises(ArgumentError, match="least_effective must be in"):
        fit_proposal(two_modes, flow, least_effective=1.0)
    with pytest.raises(ArgumentError, match="share must be between 0 and 1"):
        fit_proposal(two_modes, flow, share=0.0)
    with pytest.raises(ArgumentError, match="is -inf at all of 10 draws"):
        fit_proposal(lambda x: torch.full((len(x),), -torch.inf), flow, draws=10)
