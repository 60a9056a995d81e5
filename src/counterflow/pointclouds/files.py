"""Reading clouds and meshes from files: by hand, and without running anything that a file may hold."""

import io
import tokenize
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import DataError
from counterflow.pointclouds.lines import to_floats
from counterflow.pointclouds.mesh import Mesh
from counterflow.pointclouds.off import parse_off
from counterflow.pointclouds.ply import parse_ply

__all__ = ["read_cloud", "read_mesh"]

_DAMAGES = (
    ValueError,
    TypeError,
    KeyError,
    SyntaxError,
    RecursionError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
)
"""What numpy raises of arrays whose header is damaged, or announces more than there is."""


def read_mesh(path: str | Path) -> Mesh:
    r"""Read a surface from an OFF or a PLY file; polygons are cut into triangles.

    Args:
        path: A file ``.off`` or ``.ply`` (text, or binary in either order of bytes).

    Returns:
        The mesh; a file that holds points only has no triangles. Vertices are float64 where a PLY file says ``double``
        (or ``int``), else float32, as in OFF files, which do not say.

    Raises:
        DataError: The file is missing, of another kind or damaged; the sentence says where.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
        ...     read_mesh(Path(folder, "a.off")).vertices.shape
        torch.Size([3, 3])
    """
    path = Path(path)
    if path.suffix.lower() == ".off":
        return parse_off(path, _bytes(path).decode("utf-8", errors="replace"))
    if path.suffix.lower() == ".ply":
        return parse_ply(path, _bytes(path))
    raise DataError(f"'{path}' must be a file .off or .ply, got '{path.suffix}'. Convert it first.")


def read_cloud(path: str | Path) -> Float[Tensor, "points dimensions"]:
    """Read the points of a file: the array of a ``.npy`` file, or the vertices of an OFF or a PLY file.

    The vertices of a mesh crowd where it has small triangles; draw points by area with :func:`read_mesh` and
    :func:`sample_surface`.

    Args:
        path: A file ``.npy`` that holds numbers of shape (points, dimensions), ``.off`` or ``.ply``.

    Returns:
        The points: float32 where that holds every number of the file's type, else float64.

    Raises:
        DataError: The file is missing, of another kind or damaged, or its points are not finite.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.save(Path(folder, "a.npy"), np.zeros((5, 3)))
        ...     read_cloud(Path(folder, "a.npy")).shape
        torch.Size([5, 3])
    """
    path = Path(path)
    if path.suffix.lower() != ".npy":
        return read_mesh(path).vertices
    content = _bytes(path)
    try:
        values = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
    except _DAMAGES as error:
        raise DataError(f"'{path}' must hold an array of numbers, got a file that cannot be read: {error}.") from error
    if values.ndim != 2 or values.dtype.kind not in "fiu" or 0 in values.shape:
        raise DataError(
            f"'{path}' must hold numbers of shape (points, dimensions), got {values.dtype} of shape {values.shape}."
        )
    values = to_floats(values, values.dtype)
    if not np.isfinite(values).all():
        raise DataError(f"'{path}' must hold finite points, got NaN or infinity.")
    return torch.as_tensor(values)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"'{path}' must be a file that can be read: {error.strerror}.") from error
