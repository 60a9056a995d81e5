"""Flows in continuous time: closed forms, zuko as a witness, estimates, and who sees which random directions."""

import pytest
import torch
import zuko
from torch import Tensor, nn

from counterflow.bijections import Continuous, solve_report, trajectory
from counterflow.core.errors import ArgumentError, SolverError
from counterflow.core.ode import AdaptiveSolver, FixedSolver
from counterflow.nets import VelocityMLP
from tests.laws.registry import draw

FINE = AdaptiveSolver(atol=1e-9, rtol=1e-9)


class Rotation(nn.Module):
    """v = A x."""

    def __init__(self) -> None:
        super().__init__()
        self.matrix = nn.Parameter(0.6 * draw(2, 2, seed=4))

    def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        return x @ self.matrix.T


class Joined(nn.Module):
    """A user's module: any net of state, time and context side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 3)).double()
        with torch.no_grad():
            for i, parameter in enumerate(self.net.parameters()):
                parameter.copy_(0.4 * draw(*parameter.shape, seed=i))

    def forward(self, t: Tensor, x: Tensor, context: Tensor) -> Tensor:
        lead = torch.broadcast_shapes(x.shape[:-1], context.shape[:-1])
        return self.net(torch.cat([part.expand(*lead, part.shape[-1]) for part in (x, t, context)], -1))


def deep(features: int = 3, **settings) -> Continuous:
    generator = torch.Generator().manual_seed(0)
    velocity = VelocityMLP(features, hidden=(8, 8, 8), zero=False, generator=generator).double()
    with torch.no_grad():
        for parameter in velocity.parameters():
            parameter.mul_(2.0)
    return Continuous(velocity, features, solver=FINE, **settings)


def test_a_linear_velocity_has_a_closed_form():
    """z = exp(A) x and log|det| = tr A."""
    flow, x = Continuous(Rotation(), 2, solver=FINE), draw(5, 2)
    z, log_det = flow.to_latent(x)
    torch.testing.assert_close(z, x @ torch.linalg.matrix_exp(flow.velocity.matrix).T, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(log_det, flow.velocity.matrix.trace().expand(5), rtol=1e-7, atol=1e-7)
    gradient = torch.autograd.grad(log_det.sum(), flow.velocity.matrix)[0]
    torch.testing.assert_close(gradient, 5 * torch.eye(2, dtype=torch.float64), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("method", ["to_latent", "to_data"])
def test_zuko_gives_the_same_with_the_same_net(method):
    net, x, context = Joined(), draw(6, 3), draw(6, 2, seed=1)
    flow = Continuous(net, 3, context_features=2, solver=FINE)
    twin = zuko.transforms.FreeFormJacobianTransform(
        lambda t, x: net(t.expand(6, 1), x, context), phi=net.parameters(), atol=1e-8, rtol=1e-8
    )
    twin = twin if method == "to_latent" else twin.inv
    found, expected = getattr(flow, method)(x, context), twin.call_and_ladj(x)
    torch.testing.assert_close(found, tuple(expected), rtol=1e-5, atol=1e-5)
    gradients = [
        torch.autograd.grad(y.sin().sum() + log_det.square().sum(), list(net.parameters()))
        for y, log_det in (found, expected)
    ]
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-5, atol=1e-5)


def test_the_estimate_is_unbiased():
    """Over many fresh draws its mean is the exact log-determinant, within four standard errors."""
    exact, estimate = deep(), deep(divergence="hutchinson", probes=2).train()
    x = draw(2, 3)
    expected = exact.to_latent(x)[1]
    found = estimate.to_latent(x.repeat(1500, 1))[1].reshape(1500, 2)
    error = found.std(0) / 1500**0.5
    assert (found.std(0) > 1e-3).all()
    assert ((found.mean(0) - expected).abs() < 4 * error).all()


def test_in_evaluation_the_estimate_is_a_function():
    flow, x = deep(divergence="hutchinson").eval(), draw(4, 3)
    first, again = flow.to_latent(x)[1], flow.to_latent(x)[1]
    assert torch.equal(first, again)
    torch.testing.assert_close(flow.to_latent(x[2])[1], first[2], rtol=1e-9, atol=1e-9)
    z = flow.to_latent(x)[0]
    torch.testing.assert_close(flow.to_data(z)[1], -first, rtol=1e-6, atol=1e-6)
    other = deep(divergence="hutchinson", seed=1).eval().to_latent(x)[1]
    assert not torch.allclose(other, first, atol=1e-3)


def test_in_training_every_call_and_point_draws_its_own():
    flow, x = deep(8, divergence="hutchinson").train(), draw(1, 8).expand(6, 8)
    first, second = flow.to_latent(x)[1], flow.to_latent(x)[1]
    assert len(first.detach().unique()) > 1
    assert not torch.allclose(first, second, atol=1e-6)
    assert int(flow.calls) == 2


def test_a_continued_run_draws_what_an_uninterrupted_one_would():
    x, (first, second) = draw(6, 3), (deep(divergence="hutchinson").train() for _ in range(2))
    first.to_latent(x)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.to_latent(x)[1], second.to_latent(x)[1])


@pytest.mark.parametrize(
    ("flow", "exact"),
    [
        (Continuous(VelocityMLP(50), 50), True),
        (Continuous(VelocityMLP(50, hidden=(4, 4, 4)), 50), False),
        (Continuous(VelocityMLP(8, hidden=(4, 4, 4)), 8), True),
        (Continuous(Rotation(), 2), True),
        (Continuous(Rotation(), 2, divergence="hutchinson"), False),
        (Continuous(VelocityMLP(50, hidden=(4, 4, 4)), 50, divergence="exact"), True),
    ],
)
def test_the_divergence_is_exact_where_that_is_cheap(flow, exact):
    assert flow.is_exact is exact


def test_a_trajectory_passes_through_data_and_latent():
    flow, x = deep(), draw(4, 3)
    way = trajectory(flow, x, times=[0.0, 0.3, 1.0])
    torch.testing.assert_close(way[-1], flow.to_latent(x)[0], rtol=1e-6, atol=1e-6)
    back = trajectory(flow, way[-1], times=[1.0, 0.3, 0.0])
    torch.testing.assert_close(back.flip(0), way, rtol=1e-6, atol=1e-6)


def test_the_report_tells_of_the_tolerance():
    counts = []
    for tolerance in (1e-3, 1e-9):
        flow = deep()
        flow.solver = AdaptiveSolver(atol=tolerance, rtol=tolerance)
        report = solve_report(flow, draw(4, 3), direction="to_data")
        assert report.finished
        counts.append(report.evaluations)
    assert counts[1] > 2 * counts[0]
    flow.solver = FixedSolver(steps=7)
    assert solve_report(flow, draw(4, 3)).evaluations == 28


def test_a_velocity_that_leads_to_infinity_is_an_error():
    class Explosion(nn.Module):
        def forward(self, t: Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
            return x**3

    with pytest.raises(SolverError, match="every row must reach time 1.0"):
        Continuous(Explosion(), 2).to_latent(torch.full((3, 2), 5.0))


def test_settings_are_checked():
    with pytest.raises(ArgumentError, match="probes must be"):
        Continuous(VelocityMLP(2), 2, probes=0)
