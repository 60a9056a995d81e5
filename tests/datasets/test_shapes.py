"""Generated shapes: their points lie where they should, and as often as their area says."""

import math

import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.datasets import SOLIDS, ellipses, solids


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def family(name, n=40, points=4000):
    return solids(n, points, families=[name], generator=seeded()).clouds.double()


def test_ellipses_are_filled_evenly():
    """Witness: the area of an even ellipse by its covariance, pi a b = 4 pi sqrt(det)."""
    drawn = ellipses(50, 20_000, generator=seeded())
    determinants = torch.stack([cloud.T.cov().det() for cloud in drawn.clouds.double()])
    assert torch.allclose((4 * math.pi * determinants.sqrt()).log(), drawn.log_area.double(), atol=0.05)


def test_boxes_have_points_by_area():
    """Witness: the largest coordinates are the half edges; each pair of sides has its share of the area."""
    x = family("box")
    edges = x.abs().amax(1, keepdim=True)
    on_side = (x.abs() / edges > 0.9999).double()
    areas = edges.prod(-1, keepdim=True) / edges
    assert bool((on_side.sum(2) >= 1).all())
    assert torch.allclose(on_side.mean(1, keepdim=True), areas / areas.sum(-1, keepdim=True), atol=0.04)


def test_cylinders_have_points_by_area():
    x = family("cylinder")
    radius, height = x[..., :2].norm(dim=2).amax(1), x[..., 2].abs().amax(1)
    mantle = (x[..., :2].norm(dim=2) / radius[:, None] > 0.9999).double().mean(1)
    assert torch.allclose(mantle, 2 * height / (2 * height + radius), atol=0.04)
    lid = x[0][x[0, :, 2] > height[0] * 0.9999, :2].norm(dim=1) / radius[0]
    assert lid.square().mean().item() == pytest.approx(0.5, abs=0.05)  # even on a disc


def test_cones_are_straight_and_even():
    x = family("cone")
    height, radius = x[..., 2].abs().amax(1, keepdim=True), x[..., :2].norm(dim=2).amax(1, keepdim=True)
    reach = x[..., :2].norm(dim=2) / radius
    base = x[..., 2] < -0.9999 * height
    assert torch.allclose(x[..., 2], torch.where(base, -height, height * (1 - 2 * reach)), atol=0.02)
    slant = (radius.square() + 4 * height.square()).sqrt()
    assert torch.allclose(1 - base.double().mean(1, keepdim=True), slant / (slant + radius), atol=0.04)


def test_tori_have_more_points_outside():
    """Witness: the mean distance from the axis by area, R + r^2 / (2 R)."""
    x = family("torus")
    distance = x[..., :2].norm(dim=2)
    large, small = (distance.amax(1) + distance.amin(1)) / 2, (distance.amax(1) - distance.amin(1)) / 2
    assert torch.allclose(distance.mean(1), large + small.square() / (2 * large), atol=0.01)
    assert torch.allclose((distance - large[:, None]).square() + x[..., 2].square(), small[:, None].square(), atol=2e-3)


def test_all_families_come_and_are_named():
    drawn = solids(200, 8, generator=seeded())
    assert drawn.names == tuple(SOLIDS)
    assert drawn.family.bincount().tolist() == pytest.approx([50] * 4, abs=20)
    assert torch.equal(drawn.clouds, solids(200, 8, generator=seeded()).clouds)


def test_bad_arguments_are_named():
    with pytest.raises(ArgumentError, match="families must be among box, cylinder, cone, torus, got"):
        solids(3, families=["sphere"])
    with pytest.raises(ArgumentError, match="points must be"):
        ellipses(3, 0)
