"""Variational inference and its starts, against targets whose normalizer and curvature are known."""

import math

import pytest
import torch

from counterflow import flows
from counterflow.core.errors import ArgumentError, SolverError
from counterflow.distributions import Gaussian, StandardNormal
from counterflow.flows import Flow, as_gaussian
from counterflow.inference import fit_variational, importance_sample, laplace, pathfinder, start_from
from counterflow.inference.variational import _doubly_reparametrized, _Draws, _gains
from tests.inference.test_importance import seeded

LOG_Z = -0.8


def correlated(x):
    """A normal law with mean (1, -2), times a known number."""
    law = Gaussian(torch.tensor([1.0, -2.0]).to(x), torch.tensor([[2.0, 1.2], [1.2, 1.0]]).to(x))
    return law.log_prob(x) + LOG_Z


def banana(x):
    """A bent normal law of normalizer one."""
    first, second = x[:, 0] / 2, x[:, 1] - x[:, 0].square() / 4 + 1
    return -(first.square() + second.square()) / 2 - math.log(2 * math.pi) - math.log(2)


def test_laplace_is_exact_for_a_normal_law():
    found = laplace(correlated, torch.tensor([6.0, 3.0]).double())
    torch.testing.assert_close(found.mean, torch.tensor([1.0, -2.0]).double(), atol=1e-6, rtol=0)
    torch.testing.assert_close(found.covariance, torch.tensor([[2.0, 1.2], [1.2, 1.0]]).double(), atol=1e-6, rtol=0)


def test_pathfinder_is_near_a_normal_law():
    found = pathfinder(correlated, torch.tensor([6.0, 3.0]).double(), generator=seeded())
    assert (
        found.kl(Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 1.2], [1.2, 1.0]]).double())) < 0.05
    )


