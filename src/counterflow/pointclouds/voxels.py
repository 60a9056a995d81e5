"""Clouds from voxels: points in the cells that make the surface of a body."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.clouds import ArrayLike, as_numbers
from counterflow.core.errors import DataError, ShapeError

__all__ = ["surface_voxels", "voxel_points"]


def surface_voxels(occupied: ArrayLike) -> Bool[Tensor, "*batch x y z"]:
    """Say which voxels make the surface: those occupied that have an empty one, or the edge, at one of six faces.

    Args:
        occupied: Where bodies are, ``(*batch, x, y, z)``: Booleans, or numbers of which all but 0 are occupied, so
            that the parts of a labeled body are one.

    Returns:
        The same places, ``True`` on the surface.

    Raises:
        ShapeError: There are fewer than three dimensions.
        DataError: These are no numbers.

    Example:
        >>> int(surface_voxels(torch.ones(3, 3, 3, dtype=torch.bool)).sum())  # all but the one in the middle
        26
    """
    occupied = _occupied(occupied)
    padded = torch.nn.functional.pad(occupied, (1, 1, 1, 1, 1, 1))
    inside = occupied.clone()
    for axis in (-3, -2, -1):
        for shift in (1, -1):
            inside &= padded.roll(shift, axis)[..., 1:-1, 1:-1, 1:-1]
    return occupied & ~inside


def voxel_points(
    occupied: ArrayLike, points: int = 1024, *, generator: torch.Generator | None = None
) -> Float[Tensor, "points 3"]:
    """Draw points evenly from the surface voxels of a body.

    Args:
        occupied: Where the body is, ``(x, y, z)``: Booleans, or numbers of which all but 0 are occupied.
        points: How many points.
        generator: Where the randomness comes from.

    Returns:
        The points in units of voxels: that of place (i, j, k) fills the cube from (i, j, k) to (i + 1, j + 1, k + 1).

    Raises:
        ShapeError: These are no voxels of one body.
        DataError: No voxel is occupied, or these are no numbers.

    Example:
        >>> body = torch.zeros(4, 4, 4, dtype=torch.bool)
        >>> body[1, 2, 3] = True
        >>> voxel_points(body, 5, generator=torch.Generator().manual_seed(0)).floor().unique(dim=0).tolist()
        [[1.0, 2.0, 3.0]]
    """
    check_count(points, "points")
    body = _occupied(occupied)
    if body.dim() != 3:
        raise ShapeError(f"occupied must have shape (x, y, z), got {tuple(body.shape)}. Pass one body at a time.")
    cells = surface_voxels(body).nonzero()
    if not len(cells):
        raise DataError("occupied must hold a body, got no occupied voxel. Leave such bodies out.")
    chosen = torch.randint(len(cells), (points,), generator=generator, device=cells.device)
    return cells[chosen] + torch.rand(points, 3, generator=generator, device=cells.device)


def _occupied(occupied: ArrayLike) -> Tensor:
    voxels = as_numbers(occupied, "occupied") != 0
    if voxels.dim() < 3:
        raise ShapeError(f"occupied must have shape (*batch, x, y, z), got {tuple(voxels.shape)}. Pass solid bodies.")
    return voxels
