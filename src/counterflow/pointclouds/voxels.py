"""Clouds from voxels: points in the cells that make the surface of a body."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError, ShapeError

__all__ = ["surface_voxels", "voxel_points"]


def surface_voxels(occupied: Bool[Tensor, "*batch x y z"]) -> Bool[Tensor, "*batch x y z"]:
    """Say which voxels make the surface: those occupied that have an empty one, or the edge, at one of six faces.

    Example:
        >>> int(surface_voxels(torch.ones(3, 3, 3, dtype=torch.bool)).sum())  # all but the one in the middle
        26
    """
    padded = torch.nn.functional.pad(occupied, (1, 1, 1, 1, 1, 1))
    inside = occupied.clone()
    for axis in (-3, -2, -1):
        for shift in (1, -1):
            inside &= padded.roll(shift, axis)[..., 1:-1, 1:-1, 1:-1]
    return occupied & ~inside


def voxel_points(
    occupied: Bool[Tensor, "..."], points: int = 1024, *, generator: torch.Generator | None = None
) -> Float[Tensor, "points 3"]:
    """Draw points evenly from the surface voxels of a body.

    Args:
        occupied: Where the body is.
        points: How many points.
        generator: Where the randomness comes from.

    Returns:
        The points in units of voxels: that of place (i, j, k) fills the cube from (i, j, k) to (i + 1, j + 1, k + 1).

    Raises:
        ShapeError: These are no voxels of one body.
        DataError: No voxel is occupied.

    Example:
        >>> body = torch.zeros(4, 4, 4, dtype=torch.bool)
        >>> body[1, 2, 3] = True
        >>> voxel_points(body, 5, generator=torch.Generator().manual_seed(0)).floor().unique(dim=0).tolist()
        [[1.0, 2.0, 3.0]]
    """
    check_count(points, "points")
    if occupied.dim() != 3:
        raise ShapeError(f"occupied must have shape (x, y, z), got {tuple(occupied.shape)}. Pass one body at a time.")
    cells = surface_voxels(occupied).nonzero()
    if not len(cells):
        raise DataError("occupied must hold a body, got no occupied voxel. Leave such bodies out.")
    chosen = torch.randint(len(cells), (points,), generator=generator, device=cells.device)
    return cells[chosen] + torch.rand(points, 3, generator=generator, device=cells.device)
