"""The measures of the plug-in's experiment, on points where the answer is known."""

import math

import pytest
import torch

from experiments.plugin_data import SETS, Part, PluginSet
from experiments.plugin_measures import _distance, _ink, _slant, nearest


def test_parts_have_no_point_in_common():
    data = SETS["digits"]()
    sizes = [len(part.x) for part in (data.learn, data.judge, data.test)]
    assert sizes == [698, 698, 400]
    rows = torch.cat([data.learn.x, data.judge.x, data.test.x]).flatten(1)
    assert len(rows.unique(dim=0)) == len(rows)


@pytest.mark.parametrize("lean", [-0.5, 0.0, 0.8])
def test_slant_is_the_shear_of_a_stroke(lean):
    side = torch.linspace(-1, 1, 101)
    y, x = torch.meshgrid(side, side, indexing="ij")
    stroke = torch.exp(-(((x - lean * y) / 0.05) ** 2)) * (y.abs() < 0.8)
    assert _slant(stroke[None, None]).item() == pytest.approx(lean, abs=1e-3)
    assert _ink(2 * stroke[None, None]).item() == pytest.approx(2 * stroke.mean().item())


def test_distances_of_images_and_of_clouds():
    a, b = torch.zeros(1, 1, 2, 2), torch.tensor([[[[3.0, 0.0], [0.0, 4.0]]]])
    assert _distance(a, b).item() == pytest.approx(math.sqrt(25 / 4))
    near, far = torch.tensor([[[0.0, 0, 0], [1, 0, 0]]]), torch.tensor([[[0.0, 0, 0], [4, 0, 0]]])
    assert _distance(near, far).item() == pytest.approx(((0 + 3) / 2 + (0 + 1) / 2) / 2)


def test_the_nearest_real_point_has_the_new_attribute():
    learn = Part(torch.tensor([0.0, 1.0, 2.0, 9.0]).view(4, 1, 1, 1), {"age": torch.tensor([20.0, 41.0, 39.0, 40.0])})
    data = PluginSet("made", learn, learn, learn)
    part = Part(torch.zeros(2, 1, 1, 1), {"age": torch.tensor([60.0, 60.0])})
    assert nearest(part, data, "age", {"age": torch.tensor([40.0, 20.0])}).flatten().tolist() == [1.0, 0.0]
