"""What must hold for every flow as a density: total mass one, samples that follow it, and a save that is exact."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import cumulative_trapezoid, trapezoid
from torch import Tensor

from counterflow import flows
from tests.laws.registry import CONTEXT, FLOWS, SMALL_FLOWS, draw

small = pytest.mark.parametrize("name", SMALL_FLOWS)
every = pytest.mark.parametrize("name", FLOWS)


def density_on_grid(flow: flows.Flow, context: Tensor, *, grid: np.ndarray) -> np.ndarray:
    """The density at all points of a square (or linear) grid under one context."""
    axis, size = torch.from_numpy(grid), math.prod(flow.event_shape)
    points = torch.cartesian_prod(*(axis for _ in range(size))).reshape(-1, *flow.event_shape)
    with torch.no_grad():
        return flow(points, context).exp().reshape([len(grid)] * size).numpy()


@small
def test_density_integrates_to_one(name):
    grid = np.linspace(-1, 1, 561) * SMALL_FLOWS[name].reach
    mass = density_on_grid(SMALL_FLOWS[name].make(), draw(CONTEXT), grid=grid)
    for _ in range(mass.ndim):
        mass = trapezoid(mass, grid, axis=0)
    assert mass == pytest.approx(1.0, abs=1e-3)


@small
def test_samples_follow_the_density(name):
    """Each coordinate of a sample, put through its marginal distribution function, is uniform."""
    flow, context = SMALL_FLOWS[name].make(), draw(CONTEXT)
    x = flow.sample(4000, context, generator=torch.Generator().manual_seed(3)).flatten(1).numpy()
    grid = np.linspace(-1, 1, 561) * SMALL_FLOWS[name].reach
    density = density_on_grid(flow, context, grid=grid)
    for i in range(x.shape[1]):
        marginal = density if density.ndim == 1 else trapezoid(density, grid, axis=1 - i)
        cdf = cumulative_trapezoid(marginal, grid, initial=0.0)
        uniform = np.interp(x[:, i], grid, cdf)
        assert stats.kstest(uniform, "uniform").pvalue > 1e-3


@every
def test_log_prob_of_samples_agrees_with_sampling(name):
    flow, context = FLOWS[name].make(), FLOWS[name].data()[1]
    x, log_prob = flow.sample_and_log_prob(5, context, generator=torch.Generator().manual_seed(0))
    assert x.shape == (5, *(() if context is None else (len(context),)), *flow.event_shape)
    torch.testing.assert_close(flow(x, context), log_prob, rtol=1e-6, atol=1e-6)
    again = flow.sample(5, context, generator=torch.Generator().manual_seed(0))
    assert torch.equal(again, x)


@every
def test_only_rsample_carries_gradients(name):
    flow, context = FLOWS[name].make(), FLOWS[name].data()[1]
    x, log_prob = flow.rsample_and_log_prob(5, context)
    assert x.requires_grad
    assert log_prob.requires_grad
    assert flow.rsample(5, context).requires_grad
    assert not flow.sample(5, context).requires_grad
    assert not any(t.requires_grad for t in flow.sample_and_log_prob(5, context))


@every
def test_gradient_of_samples_is_that_of_a_finite_difference(name):
    """Moving one parameter moves a sample as its gradient says (same noise, central differences)."""
    flow, context = FLOWS[name].make(), FLOWS[name].data()[1]

    def moved() -> Tensor:
        return flow.rsample(3, context, generator=torch.Generator().manual_seed(1)).square().sum()

    parameter = next(p for p in reversed(list(flow.parameters())) if p.dim() == 1)
    gradient = torch.autograd.grad(moved(), parameter)[0][0]
    values, step = [], 1e-6
    for sign in (1, -1):
        with torch.no_grad():
            parameter[0] += sign * step
            values.append(moved())
            parameter[0] -= sign * step
    torch.testing.assert_close((values[0] - values[1]) / (2 * step), gradient, rtol=1e-4, atol=1e-5)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_save_and_load_is_bit_equal(name, dtype, tmp_path):
    flow, (x, context) = FLOWS[name].make(dtype=dtype), FLOWS[name].data()
    x, context = x.to(dtype), None if context is None else context.to(dtype)
    flow.initialize(x, context)
    flow.save(tmp_path / "flow")
    loaded = flows.load(tmp_path / "flow")
    assert loaded.config == flow.config
    assert torch.equal(loaded(x, context), flow(x, context))
    loaded.initialize(x + 1, context)
    assert torch.equal(loaded(x, context), flow(x, context))


@every
def test_a_fresh_flow_of_a_seed_is_the_same_and_leaves_the_global_generator_alone(name):
    before = torch.random.get_rng_state()
    first, second = (FLOWS[name].make(seed=5).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(torch.random.get_rng_state(), before)


@every
def test_a_fresh_flow_is_the_standard_normal_density(name):
    """Where all features are angles it is the uniform density."""
    case = FLOWS[name]
    flow, (x, context) = case.build(torch.Generator().manual_seed(0)).double(), case.data()
    circle = torch.distributions.Uniform(torch.tensor(-np.pi, dtype=torch.float64), np.pi)
    law = circle if name.startswith("circular") else torch.distributions.Normal(0.0, 1.0)
    expected = law.log_prob(x).flatten(1).sum(-1)
    torch.testing.assert_close(flow(x, context), expected, rtol=1e-12, atol=1e-12)


@every
def test_facade_is_the_flow(name):
    flow, (x, context) = FLOWS[name].make(), FLOWS[name].data()
    law = flow.distribution(context)
    assert isinstance(law, torch.distributions.Distribution)
    assert torch.equal(law.log_prob(x), flow(x, context))
    assert law.sample((2,)).shape == (2, *law.batch_shape, *law.event_shape)
    assert law.rsample().requires_grad
