"""The circle: density, draws, tangents and what is measured of decoders, against scipy and closed forms."""

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import rice

from experiments.circle_data import SPACE, circle, draw, gradient_of, log_density, logit, normal_share, tangent
from experiments.circle_decoders import KINDS, Coder, decoder_measures, outside_tangent


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("noise", [0.3, 0.01])
def test_the_density_is_that_of_rice_over_the_circumference(noise):
    radius = np.linspace(max(0.02, 1 - 4 * noise), 1 + 4 * noise, 25)
    x = torch.tensor(np.stack([np.zeros_like(radius), radius], axis=1))
    expected = rice.logpdf(radius, 1 / noise, scale=noise) - np.log(2 * math.pi * radius)
    np.testing.assert_allclose(log_density(x, noise=noise).numpy(), expected, rtol=1e-6, atol=1e-6)

    def shell(radius: float) -> float:
        point = torch.tensor([[radius, 0.0]], dtype=torch.float64)
        return 2 * math.pi * radius * log_density(point, noise=noise).exp().item()

    assert quad(shell, max(0, 1 - 8 * noise), 1 + 8 * noise, points=[1.0])[0] == pytest.approx(1, abs=1e-6)


def test_draws_have_the_radii_of_rice():
    radius = draw(20_000, generator(), noise=0.2).norm(dim=1).numpy()
    expected = rice.ppf([0.1, 0.5, 0.9], 5, scale=0.2)
    np.testing.assert_allclose(np.quantile(radius, [0.1, 0.5, 0.9]), expected, atol=0.01)


def test_the_tangent_is_the_derivative_of_the_circle():
    angle = torch.linspace(-3, 3, 9, dtype=torch.float64)
    step = 1e-6
    expected = (circle(angle + step, basis=SPACE) - circle(angle - step, basis=SPACE)) / (2 * step)
    out = 1.3 * circle(angle, basis=SPACE) + 0.2 * torch.tensor([0.0, -0.6, 0.8]).double()
    torch.testing.assert_close(tangent(out, basis=SPACE), expected, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(normal_share(expected, expected), torch.zeros(9).double(), atol=1e-3, rtol=0)
    torch.testing.assert_close(normal_share(out, expected), torch.ones(9).double())


def test_the_gradient_is_that_of_finite_differences():
    x, step = draw(5, generator(), noise=0.1, basis=SPACE).double(), 1e-6
    moves = step * torch.eye(3).double()
    ways = [
        (torch.nn.functional.logsigmoid(logit(x + m)) - torch.nn.functional.logsigmoid(logit(x - m))) for m in moves
    ]
    torch.testing.assert_close(gradient_of(x), torch.stack(ways, dim=1) / (2 * step), rtol=1e-5, atol=1e-7)


def test_a_decoder_that_is_the_circle_has_no_normal_share():
    """A coder whose nets are the angle and the circle: exact, so that nothing of a step is normal."""
    coder = Coder(KINDS["autoencoder, arc"], generator()).double()

    def angle(x: torch.Tensor) -> torch.Tensor:
        first, second = (x @ SPACE.double()).unbind(-1)
        return torch.atan2(second, first)[:, None]

    coder.encode, coder.decode = angle, lambda z: circle(z[:, 0], basis=SPACE)
    found = decoder_measures(coder, noise=0.01, rows=200)
    assert found["latent_share"] < 1e-6
    assert found["input_share"] > 0.3
    assert found["reconstruction_from_circle"] < 1e-9
    assert found["reconstruction_error"] == pytest.approx(0.01 * math.sqrt(2), rel=0.2)
    assert found["outside_tangent_whole_to_half"] == pytest.approx(4, rel=0.1)


def test_a_step_leaves_the_tangent_of_any_decoder_by_the_square_of_its_length():
    coder = Coder(KINDS["variational, circle"], generator(1)).double()
    z = torch.randn(20, 2, generator=generator(2)).double()
    ratio = outside_tangent(coder, z, 0.02) / outside_tangent(coder, z, 0.01)
    assert ratio.median() == pytest.approx(4, rel=0.05)
