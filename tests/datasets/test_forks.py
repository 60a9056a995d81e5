"""Road forks: the law against torch's mixture, quadrature, its own draws and an integration of the walk."""

import math
from dataclasses import replace

import pytest
import torch
from scipy import integrate
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.datasets import Forks, forks


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def scenes() -> Forks:
    return forks(200, generator=seeded())


def test_the_density_is_that_of_torchs_mixture(scenes):
    spread = scenes.axes @ scenes.axes.mT
    law = MixtureSameFamily(Categorical(scenes.weights), MultivariateNormal(scenes.means, spread))
    y = law.sample()
    torch.testing.assert_close(scenes.log_prob(y), law.log_prob(y))
    torch.testing.assert_close(scenes.log_prob(y[:, None])[:, 0], law.log_prob(y))


def test_the_mass_is_one(scenes):
    line = torch.linspace(-14, 14, 281, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line).expand(5, -1, 2)
    torch.testing.assert_close(scenes[:5].log_prob(grid).exp().sum(1) * 0.1**2, torch.ones(5, dtype=torch.float64))


def test_draws_take_the_exits_by_their_weights_and_spread_by_their_axes(scenes):
    late = scenes.at(6.0)
    draws = late.sample(4000, generator=seeded(1))
    mean = (late.weights[..., None] * late.means).sum(1)
    apart = late.means - mean[:, None]
    spread = (late.weights[..., None, None] * (late.axes @ late.axes.mT + apart[..., None] * apart[..., None, :])).sum(
        1
    )
    error = 5 * spread.diagonal(dim1=1, dim2=2).sqrt() / 4000**0.5
    assert ((draws.mean(1) - mean).abs() < error).all()
    found = torch.stack([row.T.cov() for row in draws])
    assert ((found - spread).abs() < 0.15 * spread.diagonal(dim1=1, dim2=2).sum(1)[:, None, None]).all()


def test_where_no_exit_is_nobody_goes(scenes):
    assert (scenes.weights[~scenes.present] == 0).all()
    assert (scenes.weights[scenes.present] > 0).all()
    assert sorted(scenes.present.sum(1).unique().tolist()) == [1, 2, 3, 4]
    expected = scenes.brightness * (1.5 * (scenes.angles - 4 * scenes.turn[:, None]).cos()).exp()
    torch.testing.assert_close(scenes.weights, expected / expected.sum(1, keepdim=True))


def test_before_the_fork_all_exits_have_one_law(scenes):
    early = scenes.at(1.0)
    torch.testing.assert_close(early.means[..., 0], early.speed[:, None].expand(-1, 4))
    assert (early.means[..., 1] == 0).all()


def test_the_history_is_the_integral_of_the_walk(scenes):
    history = scenes.history(4)
    for i in range(3):
        speed, turn = scenes.speed[i].item(), scenes.turn[i].item()
        for step, time in enumerate((-1.2, -0.8, -0.4, 0.0)):
            x = integrate.quad(lambda t, turn=turn: math.cos(turn * t), 0, time)[0]
            y = integrate.quad(lambda t, turn=turn: math.sin(turn * t), 0, time)[0]
            assert history[i, :, step].tolist() == pytest.approx([speed * x, speed * y], abs=1e-9)


def test_a_map_is_bright_where_its_roads_are(scenes):
    raster = scenes.raster(64)[:, 0]
    for i in range(20):
        for k in range(4):
            place = scenes.distance[i] * torch.tensor([1.0, 0.0]) + 4 * torch.stack(
                [scenes.angles[i, k].cos(), scenes.angles[i, k].sin()]
            )
            row, column = ((place[1] + 8) * 4).int(), ((place[0] + 6) * 4).int()
            bright = scenes.brightness[i, k].item()
            assert raster[i, row, column].item() == pytest.approx(bright, abs=0.05)


@pytest.mark.parametrize("name", ["angles", "distance", "brightness"])
def test_the_map_shows_small_changes_of_the_scene(scenes, name):
    moved = replace(scenes, **{name: getattr(scenes, name) * 1.03})
    assert ((moved.raster() - scenes.raster()).abs().flatten(1).amax(1) > 5e-3).all()


def test_bad_questions_are_refused(scenes):
    with pytest.raises(ArgumentError, match="above zero"):
        forks(3, horizon=(0.0, 1.0))
    with pytest.raises((ShapeError, TypeError), match="200|Type-check"):
        scenes.log_prob(torch.zeros(3, 2))
