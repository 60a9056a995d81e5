"""A sheet of images: samples of a flow, examples of a class, neighbors of an answer."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.plotting.style import canvas
from counterflow.plotting.tiles import TileRow, as_pictures, draw_tiles, range_of, sheet_size

__all__ = ["plot_images", "plot_tangents"]


def plot_images(
    images: Num[Tensor, "n ..."],
    *,
    columns: int = 10,
    row_names: Sequence[str] = (),
    captions: Sequence[str] = (),
    title: str = "",
    subtitle: str = "",
    shape: tuple[int, ...] | None = None,
    limits: tuple[float, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw images in rows, from left to right.

    Args:
        images: ``(n, 1 or 3, height, width)``, ``(n, height, width)``, or ``(n, numbers)`` with ``shape``.
        columns: Images in a row.
        row_names: What stands left of each row.
        captions: What stands above each column.
        title: A title.
        subtitle: A line below it.
        shape: The shape of one image, where they come as vectors.
        limits: The values of black and white; ``None`` for 0 and 1, or the smallest and largest if they lie outside.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: These are no images.
        ArgumentError: There are none, or there is not one name for each row.

    Example:
        >>> import torch
        >>> len(plot_images(torch.rand(5, 1, 4, 4), columns=3).images)
        5
    """
    check_count(columns, "columns")
    if not len(images):
        raise ArgumentError("there must be at least one image to draw, got none.")
    pictures = as_pictures(images, shape)
    limits = range_of(pictures) if limits is None else limits
    parts = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    if row_names and len(row_names) != len(parts):
        raise ArgumentError(f"row_names must hold {len(parts)} names, one for each row, got {len(row_names)}.")
    names = row_names or [""] * len(parts)
    rows = [TileRow(name, part, limits) for name, part in zip(names, parts, strict=True)]
    with canvas(ax, size=sheet_size(len(parts), min(columns, len(pictures)), ratio=_ratio(pictures))) as drawn:
        draw_tiles(drawn, rows, title=title, subtitle=subtitle, captions=captions)
    return drawn


def plot_tangents(
    vectors: Num[Tensor, "k ..."],
    *,
    point: Num[Tensor, "..."] | None = None,
    shape: tuple[int, ...] | None = None,
    columns: int = 10,
    ax: Axes | None = None,
) -> Axes:
    """Draw tangent vectors of the data as images: where a step along each would make a pixel brighter or darker.

    Args:
        vectors: For one point, as :func:`counterflow.geometry.tangent_space` gives them: ``(k, *event)``.
        point: The image at which they touch, drawn first.
        shape: The shape of one image, where they come as vectors; colors are averaged.
        columns: Images in a row.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: These are no images.

    Example:
        >>> import torch
        >>> len(plot_tangents(torch.eye(4), point=torch.ones(4), shape=(2, 2)).images)
        5
    """
    check_count(columns, "columns")
    steps = as_pictures(vectors, shape)
    steps = steps.mean(axis=-1) if steps.ndim == 4 else steps
    largest = float(np.abs(steps).max(initial=1e-12))
    rows = [
        TileRow(f"{start + 1} – {min(start + columns, len(steps))}", part, (-largest, largest), "RdBu_r")
        for start in range(0, len(steps), columns)
        for part in [steps[start : start + columns]]
    ]
    if point is not None:
        picture = as_pictures(point[None], shape)
        rows.insert(0, TileRow("image", picture, range_of(picture)))
    with canvas(ax, size=sheet_size(len(rows), min(columns, len(steps)), ratio=_ratio(steps))) as drawn:
        subtitle = "Widest first. Red: brighter, blue: darker."
        draw_tiles(drawn, rows, title="Directions along the data", subtitle=subtitle)
    return drawn


def _ratio(pictures: np.ndarray) -> float:
    return pictures.shape[1] / pictures.shape[2]
