"""Maps of densities: what is drawn is where it belongs."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from counterflow.core.errors import ShapeError
from counterflow.plotting import plot_density_map
from counterflow.regression import DensityMap


@pytest.fixture
def normal():
    x, y = torch.linspace(-4, 6, 101), torch.linspace(-5, 5, 101)
    return DensityMap(x, y, -0.5 * ((x - 1) ** 2 + y[:, None] ** 2) - math.log(2 * math.pi))


def test_lines_are_where_a_normal_law_holds_the_shares(normal):
    ax = plot_density_map(normal, title="a normal law")
    radii = [
        np.hypot(*(segment - [1, 0]).T).mean()
        for lines in ax.collections
        for segment in lines.get_paths()[0].to_polygons() + lines.get_paths()[-1].to_polygons()
    ]
    assert max(radii) == pytest.approx((-2 * math.log(0.05)) ** 0.5, abs=0.06)
    assert min(radii) == pytest.approx((-2 * math.log(0.5)) ** 0.5, abs=0.06)
    plt.close(ax.figure)


def test_places_and_roads_lie_in_the_coordinates_of_the_map(normal):
    roads = torch.zeros(16, 16)
    past, came, extent = torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), torch.tensor([2.0, 1.0]), (-6.0, 10.0, -8.0, 8.0)
    ax = plot_density_map(normal, truth=came, draws=torch.zeros(7, 2), path=past, roads=roads, extent=extent)
    below, heat = ax.images
    assert tuple(below.get_extent()) == extent
    assert tuple(heat.get_extent()) == pytest.approx((-4.05, 6.05, -5.05, 5.05))
    row, column = np.unravel_index(np.asarray(heat.get_array())[..., 3].argmax(), (101, 101))
    assert (normal.x[column].item(), normal.y[row].item()) == pytest.approx((1, 0), abs=1e-6)
    assert [line.get_xydata().tolist() for line in ax.lines] == [past.tolist(), [[0, 0]], [[2, 1]]]
    plt.close(ax.figure)


def test_what_cannot_be_drawn_is_refused(normal):
    with pytest.raises(ShapeError, match="extent"):
        plot_density_map(normal, roads=torch.zeros(4, 4))
    with pytest.raises(ShapeError, match="above zero"):
        plot_density_map(normal._replace(log_density=torch.full((101, 101), -torch.inf)))
