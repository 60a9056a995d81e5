"""Clouds of points in rows, seen from one side, and the way from one to another."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from counterflow.core.checks import check_count
from counterflow.core.clouds import CloudLike, as_clouds, present_points
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.plotting.style import ANSWER, INK, canvas, headline, plain_text
from counterflow.plotting.tiles import sheet_size

__all__ = ["plot_clouds", "plot_interpolation"]

_DEPTHS = LinearSegmentedColormap.from_list("depth", ["#bcd9ec", ANSWER, "#06283d"])  # far, middle, near
_ROOM, _FEWEST_COLUMNS, _LETTERS_A_COLUMN = 0.92, 4, 11
_VIEW = (-55.0, 25.0)


def plot_clouds(
    clouds: CloudLike,
    *,
    columns: int = 8,
    row_names: Sequence[str] = (),
    captions: Sequence[str] = (),
    title: str = "",
    subtitle: str = "",
    view: tuple[float, float] = _VIEW,
    size: float = 3.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw clouds in rows, from left to right, all at one scale; points in space are the darker the nearer they are.

    Args:
        clouds: Clouds in the plane or in space, the third coordinate upright.
        columns: Clouds in a row.
        row_names: What stands left of each row.
        captions: What stands above each column.
        title: A title.
        subtitle: A line below it.
        view: From where one looks at space: degrees around the upright axis, and above the horizon.
        size: Of a point, square points of print.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: These are no clouds in two or three dimensions.
        ArgumentError: There is not one name for each row, or not one caption for each column.

    Example:
        >>> from counterflow.datasets import solids
        >>> ax = plot_clouds(solids(6, 200).clouds, columns=3, row_names=["some", "more"])
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['some', 'more']
    """
    seen, depth = _projected(clouds, view)
    return _sheet(
        seen,
        depth,
        columns=columns,
        row_names=row_names,
        captions=captions,
        texts=(title, subtitle),
        size=size,
        ax=ax,
    )


def plot_interpolation(
    way: CloudLike,
    *,
    title: str = "",
    subtitle: str = "",
    view: tuple[float, float] = _VIEW,
    size: float = 3.0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the shapes on the way from one to another; a point's color is its place from below in the first.

    Args:
        way: As :meth:`~counterflow.pointclouds.PointFlow.interpolate` gives it: equal places belong together.
        title: A title.
        subtitle: A line below it.
        view: As in :func:`plot_clouds`.
        size: Of a point, square points of print.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: These are no clouds in two or three dimensions.

    Example:
        >>> import torch
        >>> ax = plot_interpolation(torch.linspace(0, 1, 5)[:, None, None] * torch.randn(1, 30, 3), title="Growth")
        >>> len(ax.collections)
        5
    """
    clouds = as_clouds(way, name="way")
    seen, _ = _projected(clouds, view)
    height = clouds[0, :, -1].detach().cpu().argsort().argsort().double().numpy()
    color = np.broadcast_to(height, seen.shape[:2])
    steps = len(seen)
    shares = [f"{share:.2g}" for share in np.linspace(0, 1, steps)]
    return _sheet(
        seen,
        color,
        columns=steps,
        row_names=(),
        captions=shares,
        texts=(title, subtitle),
        size=size,
        ax=ax,
        colors="viridis",
    )


def _projected(clouds: CloudLike, view: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Where points are seen, and how near they are: (clouds, points, 2) and (clouds, points)."""
    x = as_clouds(clouds)
    if x.shape[2] not in (2, 3):
        raise ShapeError(
            f"clouds must hold points in 2 or 3 dimensions to be drawn, got {x.shape[2]}. Pass x[..., :3]."
        )
    points = x.detach().cpu().double().numpy()
    there = present_points(x).cpu().numpy()
    middle = (points[there].min(0) + points[there].max(0)) / 2
    points = points - middle
    if points.shape[2] == 2:
        return points, np.zeros(points.shape[:2])
    around, above = (math.radians(angle) for angle in view)
    right = np.array([-math.sin(around), math.cos(around), 0.0])
    toward = np.array([math.cos(above) * math.cos(around), math.cos(above) * math.sin(around), math.sin(above)])
    up = np.cross(toward, right)
    return np.stack([points @ right, points @ up], -1), points @ toward


def _check_texts(texts: Sequence[str], count: int, name: str, *, each: str) -> None:
    """Check that there is none, or one for each row or column."""
    if texts and len(texts) != count:
        raise ArgumentError(
            f"{name} must hold {count} texts, one for each {each}, got {len(texts)}. Pass all of them or none."
        )


def _sheet(
    seen: np.ndarray,
    color: np.ndarray,
    *,
    columns: int,
    row_names: Sequence[str],
    captions: Sequence[str],
    texts: tuple[str, str],
    size: float,
    ax: Axes | None,
    colors: LinearSegmentedColormap | str = _DEPTHS,
) -> Axes:
    check_count(columns, "columns")
    columns, rows = min(columns, len(seen)), -(-len(seen) // columns)
    _check_texts(row_names, rows, "row_names", each="row")
    _check_texts(captions, columns, "captions", each="column")
    reach = 2 * np.nanmax(np.abs(seen)) / _ROOM or 1.0  # all points may be the same
    low, high = np.nanmin(color), np.nanmax(color)
    limits = {"vmin": low, "vmax": high} if low < high else {"vmin": low - 1, "vmax": low + 1}
    with canvas(ax, size=sheet_size(rows, columns, cell=1.3)) as drawn:
        for place, (points, shade) in enumerate(zip(seen, color, strict=True)):
            row, column = divmod(place, columns)
            order = np.argsort(shade)[: int((~np.isnan(shade)).sum())]  # the near ones last; NaN are sorted behind
            x, y = (points / reach)[order].T
            drawn.scatter(
                column + 0.5 + x, row + 0.5 - y, s=size, c=shade[order], cmap=colors, linewidths=0, **limits
            )  # fmt: skip
        for column, text in enumerate(captions):
            drawn.text(column + 0.5, 0, plain_text(text), ha="center", va="bottom", fontsize=8, color=INK)
        drawn.set(
            xlim=(0, max(columns, _FEWEST_COLUMNS)), ylim=(rows, -0.1 * bool(captions)), aspect="equal", xticks=[]
        )
        drawn.set_yticks(
            [row + 0.5 for row in range(len(row_names))], [plain_text(name) for name in row_names], color=INK
        )
        drawn.tick_params(length=0, labelsize=9)
        drawn.spines[:].set_visible(False)
        headline(drawn, texts[0], subtitle=texts[1], width=_LETTERS_A_COLUMN * max(columns, _FEWEST_COLUMNS))
    return drawn
