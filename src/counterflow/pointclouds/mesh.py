"""Triangles in space, and points drawn from their surface."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError

__all__ = ["Mesh", "fan", "sample_surface"]


class Mesh(NamedTuple):
    """A surface made of triangles.

    Args:
        vertices: Corners.
        faces: For each triangle the places of its corners; may be empty.
    """

    vertices: Float[Tensor, "corners 3"]
    faces: Int[Tensor, "triangles 3"]


def sample_surface(
    mesh: Mesh, points: int = 1024, *, generator: torch.Generator | None = None
) -> Float[Tensor, "points 3"]:
    """Draw points evenly by area from the surface of a mesh.

    Args:
        mesh: The mesh; triangles without area are never chosen.
        points: How many points.
        generator: Where the randomness comes from.

    Returns:
        The points, in the units of the vertices.

    Raises:
        DataError: The mesh has no triangle of any area.

    Example:
        >>> corner = Mesh(torch.eye(3), torch.tensor([[0, 1, 2]]))
        >>> points = sample_surface(corner, 4, generator=torch.Generator().manual_seed(0))
        >>> points.sum(1).round(decimals=4).tolist()  # the plane x + y + z = 1
        [1.0, 1.0, 1.0, 1.0]
    """
    check_count(points, "points")
    a, b, c = mesh.vertices[mesh.faces].unbind(1)
    areas = torch.linalg.cross(b - a, c - a).norm(dim=1)
    total = areas.double().cumsum(0)
    if not len(total) or not total[-1] > 0:
        raise DataError(
            f"mesh must have triangles with an area, got {len(areas)} of which none has one. "
            "A file that holds points only is read with read_cloud."
        )
    places = torch.rand(points, generator=generator, dtype=torch.float64) * total[-1]
    chosen = torch.searchsorted(total, places.to(total.device), right=True).clamp(max=len(total) - 1)
    root, share = torch.rand(2, points, 1, generator=generator, dtype=a.dtype)
    root = root.sqrt()
    return (1 - root) * a[chosen] + root * (1 - share) * b[chosen] + root * share * c[chosen]


def fan(polygon: list[int]) -> list[list[int]]:
    """Cut a polygon into triangles around its first corner.

    Example:
        >>> fan([0, 1, 2, 3])
        [[0, 1, 2], [0, 2, 3]]
    """
    return [[polygon[0], b, c] for b, c in zip(polygon[1:], polygon[2:], strict=False)]
