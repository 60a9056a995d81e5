"""Images in rows and columns on one pair of axes."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Num
from matplotlib.axes import Axes
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.plotting.style import INK, MUTED, headline, plain_text

__all__ = ["TileRow", "as_pictures", "draw_tiles", "range_of", "sheet_size"]

_GAP = 0.05
_FEWEST_COLUMNS, _LETTERS_A_COLUMN = 5, 11  # room for a title over few images


class TileRow(NamedTuple):
    """One row of images that share their colors.

    Args:
        name: What stands at its left.
        pictures: As :func:`as_pictures` gives them.
        limits: The values of the darkest and the brightest color.
        colors: The color map of images of one channel.
    """

    name: str
    pictures: np.ndarray
    limits: tuple[float, float]
    colors: str = "gray"


def as_pictures(images: Num[Tensor, "n ..."], shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Bring images into the form that is drawn: ``(n, height, width)``, or ``(n, height, width, 3)`` in color.

    Args:
        images: ``(n, channels, height, width)`` of 1 or 3 channels, or ``(n, height, width)``.
        shape: The shape of one image, where they come as vectors.

    Raises:
        ShapeError: They are no images.

    Example:
        >>> import torch
        >>> as_pictures(torch.zeros(5, 12), shape=(3, 2, 2)).shape
        (5, 2, 2, 3)
    """
    values = images.detach().cpu().double().numpy()
    if shape is not None:
        if int(np.prod(shape)) != int(np.prod(values.shape[1:])):
            raise ShapeError(f"shape must have {np.prod(values.shape[1:])} numbers as the images have, got {shape}.")
        values = values.reshape(len(values), *shape)
    if values.ndim == 4 and values.shape[1] in (1, 3):
        values = np.moveaxis(values, 1, -1)
        return values[..., 0] if values.shape[-1] == 1 else values
    if values.ndim != 3:
        raise ShapeError(
            f"images must have shape (n, 1 or 3, height, width) or (n, height, width), got {tuple(values.shape)}. "
            "For vectors say shape=(height, width)."
        )
    return values


def range_of(*pictures: np.ndarray) -> tuple[float, float]:
    """The values of black and white: 0 and 1, unless a number lies far outside.

    Example:
        >>> range_of(np.array([0.1, 1.02])), range_of(np.array([0.0, 16.0]))
        ((0.0, 1.0), (0.0, 16.0))
    """
    low = min(float(part.min(initial=0.0)) for part in pictures)
    high = max(float(part.max(initial=0.0)) for part in pictures)
    return (0.0, 1.0) if low > -0.25 and 0.2 < high < 1.25 else (low, high if high > low else low + 1.0)


def sheet_size(rows: int, columns: int, *, cell: float = 1.0, ratio: float = 1.0) -> tuple[float, float]:
    """Inches of a figure of so many tiles, with room for a title and for names at the left.

    Args:
        rows: Of tiles.
        columns: Of tiles.
        cell: Width of a tile, inches.
        ratio: Its height over its width.

    Example:
        >>> sheet_size(3, 8)
        (9.2, 4.2)
    """
    return 1.2 + cell * max(columns, _FEWEST_COLUMNS), 1.2 + cell * ratio * rows


def draw_tiles(
    ax: Axes,
    rows: Sequence[TileRow],
    *,
    title: str,
    subtitle: str = "",
    captions: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> None:
    """Draw rows of images, one below the other, under a title.

    Args:
        ax: Where; a tile is one unit wide.
        rows: The images; the longest row makes the width.
        title: What is seen.
        subtitle: Facts, in a line below it.
        captions: What stands above each column.
        notes: What stands below each column.
    """
    height, width = rows[0].pictures.shape[1:3]
    ratio, columns = height / width, max(_FEWEST_COLUMNS, *(len(row.pictures) for row in rows))
    for place, row in enumerate(rows):
        _draw_row(ax, row, place * ratio, ratio)
    _write(ax, captions, 0.0, color=INK, va="bottom")
    _write(ax, notes, ratio * len(rows), color=MUTED, va="top")
    top, bottom = -0.16 * _lines(captions), ratio * len(rows) + 0.16 * _lines(notes)
    ax.set(xlim=(0, columns), ylim=(bottom, top), aspect="equal", xticks=[])
    middles = [(place + 0.5) * ratio for place in range(len(rows))]
    ax.set_yticks(middles, [plain_text(row.name) for row in rows], color=INK, fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    headline(ax, title, subtitle=subtitle, width=_LETTERS_A_COLUMN * columns)


def _draw_row(ax: Axes, row: TileRow, top: float, ratio: float) -> None:
    low, high = row.limits
    for column, picture in enumerate(row.pictures):
        box = (column + _GAP, column + 1 - _GAP, top + ratio - _GAP, top + _GAP)
        shown = ((picture - low) / (high - low)).clip(0.0, 1.0)
        ax.imshow(shown, extent=box, cmap=row.colors, vmin=0, vmax=1, interpolation="nearest")


def _write(ax: Axes, texts: Sequence[str], height: float, *, color: str, va: Literal["top", "bottom"]) -> None:
    for column, text in enumerate(texts):
        ax.text(column + 0.5, height, plain_text(text), ha="center", va=va, fontsize=8, color=color, linespacing=1.1)


def _lines(texts: Sequence[str]) -> int:
    return max((text.count("\n") + 1 for text in texts if text), default=0)
