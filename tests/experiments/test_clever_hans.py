"""Planted tags: they lie where they are said to, and the share of a map on them is computed right."""

import pytest
import torch

from experiments.clever_hans import ellipse
from experiments.image_data import ImageSet
from experiments.planted import Tag, attributions, mass_share, plant, saliency, tagged_set, wipe
from tests.laws.registry import draw

TAG = Tag(top=1, left=2, size=2, level=200)


@pytest.fixture
def pictures():
    images = torch.arange(4 * 6 * 5, dtype=torch.uint8).view(4, 1, 6, 5)
    return ImageSet("made_up", images, torch.tensor([0, 1, 1, 2]), torch.tensor([0, 0, 2, 2]), ("a", "b", "c"))


def test_the_tag_is_planted_where_said_and_nowhere_else(pictures):
    tagged = plant(pictures.images, TAG)
    expected = pictures.images.clone()
    for row in (1, 2):
        for column in (2, 3):
            expected[:, :, row, column] = 200
    assert torch.equal(tagged, expected)


def test_only_the_named_class_is_tagged_in_every_fold(pictures):
    tagged = tagged_set(pictures, TAG, 1)
    changed = (tagged.images != pictures.images).flatten(1).any(1)
    assert changed.tolist() == [False, True, True, False]
    assert tagged.name == "made_up_tagged"
    assert torch.equal(tagged.labels, pictures.labels)


def test_what_is_wiped_is_gray_and_the_rest_stays(pictures):
    kept = TAG.mask(6, 5)
    wiped = wipe(pictures.images, kept, 7)
    assert torch.equal(wiped[..., kept], pictures.images[..., kept])
    assert (wiped[..., ~kept] == 7).all()


def test_the_share_is_that_of_a_loop():
    maps, mask = draw(3, 6, 5), TAG.mask(6, 5)
    expected = []
    for map_ in maps.tolist():
        inside = sum(abs(map_[row][column]) for row in (1, 2) for column in (2, 3))
        expected.append(inside / sum(abs(number) for row in map_ for number in row))
    assert mass_share(maps, mask).tolist() == pytest.approx(expected)
    assert mass_share(maps[:, None].expand(-1, 3, -1, -1), mask).tolist() == pytest.approx(expected)


def test_a_flat_map_has_the_share_of_the_area_and_an_empty_one_has_none():
    mask = TAG.mask(6, 5)
    assert mass_share(torch.ones(1, 6, 5), mask).item() == pytest.approx(4 / 30)
    assert mass_share(torch.zeros(1, 6, 5), mask).isnan().all()


def test_the_ellipse_fills_its_share_and_has_the_symmetry_of_the_picture():
    mask = ellipse(200, 100, share=0.5)
    assert mask.double().mean().item() == pytest.approx(0.5, abs=0.005)
    assert torch.equal(mask, mask.flip(0))
    assert torch.equal(mask, mask.flip(1))
    assert not mask[0, 0]


def test_the_saliency_of_a_linear_model_is_its_weights():
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, 3))
    x, target = draw(2, 1, 6, 5).float(), torch.tensor([2, 0])
    expected = net[1].weight[target].abs().view(2, 1, 6, 5)
    assert torch.allclose(saliency(net, x, target), expected)


def test_captum_agrees_with_the_closed_forms_of_a_linear_model():
    pytest.importorskip("captum", reason="needs captum: pip install counterflow[experiments]")
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(30, 3))
    x, target, mean = draw(2, 1, 6, 5).float(), torch.tensor([2, 0]), draw(1, 1, 6, 5, seed=1).float()
    weight = net[1].weight[target].view(2, 1, 6, 5)
    found = attributions(net, x, target, mean=mean)
    assert torch.allclose(found["saliency"], weight.abs())
    assert torch.allclose(found["integrated_black"], weight * x, atol=1e-5)
    assert torch.allclose(found["integrated_mean"], weight * (x - mean), atol=1e-5)
