"""The theorem on a circle, with a flow in closed form: polar coordinates, where every block of the metric is known."""

import math

import pytest
import torch

from counterflow import flows, geometry
from counterflow.bijections import AbstractBijection
from counterflow.core.numerics import normal_log_prob
from counterflow.counterfactuals import input_ascent, latent_ascent
from tests.laws.registry import draw

NOISES = (0.08, 0.04, 0.02)


class Polar(AbstractBijection):
    """x = r (cos a, sin a) with the angle a = 2 pi (Phi(z_1) - 1/2) and the radius r = 1 + noise z_2, where r > 0."""

    def __init__(self, noise: float) -> None:
        super().__init__((2,))
        self.noise = noise

    def to_latent(self, x, context=None):
        radius, angle = x.norm(dim=-1), torch.atan2(x[..., 1], x[..., 0])
        z = torch.stack([torch.special.ndtri(angle / (2 * math.pi) + 0.5), (radius - 1) / self.noise], dim=-1)
        return z, -self.log_stretch(z)

    def to_data(self, z, context=None):
        angle = 2 * math.pi * (torch.special.ndtr(z[..., 0]) - 0.5)
        radius = 1 + self.noise * z[..., 1]
        return radius[..., None] * torch.stack([angle.cos(), angle.sin()], dim=-1), self.log_stretch(z)

    def log_stretch(self, z):
        return normal_log_prob(z[..., 0]) + math.log(2 * math.pi * self.noise) + (1 + self.noise * z[..., 1]).log()


def polar(noise: float) -> tuple[flows.Flow, torch.Tensor]:
    """The flow, and points of its law."""
    flow = flows.compose([Polar(noise)]).double()
    with torch.no_grad():
        return flow, flow.to_data(draw(200, 2, seed=1))[0]


def frame(x: torch.Tensor) -> torch.Tensor:
    """Tangent and normal at points: ``(rows, 2, 2)``."""
    normal = x / x.norm(dim=1, keepdim=True)
    return torch.stack([torch.stack([-normal[:, 1], normal[:, 0]], dim=1), normal], dim=1)


def logit(x: torch.Tensor) -> torch.Tensor:
    return 4 * x[:, 0] + x.square().sum(1)


def gradient(x: torch.Tensor) -> torch.Tensor:
    return torch.tensor([4.0, 0.0]).to(x) + 2 * x


def test_the_density_is_that_of_angle_and_radius():
    flow, x = polar(0.1)
    radius = x.norm(dim=1)
    expected = torch.distributions.Normal(1.0, 0.1).log_prob(radius) - (2 * math.pi * radius).log()
    torch.testing.assert_close(flow.log_prob(x), expected)


@pytest.mark.parametrize("noise", NOISES)
def test_the_blocks_of_the_metric(noise):
    """The mixed blocks are zero, the normal one is the variance of the noise, the tangent one that of the angle."""
    flow, x = polar(noise)
    blocks = frame(x) @ geometry.inverse_metric(flow, x) @ frame(x).mT
    z, radius = flow.to_latent(x)[0], x.norm(dim=1)
    angle_slope = 2 * math.pi * normal_log_prob(z[:, 0]).exp()
    expected = torch.stack([(radius * angle_slope).square(), torch.full_like(radius, noise**2)], dim=1).diag_embed()
    torch.testing.assert_close(blocks, expected, rtol=1e-6, atol=1e-9)
    wide = radius * angle_slope > 2 * noise  # elsewhere, at the seam, the flow is narrower along the circle
    tangents = geometry.tangent_space(flow, x, dimension=1)[:, 0]
    along = (frame(x)[:, 0] * tangents).sum(1).abs()
    torch.testing.assert_close(along[wide], torch.ones_like(along[wide]))
    assert wide.double().mean() > 0.9


def test_the_normal_share_of_a_step_falls_as_the_square_of_the_noise():
    shares = []
    for noise in NOISES:
        flow, x = polar(noise)
        step = (frame(x) @ geometry.raise_gradient(flow, x, gradient=gradient(x))[..., None])[..., 0]
        shares.append((step[:, 1] / step[:, 0]).abs().median())
        plain = (frame(x) @ gradient(x)[..., None])[..., 0]
        assert (plain[:, 1] / plain[:, 0]).abs().median() > 0.3
    assert shares[0] / shares[1] == pytest.approx(4, rel=0.1)
    assert shares[1] / shares[2] == pytest.approx(4, rel=0.1)


def test_a_finite_step_moves_the_radius_by_the_variance_of_the_noise():
    """In polar coordinates exactly, for steps of any length: the rate times the variance times the radial slope."""
    flow, x = polar(0.05)
    after = geometry.latent_step(flow, x, objective=logit, rate=0.3)
    radial = (frame(x)[:, 1] * gradient(x)).sum(1)
    torch.testing.assert_close(after.norm(dim=1), x.norm(dim=1) + 0.3 * 0.05**2 * radial)


def test_latent_ascent_stays_on_the_circle_and_the_attack_leaves_it():
    flow, x = polar(0.02)
    left = x[(x[:, 0] < -0.3) & (x[:, 1].abs() > 0.2)][:10]
    settings = {"confidence": 0.95, "optimizer": "gradient", "learning_rate": 0.02, "max_steps": 500}
    along = latent_ascent(flow, logit, left, 1, **settings)
    across = input_ascent(logit, left, target=1, **settings)
    assert along.found.all()
    assert across.found.all()
    off = [(answer.images.norm(dim=1) - 1).abs().median() for answer in (along, across)]
    assert off[0] < 0.1 * off[1]
