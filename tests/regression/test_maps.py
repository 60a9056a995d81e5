"""Maps and modes of learned laws: against the density itself, and the highest cells of a fine grid."""

import pytest
import torch

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import Modes
from counterflow.regression import ConditionalFlow, MixtureHead, density_map, fit_regression, likeliest_places
from counterflow.regression.maps import _joined

WIDE = ((-8.0, 8.0), (-8.0, 8.0))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def two_ways():
    """With chance .7 at (3 h, 0), else at (0, -3 h), for h in (1, 1.5)."""
    horizon = 1 + 0.5 * torch.rand(800, generator=seeded())
    right = torch.rand(800, generator=seeded(1)) < 0.7
    ways = torch.where(right[:, None], torch.tensor([3.0, 0.0]), torch.tensor([0.0, -3.0]))
    y = ways * horizon[:, None] + 0.4 * torch.randn(800, 2, generator=seeded(2))
    method = ConditionalFlow(head=MixtureHead(2, hidden=(16,)))
    settings = {"members": 1, "max_epochs": 40, "learning_rate": 2e-2, "progress": False}
    return fit_regression(torch.zeros(800, 1), y, method=method, horizon=horizon, generator=seeded(3), **settings)


def test_a_map_holds_the_density_and_its_mass_is_one(two_ways):
    found = density_map(two_ways, torch.zeros(1, 1), limits=WIDE, resolution=80, horizon=1.2)
    assert found.mass == pytest.approx(1, abs=5e-3)
    assert found.x[0] == found.y[0] == -7.9
    place = torch.tensor([[found.x[50], found.y[30]]])
    expected = two_ways.log_prob(place, torch.zeros(1, 1), horizon=1.2)
    torch.testing.assert_close(found.log_density[30, 50], expected[0])


def test_modes_are_the_highest_cells_of_a_fine_grid(two_ways):
    x, horizon = torch.zeros(2, 1), torch.tensor([1.1, 1.4])
    found = likeliest_places(two_ways, x, count=3, bandwidth=0.5, horizon=horizon, generator=seeded())
    for points, mass, time in zip(found.points, found.mass, horizon.tolist(), strict=True):
        ways = {(3 * time, 0.0): 0.7, (0.0, -3 * time): 0.3}
        for point, share, (middle, chance) in zip(points, mass, ways.items(), strict=False):
            low = [float(value) - 0.8 for value in middle]
            limits = tuple((value, value + 1.6) for value in low)
            grid = density_map(two_ways, torch.zeros(1, 1), limits=limits, resolution=200, horizon=time)
            row, column = divmod(int(grid.log_density.argmax()), 200)
            torch.testing.assert_close(point, torch.stack([grid.x[column], grid.y[row]]), atol=0.012, rtol=0)
            assert share.item() == pytest.approx(chance, abs=0.12)
        assert mass[:2].sum() > 0.97


def test_modes_that_met_are_one():
    nan = torch.nan
    points = torch.tensor(
        [[[0.0, 0.0], [5.0, 0.0], [0.1, 0.0], [4.9, 0.1]], [[1.0, 1.0], [nan, nan], [nan, nan], [nan, nan]]]
    )
    mass = torch.tensor([[0.35, 0.3, 0.2, 0.15], [1.0, 0.0, 0.0, 0.0]])
    found = _joined(Modes(points, mass), 0.5)
    torch.testing.assert_close(found.mass, torch.tensor([[0.55, 0.45, 0, 0], [1.0, 0, 0, 0]]))
    torch.testing.assert_close(found.points[0, :2], points[0, :2])
    assert found.points[0, 2:].isnan().all()


def test_bad_questions_are_refused(two_ways):
    with pytest.raises(ArgumentError, match="in order"):
        density_map(two_ways, torch.zeros(1, 1), limits=((1.0, 0.0), (0.0, 1.0)), horizon=1.0)
    with pytest.raises((ShapeError, TypeError), match="one row|Type-check"):
        density_map(two_ways, torch.zeros(2, 1), limits=WIDE, horizon=1.0)
    with pytest.raises(ArgumentError, match="above zero"):
        likeliest_places(two_ways, torch.zeros(1, 1), bandwidth=0.0, horizon=1.0)
    line = fit_regression(
        torch.zeros(50, 1), torch.randn(50, generator=seeded()), method="gaussian", members=1, max_epochs=1
    )
    with pytest.raises(ShapeError, match="two targets"):
        density_map(line, torch.zeros(1, 1), limits=WIDE)