def test_both_starts_agree_on_a_logistic_regression_and_with_a_fine_grid():
    generator = seeded()
    rows = torch.randn(60, 2, dtype=torch.float64, generator=generator)
    labels = (rows[:, 0] + 0.5 * torch.randn(60, dtype=torch.float64, generator=generator) > 0).double()

    def posterior(x):
        logits = x @ rows.T
        fit = -torch.nn.functional.binary_cross_entropy_with_logits(logits, labels.expand_as(logits), reduction="none")
        return fit.sum(1) - x.square().sum(1) / 8

    along, mode = (start(posterior, torch.full((2,), 3.0).double()) for start in (pathfinder, laplace))
    axis = torch.linspace(-6, 10, 321, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    shares = posterior(grid).softmax(0)
    mean = shares @ grid
    deviation = (shares @ (grid - mean).square()).sqrt()
    torch.testing.assert_close(mode.mean, grid[shares.argmax()], atol=0.05, rtol=0)
    for law in (along, mode):
        assert ((law.mean - mean).abs() < 0.7 * deviation).all()
        torch.testing.assert_close(law.variance.sqrt(), deviation, atol=0, rtol=0.35)


@pytest.mark.parametrize("objective", ["path", "plain", "importance"])
def test_a_linear_flow_becomes_the_normal_law_and_its_bound_the_normalizer(objective):
    flow = flows.linear(2)
    settings = {"steps": 600, "draws": 256, "learning_rate": 0.05, "progress": False}
    found = fit_variational(correlated, flow, objective=objective, generator=seeded(), **settings)
    assert found.bound <= LOG_Z + 4 * found.error + 1e-6
    assert found.bound == pytest.approx(LOG_Z, abs=0.03)
    torch.testing.assert_close(as_gaussian(flow).mean.detach(), torch.tensor([1.0, -2.0]), atol=0.2, rtol=0)


def test_path_gradients_have_no_noise_where_the_flow_is_the_target_and_plain_ones_do():
    law = Gaussian(torch.tensor([1.0, -2.0]).double(), torch.tensor([[2.0, 1.2], [1.2, 1.0]]).double())
    flow = flows.from_gaussian(law)
    draws = _Draws(flow.base.sample(16, generator=seeded()).double(), 1.0)

    def size(frozen):
        gains = _gains(flow, correlated, draws, frozen=frozen)
        return sum(g.abs().max() for g in torch.autograd.grad(gains.mean(), list(flow.parameters())))

    assert size(frozen=True) < 1e-10
    assert size(frozen=False) > 1e-2


def test_both_estimators_have_the_gradient_of_the_bound():
    """In one dimension the bound of a normal law for a normal target is known, and so is its gradient."""
    flow = flows.from_gaussian(Gaussian(torch.tensor([0.5]).double(), torch.tensor([[0.64]]).double()))
    draws = _Draws(torch.randn(400_000, 1, dtype=torch.float64, generator=seeded()), 1.0)

    def target(x):
        return -x.square().sum(1) / 2

    mean, log_scale = torch.tensor(0.5, requires_grad=True), torch.tensor(math.log(0.8), requires_grad=True)
    bound = -(mean.square() + (2 * log_scale).exp()) / 2 + log_scale
    wanted = torch.autograd.grad(bound, [mean, log_scale])
    for frozen in (True, False):
        gains = _gains(flow, target, draws, frozen=frozen)
        shift, diagonal = torch.autograd.grad(gains.mean(), [flow.bijection.bias, flow.bijection.log_diagonal])
        # x = (z - b) / exp(d): the mean is -b / exp(d), its scale 1 / exp(d)
        scale = 0.8
        torch.testing.assert_close(shift[0].float(), -scale * wanted[0], atol=5e-3, rtol=0)
        torch.testing.assert_close(diagonal[0].float(), -0.5 * wanted[0] - wanted[1], atol=5e-3, rtol=0)


def test_doubly_reparametrized_gradients_are_those_of_the_importance_weighted_bound():
    flow = flows.from_gaussian(Gaussian(torch.tensor([0.5]).double(), torch.tensor([[0.64]]).double()))
    draws = _Draws(torch.randn(300_000, 1, dtype=torch.float64, generator=seeded()), 1.0)

    def target(x):
        return -x.square().sum(1) / 2

    plain = _gains(flow, target, draws, frozen=False).view(-1, 4).logsumexp(1).mean()
    (wanted,) = torch.autograd.grad(plain, flow.bijection.bias)
    loss = _doubly_reparametrized(_gains(flow, target, draws, frozen=True).view(-1, 4))
    (found,) = torch.autograd.grad(-loss, flow.bijection.bias)
    torch.testing.assert_close(found, wanted, atol=5e-3, rtol=0)


def test_a_flow_learns_a_bent_law_and_importance_sampling_agrees():
    flow = flows.spline_coupling(2, layers=4, hidden=(32,), generator=seeded())
    settings = {"steps": 400, "draws": 256, "learning_rate": 5e-3, "progress": False}
    found = fit_variational(banana, flow, generator=seeded(), **settings)
    assert found.bound > -0.1
    weighed = importance_sample(banana, flow, n=5000, generator=seeded())
    assert weighed.trustworthy
    assert weighed.log_normalizer.item() == pytest.approx(0.0, abs=0.05)


def test_annealing_finds_a_mode_that_is_dropped_without():
    def two(x):
        return torch.logsumexp(torch.stack([-(x[:, 0] - c).square() / 0.08 for c in (-2.0, 2.0)]), 0)

    settings = {"steps": 400, "draws": 128, "learning_rate": 0.02, "progress": False}
    shares = []
    for annealing in (0.0, 0.8):
        flow = flows.with_base(flows.neural_autoregressive(1, layers=1, generator=seeded()), StandardNormal(1))
        with torch.no_grad():
            flow = start_from(Gaussian(torch.tensor([1.5]), torch.tensor([[0.1]])), flow)
        fit_variational(two, flow, annealing=annealing, first_temperature=60.0, generator=seeded(), **settings)
        shares.append((flow.sample(2000, generator=seeded()) < 0).double().mean().item())
    assert shares[0] < 0.02
    assert shares[1] > 0.2


def test_a_start_is_where_the_flow_begins():
    law = Gaussian(torch.tensor([5.0, 1.0]), torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
    flow = start_from(law, Flow(flows.linear(2).bijection, StandardNormal(2)))
    x = torch.tensor([[4.0, 2.0]])
    torch.testing.assert_close(flow(x), law.log_prob(x), atol=1e-5, rtol=1e-5)


def test_wrong_input_is_refused():
    with pytest.raises(ArgumentError, match="objective must be"):
        fit_variational(correlated, flows.linear(2), annealing=2.0)
    with pytest.raises(ArgumentError, match="importance must divide draws"):
        fit_variational(correlated, flows.linear(2), objective="importance", draws=10, importance=3)
    with pytest.raises(ArgumentError, match="must be finite at the start"):
        laplace(lambda x: torch.full((1,), -torch.inf) * x[:, 0].exp(), torch.zeros(2))
    with pytest.raises(SolverError, match="did not end in a maximum"):
        laplace(lambda x: x[:, 0] * 1.0, torch.zeros(1), steps=3)
