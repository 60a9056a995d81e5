"""Continuous flows as densities: what flow matching and maximum likelihood reach, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import trapezoid
from torch import Tensor

from counterflow import flows
from counterflow.bijections import Continuous, solve_report
from counterflow.core.errors import ArgumentError
from counterflow.nets import VelocityMLP
from counterflow.training import TrainingSettings, fit
from tests.laws.registry import draw

QUICK = TrainingSettings(max_epochs=40, learning_rate=1e-2, progress=False)


def two_bumps(rows: int, seed: int) -> Tensor:
    """Half N(-2, 0.5^2), half N(2, 0.5^2): its entropy is log 2 + log(0.5 sqrt(2 pi e)), up to a tiny overlap."""
    sign = draw(rows, 1, seed=seed).sign()
    return (2 * sign + 0.5 * draw(rows, 1, seed=seed + 1)).float()


ENTROPY = math.log(2) + math.log(0.5 * math.sqrt(2 * math.pi * math.e))


@pytest.fixture(scope="module")
def matched() -> dict[str, flows.Flow]:
    """One flow for each coupling, after about a thousand small steps."""
    trained = {}
    for coupling in ("independent", "optimal_transport"):
        generator = torch.Generator().manual_seed(0)
        trained[coupling] = flows.continuous(1, hidden=(32, 32), activation="silu", generator=generator)
        settings = TrainingSettings(max_epochs=40, learning_rate=1e-2, progress=False)
        flows.fit_flow_matching(
            trained[coupling],
            two_bumps(1500, 0),
            coupling=coupling,
            settings=settings,
            batch_size=64,
            generator=generator,
        )
    return trained


@pytest.mark.parametrize("coupling", ["independent", "optimal_transport"])
def test_flow_matching_comes_near_to_the_entropy(matched, coupling):
    """The standard normal density, where it starts, is 0.8 nats away."""
    flow, test = matched[coupling], two_bumps(2000, 5)
    grid = torch.linspace(-12, 12, 1201).unsqueeze(-1)
    with torch.no_grad():
        assert -flow(test).mean().item() == pytest.approx(ENTROPY, abs=0.15)
        assert trapezoid(flow(grid).exp()[:, None].numpy(), grid.numpy(), axis=0) == pytest.approx(1.0, abs=2e-3)


def test_optimal_pairs_make_straighter_ways(matched):
    """The solver needs fewer steps for the velocity that learned from optimal pairs."""
    counts = [solve_report(flow.bijection.parts[-1], two_bumps(500, 5)).accepted for flow in matched.values()]
    assert counts[1] < 0.95 * counts[0]


def test_flow_matching_learns_what_the_context_says():
    """Under context c the law is N(3 c, (0.5 + c^2)^2) in both features."""
    generator = torch.Generator().manual_seed(0)
    context = torch.rand(1500, 1, generator=generator) * 2 - 1
    x = 3 * context + (0.5 + context.square()) * torch.randn(1500, 2, generator=generator)
    flow = flows.continuous(2, context_features=1, hidden=(32, 32), conditioning="film", generator=generator)
    flows.fit_flow_matching(flow, x, context=context, settings=QUICK, generator=generator)
    for c in (-0.8, 0.0, 0.8):
        sample = flow.sample(1500, torch.tensor([c]), generator=generator)
        assert sample.mean(0).numpy() == pytest.approx(np.full(2, 3 * c), abs=0.25)
        assert sample.std(0).numpy() == pytest.approx(np.full(2, 0.5 + c * c), rel=0.25)


def test_maximum_likelihood_comes_near_to_the_entropy():
    generator = torch.Generator().manual_seed(0)
    flow = flows.continuous(1, hidden=(16, 16), atol=1e-3, rtol=1e-3, generator=generator)
    fit(flow, two_bumps(400, 0), max_epochs=40, batch_size=200, learning_rate=0.03, generator=generator, progress=False)
    with torch.no_grad():
        assert -flow(two_bumps(1000, 5)).mean().item() == pytest.approx(ENTROPY, abs=0.1)


@pytest.mark.parametrize("features", [1, 2, 3])
def test_the_density_integrates_to_one(features):
    """In three dimensions on a coarser grid, which a smooth density forgives."""
    generator = torch.Generator().manual_seed(0)
    flow = flows.continuous(features, hidden=(8, 8), atol=1e-6, rtol=1e-6, generator=generator).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    axis = torch.linspace(-8, 8, {1: 401, 2: 81, 3: 29}[features], dtype=torch.float64)
    with torch.no_grad():
        mass = flow(torch.cartesian_prod(*[axis] * features).reshape(-1, features)).exp()
    assert mass.sum().item() * (axis[1] - axis[0]).item() ** features == pytest.approx(1.0, abs=2e-3)


def test_equal_steps_come_near_to_adaptive_ones():
    flow = flows.continuous(2, steps=16, generator=torch.Generator().manual_seed(0)).double()
    twin = flows.continuous(2, atol=1e-9, rtol=1e-9).double()
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter.add_(0.1 * draw(*parameter.shape, seed=i))
    twin.load_state_dict(flow.state_dict())
    x = draw(20, 2)
    torch.testing.assert_close(flow(x), twin(x), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_matched_is_refused():
    x = torch.zeros(10, 2)
    with pytest.raises(ArgumentError, match="flow must end in its only equation, got ActNorm -> Continuous -> Cont"):
        flows.fit_flow_matching(flows.continuous(2, layers=2), x)
    with pytest.raises(ArgumentError, match="must end in its only equation"):
        flows.fit_flow_matching(flows.realnvp(2), x)
    with pytest.raises(ArgumentError, match="would make the noise depend on the context"):
        flows.fit_flow_matching(
            flows.continuous(2, context_features=1), x, context=torch.zeros(10, 1), coupling="optimal_transport"
        )


def test_a_composed_flow_can_be_matched():
    generator = torch.Generator().manual_seed(0)
    flow = flows.compose(Continuous(VelocityMLP(2, hidden=(8,), generator=generator), 2))
    settings = TrainingSettings(max_epochs=2, progress=False)
    report = flows.fit_flow_matching(flow, torch.randn(50, 2, generator=generator), settings=settings)
    assert report.epochs == 2
