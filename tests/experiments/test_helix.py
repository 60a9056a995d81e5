"""The helix: the distance that the experiment measures, against scipy's search."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from experiments.helix import cut_last_step, rises_along_curve
from experiments.helix_models import curve, distance_to_curve
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


def test_the_last_step_is_cut_where_the_probability_is_reached():
    """Along straight steps the place has a closed form; a step that never gets there is left whole."""
    start, end = torch.zeros(3, 2).double(), torch.tensor([[4.0, 0.0], [8.0, 1.0], [1.0, 0.0]]).double()
    cut = cut_last_step(start, end, lambda x: torch.sigmoid(x[:, 0]))
    share = np.log(9) / np.array([4.0, 8.0])
    np.testing.assert_allclose(cut[:2].numpy(), end[:2].numpy() * share[:, None], rtol=1e-9)
    assert torch.equal(cut[2], end[2])


def test_whether_a_logit_rises_along_the_curve():
    """One that follows the height always does; a sine does only as far as its first crest, at pi / 2."""
    x = curve(torch.tensor([-3.0, -1.0, 1.0, 3.0]))
    assert rises_along_curve(lambda x: x[:, 2:], x).all()
    assert rises_along_curve(lambda x: x[:, 2:].sin(), x).tolist() == [False, True, True, False]
