"""The helix: the distance that the experiment measures, against scipy's search."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from experiments.helix import curve, distance_to_curve
from tests.laws.registry import draw


def searched(point: np.ndarray) -> float:
    """Scipy's bounded search from every piece of the curve."""

    def far(t):
        return float(np.linalg.norm(point - np.array([np.sin(t), np.cos(t), t])))

    edges = np.linspace(-4, 4, 17)
    pieces = zip(edges[:-1], edges[1:], strict=True)
    return min(minimize_scalar(far, bounds=piece, method="bounded", options={"xatol": 1e-9}).fun for piece in pieces)


def test_the_distance_to_the_helix_is_what_scipy_finds():
    x = torch.cat([1.5 * draw(20, 3), torch.tensor([[0.0, 0.0, 1.0], [0.0, 1.0, 9.0]]).double()])
    assert distance_to_curve(x).tolist() == pytest.approx([searched(point) for point in x.numpy()], abs=1e-5)


def test_points_of_the_helix_are_on_it():
    t = torch.linspace(-4, 4, 33, dtype=torch.float64)
    assert distance_to_curve(curve(t)).max() < 1e-9
    assert distance_to_curve(curve(t) + torch.tensor([0.0, 0.0, 0.1])).min() > 0.01
