"""Pedestrians' windows and the densities measured on them: against walks made by hand, torch and quadrature."""

import json

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from counterflow.regression import fit_regression
from experiments import futures_pedestrians
from experiments.futures_measures import ConstantPace, judge_walks
from experiments.futures_pedestrians import AHEAD, PERIOD, Windows, load_windows, log_density, paths, residual_rows


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def walks(count: int) -> Windows:
    """People of paces from 0.5 to 1.5 m/s that drift aside."""
    pace = 0.5 + torch.rand(count, generator=seeded()).double()
    times = PERIOD * torch.arange(-7, AHEAD + 1).double()
    drift = 0.2 * torch.randn(count, 1, generator=seeded(1)).double() * times.clamp(min=0)
    uneven = 0.1 * torch.randn(count, 1, generator=seeded(2)).double() * times.clamp(min=0)
    places = torch.stack([pace[:, None] * times + uneven, drift], 2)
    return Windows(places[:, :8], places[:, 8:], pace)


@pytest.fixture(scope="module")
def law():
    rows = residual_rows(walks(60), horizons=[1, 6, 12], each=2, generator=seeded())
    return fit_regression(
        rows.x.flatten(1), rows.y, method="gaussian", horizon=rows.horizon, members=1, max_epochs=20, generator=seeded()
    )


class _Flat:
    """The law, for windows whose series it reads flat."""

    def __init__(self, law):
        self.law = law

    def log_prob(self, y, x, *, horizon):
        return self.law.log_prob(y, x.flatten(1), horizon=horizon)

    def draws_alike(self, count, x, *, horizon, seed):
        return self.law.draws_alike(count, x.flatten(1), horizon=horizon, seed=seed)


def test_windows_are_the_runs_of_twenty_frames_turned_to_their_heading(tmp_path, monkeypatch):
    def walk(person, frames, step):
        return [[10 * t, person, 3 + step[0] * t, 4 + step[1] * t] for t in frames]

    gap = [*range(12), *range(13, 33)]
    table = np.array(walk(1, range(22), (0.3, 0.4)) + walk(2, gap, (0.0, -0.5)) + walk(3, range(25), (0, 0)))
    (tmp_path / "trajectories").mkdir()
    split = {"hotel": {"train": ["one"], "test": ["one"]}}
    (tmp_path / "trajectories/eth_ucy_splits.json").write_text(json.dumps(split))
    np.savez(tmp_path / "trajectories/eth_ucy.npz", one=table)
    monkeypatch.setattr(futures_pedestrians, "all_data", lambda: tmp_path)
    found = load_windows.__wrapped__("hotel", "test")
    assert len(found.seen) == 3 + 1 + 6  # 22 frames hold three runs, the gap leaves one, 25 frames hold six
    torch.testing.assert_close(found.pace[:4], torch.full((4,), 0.5 / PERIOD).double())
    torch.testing.assert_close(found.ahead, found.going_on)
    torch.testing.assert_close(found.seen[0, :, 0], 0.5 * torch.arange(-7, 1).double())
    assert (found.pace[4:] == 0).all()


def test_the_density_of_a_place_has_mass_one(law):
    line = torch.arange(-12, 12, 0.5).double()
    grid = torch.cartesian_prod(line, line)
    one = Windows(*(part[:1].expand(len(grid), *part.shape[1:]) for part in walks(3)))
    ahead = one.going_on.clone()
    ahead[:, 11] = grid
    density = log_density(_Flat(law), one._replace(ahead=ahead))[:, 11].exp()
    assert density.sum().item() * 0.25 == pytest.approx(1, abs=0.01)


def test_walks_follow_one_latent_through_all_steps(law):
    windows = walks(5)
    drawn = paths(_Flat(law), windows, count=20)
    assert drawn.shape == (5, 20, AHEAD, 2)
    residual = (drawn - windows.going_on[:, None]) / (PERIOD * torch.arange(1, 13).double()[:, None])
    order = residual[..., 0].argsort(1)
    assert (order == order[..., :1]).double().mean() > 0.6  # who is ahead of the others stays so; at random 1 in 20


def test_constant_pace_is_torchs_normal_law():
    train, test = walks(400), walks(7)
    train = train._replace(ahead=train.ahead + 0.1 * torch.randn(400, AHEAD, 2, generator=seeded(4)).double())
    pace = ConstantPace(train)
    step = 8
    away = (train.ahead - train.going_on)[:, step]
    away = torch.cat([away, away * torch.tensor([1.0, -1.0])])
    normal = MultivariateNormal(away.mean(0), away.T.cov())
    expected = normal.log_prob((test.ahead - test.going_on)[:, step])
    torch.testing.assert_close(pace.log_density(test)[:, step], expected)
    drawn = pace.paths(test, count=4000)[0, :, step] - test.going_on[0, step]
    torch.testing.assert_close(drawn.T.cov(), normal.covariance_matrix, rtol=0.1, atol=0.02)
    found = judge_walks(None, test)
    assert found["fde"] == pytest.approx((test.ahead - test.going_on)[:, -1].norm(dim=1).mean().item())
