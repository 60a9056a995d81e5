"""Densities of angles: total mass one, no seam, and von Mises as a law to learn."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import trapezoid

from counterflow import flows
from counterflow.bijections import CircularCoupling, CircularSpline, Spline
from counterflow.bijections.circular_spline import wrap_angle
from counterflow.core.errors import ArgumentError
from counterflow.distributions import Torus
from tests.laws.registry import draw

TURN = 2 * math.pi


def shaken(flow: flows.Flow, *, size: float = 0.4) -> flows.Flow:
    flow = flow.double()
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter.add_(size * draw(*parameter.shape, seed=i))
    return flow


def torus(**settings: object) -> flows.Flow:
    generator = torch.Generator().manual_seed(0)
    return shaken(flows.circular_spline(2, layers=3, hidden=(8,), bins=4, generator=generator, **settings))


def test_wrapping():
    x = torch.tensor([-math.pi, math.pi, 3 * math.pi, 7.0, -7.0, 0.5], dtype=torch.float64)
    expected = [-math.pi, -math.pi, -math.pi, 7 - TURN, TURN - 7, 0.5]
    np.testing.assert_allclose(wrap_angle(x).numpy(), expected, atol=1e-14)


def test_mass_on_the_torus_is_one():
    """The sum over a periodic grid converges faster than any power: no tolerance for a seam."""
    axis = torch.linspace(-math.pi, math.pi, 401, dtype=torch.float64)[:-1]
    with torch.no_grad():
        density = torus()(torch.cartesian_prod(axis, axis)).exp()
    assert density.max() > 1.5 * density.min()
    assert density.mean().item() * TURN**2 == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("axis", [0, 1])
def test_density_has_no_seam(axis):
    """On both sides of the seam, or a turn away, the density is the same; its gradient may jump, as at knots."""
    flow, x = torus(), 2 * draw(20, 2)
    left, right = x.clone(), x.clone()
    left[:, axis], right[:, axis] = math.pi - 1e-9, -math.pi + 1e-9
    torch.testing.assert_close(flow(right), flow(left), rtol=0, atol=1e-7)
    torch.testing.assert_close(flow(right + TURN), flow(left), rtol=0, atol=1e-7)


def test_samples_are_within_one_turn_and_whole_turns_change_nothing():
    flow = torus()
    x = flow.sample(500, generator=torch.Generator().manual_seed(0))
    assert x.abs().max() <= math.pi
    torch.testing.assert_close(flow(x + TURN), flow(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(flow(x - 3 * TURN), flow(x), rtol=1e-9, atol=1e-9)


def test_angles_and_numbers_together():
    """Mass one over a turn and the whole line; the number is standardized by the first data, the angle is not."""
    flow = torus(angles=(1,), bound=3.0)
    line, circle = torch.linspace(-14, 14, 801).double(), torch.linspace(-math.pi, math.pi, 201).double()[:-1]
    with torch.no_grad():
        density = flow(torch.cartesian_prod(line, circle)).exp().reshape(801, 200).mean(1) * TURN
    assert trapezoid(density.numpy(), line.numpy()) == pytest.approx(1.0, abs=1e-3)
    fresh = flows.initialize(flows.circular_spline(2, angles=(1,)), torch.tensor([[9.0, 1.0], [11.0, 1.0]]))
    torch.testing.assert_close(fresh.to_latent(torch.tensor([11.0, 1.0]))[0], torch.tensor([1.0, 1.0]))
    expected = stats.norm.logpdf(1.0) - math.log(TURN)
    assert fresh(torch.tensor([11.0, 1.0])).item() == pytest.approx(expected, abs=1e-5)


def test_learns_a_von_mises_law_across_the_seam():
    """The law centers on the seam; the expected likelihood under scipy's density is raised until it is reached."""
    axis = torch.linspace(-math.pi, math.pi, 201, dtype=torch.float64)[:-1].unsqueeze(-1)
    density = torch.from_numpy(stats.vonmises(2.0, loc=math.pi).pdf(axis.numpy())).squeeze()
    flow = flows.circular_spline(1, layers=1, bins=6).double()
    optimizer = torch.optim.LBFGS(flow.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -(density * flow(axis)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    assert (flow(axis).exp() - density).abs().max() < 0.02


def test_the_net_sees_kept_angles_by_cosine_and_sine():
    layer = CircularCoupling(3, kept=(0, 2), angles=(0, 1), circular=CircularSpline(), linear=Spline(), hidden=(8,))
    assert layer.net.layers[0].in_features == 3  # two for the angle, one for the number


def test_torus_is_the_product_of_its_laws():
    law, x = Torus(3, angles=[2, 0]).double(), draw(20, 3)
    expected = 2 * stats.uniform(-math.pi, TURN).logpdf(0.0) + stats.norm.logpdf(x[:, 1].numpy())
    np.testing.assert_allclose(law.log_prob(x).numpy(), expected, rtol=1e-12)
    samples = law.sample(4000, generator=torch.Generator().manual_seed(0)).numpy()
    for i, witness in enumerate([stats.uniform(-math.pi, TURN), stats.norm(), stats.uniform(-math.pi, TURN)]):
        assert stats.kstest(samples[:, i], witness.cdf).pvalue > 1e-3


@pytest.mark.parametrize("angles", [(0, 0), (3,), (-1,)])
def test_angles_that_are_no_features(angles):
    with pytest.raises(ArgumentError, match="angles must name each feature at most once, from 0 to 2"):
        flows.circular_spline(3, angles=angles)
