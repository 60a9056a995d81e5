"""The targets of the proposals have the normalizers and means that are claimed, by grids and by plain sampling."""

import math

import pytest
import torch
from scipy import stats

from experiments.proposal_measures import sliced_wasserstein
from experiments.proposal_targets import (
    _EFFECTS,
    _ERRORS,
    TARGETS,
    Counted,
    banana,
    bent,
    cauchy,
    eight_schools,
    modes,
    schools_exactly,
    straightened,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_normalizers_are_those_of_fine_grids():
    def grid(target, reach, step):
        axis = torch.arange(-reach, reach, step, dtype=torch.float64).float()
        return float(target.log_density(torch.cartesian_prod(axis, axis)).double().logsumexp(0)) + 2 * math.log(step)

    assert grid(banana(2), 60.0, 0.1) == pytest.approx(-2.1, abs=1e-3)
    assert grid(modes(2), 14.0, 0.05) == pytest.approx(0.7, abs=1e-3)


def test_the_funnel_and_the_law_of_cauchy_are_those_of_scipy():
    x = torch.randn(5, 3, generator=seeded())
    v, rest = x[:, 0].numpy(), x[:, 1:].numpy()
    wanted = stats.norm(0, 3).logpdf(v) + sum(stats.norm(0, torch.exp(x[:, 0] / 2)).logpdf(y) for y in rest.T) + 1.3
    torch.testing.assert_close(TARGETS["funnel"](3).log_density(x), torch.as_tensor(wanted).float())
    wanted = stats.multivariate_t(loc=[0.0] * 3, df=1).logpdf(x.numpy())
    torch.testing.assert_close(cauchy(3).log_density(x), torch.as_tensor(wanted).float())


@pytest.mark.parametrize("name", list(TARGETS))
def test_exact_draws_have_the_known_means(name):
    target = TARGETS[name]()
    values = target.known(target.draw(50_000, seeded()))
    error = values.std(0) / len(values) ** 0.5
    assert ((values.mean(0) - torch.tensor(target.means)).abs() < 4 * error).all()


def test_the_banana_is_straightened_to_what_it_was_bent_from():
    white = torch.randn(100, 4, generator=seeded())
    torch.testing.assert_close(straightened(bent(white)), white, atol=1e-5, rtol=1e-5)


def test_the_evidence_of_the_eight_schools_is_that_of_draws_from_the_prior():
    generator = seeded()
    tau = 5 * torch.tan(torch.rand(400_000, 1, generator=generator, dtype=torch.float64) * math.pi / 2)
    mu = 5 * torch.randn(400_000, 1, generator=generator, dtype=torch.float64)
    marginal = torch.distributions.Normal(mu, (tau.square() + _ERRORS.double().square()).sqrt())
    logs = marginal.log_prob(_EFFECTS.double()).sum(1)
    log_z, means = schools_exactly()
    assert log_z == pytest.approx(float(logs.logsumexp(0)) - math.log(400_000), abs=0.01)
    assert means[0] == pytest.approx(float(logs.softmax(0) @ mu[:, 0]), abs=0.05)
    assert means[1] == pytest.approx(float(logs.softmax(0) @ tau[:, 0].log()), abs=0.02)


def test_the_joint_density_of_the_eight_schools_is_its_factors():
    mu, log_tau = 3.0, 1.2
    tau, theta = math.exp(log_tau), torch.arange(8.0)
    wanted = stats.norm(0, 5).logpdf(mu) + stats.halfcauchy(scale=5).logpdf(tau) + log_tau
    wanted += stats.norm(mu, tau).logpdf(theta).sum() + stats.norm(theta, _ERRORS).logpdf(_EFFECTS).sum()
    x = torch.cat([torch.tensor([mu, log_tau]), theta])[None]
    assert eight_schools(x).item() == pytest.approx(wanted, rel=1e-5)


def test_the_sliced_distance_in_one_dimension_is_that_of_scipy():
    x, y = torch.randn(500, 1, generator=seeded()), 2 + torch.randn(500, 1, generator=seeded(1))
    assert sliced_wasserstein(x, y) == pytest.approx(stats.wasserstein_distance(x[:, 0], y[:, 0]), rel=1e-4)


def test_questions_are_counted():
    density = Counted(lambda x: x.sum(1))
    density(torch.zeros(3, 2))
    density(torch.zeros(5, 2, requires_grad=True))
    assert (density.values, density.gradients) == (3, 5)
