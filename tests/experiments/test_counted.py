"""The counting experiments: drawn pictures hold as many discs as they say, and the exact counter sees them."""

import numpy as np
import pytest
import torch

from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import AscentAnswer
from experiments.counted import GAP, MOST, RADIUS, SIDE, count_discs, counted_set, draw_discs
from experiments.counting import DensityNet, StridedCounter, measured
from experiments.crowd import tile_counts
from experiments.image_data import pixels


def test_the_exact_counter_is_right_on_every_drawn_picture():
    data = counted_set((300, 20, 20), seed=5)
    assert sorted(data.labels.unique().tolist()) == list(range(MOST + 1))
    assert torch.equal(count_discs(pixels(data.images)).long(), data.labels)
    assert (data.images.shape, data.images.dtype) == ((340, 1, SIDE, SIDE), torch.uint8)


def test_bright_pixels_are_those_of_the_discs():
    """Witness: the area of a circle. Touching or clipped discs would show less or more of it."""
    bright = pixels(torch.from_numpy(draw_discs(np.full(200, MOST), np.random.default_rng(1)))) > 0.5
    assert float(bright.double().sum() / 200 / MOST) == pytest.approx(np.pi * RADIUS**2, rel=0.15)


def discs(*places):
    rows, columns = np.indices((SIDE, SIDE))
    picture = np.full((SIDE, SIDE), 0.2)
    for y, x in places:
        picture[np.hypot(rows - y, columns - x) <= RADIUS] = 0.8
    return torch.from_numpy(picture)[None, None]


def test_the_exact_counter_can_object():
    """Discs that touch are one piece, specks and faint discs are none."""
    speckled = discs((5, 5))
    speckled[0, 0, 12, 3:15:4] = 1.0
    touching, apart = discs((8, 4), (8, 7)), discs((8, 4), (8, 4 + 2 * RADIUS + GAP))
    faint = discs((5, 5)) * 0.6
    assert [int(count_discs(x)) for x in (discs(), speckled, touching, apart, faint)] == [0, 1, 1, 2, 0]


def test_heads_are_counted_in_the_tile_in_which_they_are():
    """Two pictures: heads (x, y) in the corners of the first, also on its very edge; one head in the second."""
    heads = np.array([[0, 0], [128, 0], [127, 95.5], [31.9, 40], [32, 40], [70, 70]], dtype=np.float16)
    first, second = tile_counts(heads, np.array([5, 1])).reshape(2, 3, 4)
    assert first.tolist() == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]]
    assert second.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]


@pytest.mark.parametrize("make", [DensityNet, StridedCounter])
@pytest.mark.parametrize("shape", [(24, 24), (40, 60)])
def test_counters_give_one_number_for_each_picture_alone(make, shape):
    net, x = make().eval(), torch.rand(3, 1, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.allclose(net(x), torch.cat([net(one[None]) for one in x]), atol=1e-5)


class Bright:
    """A flow that is none: its density is not what is tested."""

    def log_prob(self, x):
        return -x.sum((1, 2, 3))


def test_what_witnesses_see_is_a_share_of_what_the_network_sees():
    """Two pictures with one disc more, which a witness of half sight calls half of one."""
    before, after = discs((5, 5)).repeat(2, 1, 1, 1), discs((5, 5), (5, 12)).repeat(2, 1, 1, 1)
    zeros, steps = torch.zeros(2, dtype=torch.float64), torch.tensor([3, 3])
    answer = AscentAnswer(before, after, before, after, *(zeros,) * 4, steps, (RowStatus.FOUND,) * 2, tuple(after))
    witnesses = {"network": count_discs, "half": lambda x: count_discs(x) / 2, "blind": lambda x: torch.ones(len(x))}
    found = measured(answer, Bright(), witnesses=witnesses)
    assert {name: said["followed"] for name, said in found["counts"].items()} == {"network": 1, "half": 0.5, "blind": 0}
    assert (found["found"], found["steps"], found["linf"]) == (1, 3, pytest.approx(0.6))
