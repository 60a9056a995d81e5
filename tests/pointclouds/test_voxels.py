"""Clouds from voxels."""

import itertools

import pytest
import torch

from counterflow.core.errors import DataError, ShapeError
from counterflow.pointclouds import surface_voxels, voxel_points


def body(seed=0):
    return torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(seed)) < 0.8


def test_the_surface_is_what_has_an_empty_neighbor():
    """Witness: a loop over voxels and their six faces."""
    occupied = body()
    expected = torch.zeros_like(occupied)
    for place in itertools.product(range(5), range(6), range(7)):
        for axis, step in itertools.product(range(3), (1, -1)):
            other = list(place)
            other[axis] += step
            outside = not all(0 <= k < size for k, size in zip(other, occupied.shape, strict=True))
            expected[place] |= occupied[place] & (outside or not occupied[tuple(other)])
    assert torch.equal(surface_voxels(occupied), expected)
    assert torch.equal(surface_voxels(torch.stack([occupied, occupied])), torch.stack([expected, expected]))


def test_points_fill_the_surface_evenly():
    occupied = body()
    points = voxel_points(occupied, 100_000, generator=torch.Generator().manual_seed(0))
    cells, counts = points.long().unique(dim=0, return_counts=True)
    assert torch.equal(cells, surface_voxels(occupied).nonzero())
    assert counts.double().std().item() == pytest.approx((100_000 / len(cells)) ** 0.5, rel=0.25)
    assert (points % 1).mean().item() == pytest.approx(0.5, abs=0.01)


def test_bad_bodies_are_named():
    with pytest.raises(DataError, match="no occupied voxel"):
        voxel_points(torch.zeros(2, 2, 2, dtype=torch.bool))
    with pytest.raises(ShapeError, match="one body at a time"):
        voxel_points(torch.zeros(3, 2, 2, 2, dtype=torch.bool))


def test_arrays_and_labels_are_bodies():
    """Whatever is not 0 is occupied: a cube of two labels has the surface of one body, 4^3 - 2^3 voxels."""
    labels = torch.ones(4, 4, 4, dtype=torch.long)
    labels[2:] = 2
    assert int(surface_voxels(labels).sum()) == 56
    assert torch.equal(surface_voxels(labels.numpy()), surface_voxels(labels > 0))
    drawn, again = (
        voxel_points(cube, 50, generator=torch.Generator().manual_seed(0)) for cube in (labels.numpy(), labels > 0)
    )
    assert torch.equal(drawn, again)


@pytest.mark.parametrize(("bad", "error"), [("body", DataError), (torch.ones(2, 2), ShapeError)])
def test_what_is_no_body_is_named(bad, error):
    with pytest.raises(error, match="occupied must"):
        surface_voxels(bad)
