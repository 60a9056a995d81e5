"""What latent ascent made of images: before, after, what changed, and the way there."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import AscentAnswer
from counterflow.plotting.style import canvas
from counterflow.plotting.tiles import TileRow, as_pictures, draw_tiles, range_of, sheet_size
from counterflow.plotting.words import SHORT, chance_text

__all__ = ["plot_ascent", "plot_ascent_path"]

_HEAT = "inferno"

_WIDE = 12
"""Two names of classes with more letters than these stand below each other."""


def plot_ascent(
    answer: AscentAnswer,
    *,
    rows: Sequence[int] | None = None,
    most: int = 12,
    names: Sequence[str] | None = None,
    title: str = "",
    shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw images before and after, and below them how much each pixel changed, a column for each image.

    Above each column stands what the model says before and after, with the probability of the target class; below it
    how it ended. Where the generator does not give back what it was given, its reconstructions have a row of their own.

    Args:
        answer: The images.
        rows: Which of them; ``None`` for the first.
        most: The most columns; how many more there are is said.
        names: The name of each class.
        title: What stands above; empty for how many were found.
        shape: The shape of one image, where they are vectors.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: There is no such image, or ``most`` is below 1.
        ShapeError: These are no images.
    """
    check_count(most, "most")
    chosen = _chosen(answer, range(len(answer)) if rows is None else rows)[:most]
    before, middle, after = (
        as_pictures(images[chosen], shape) for images in (answer.originals, answer.reconstructions, answer.images)
    )
    limits, inexact = range_of(before, after), bool(answer.reconstruction_error.max() > 1e-3)
    tiles = [TileRow("original", before, limits), TileRow("counterfactual", after, limits), _change(before, after)]
    if inexact:
        tiles.insert(1, TileRow("reconstruction", middle, limits))
    ratio = before.shape[1] / before.shape[2]
    with canvas(ax, size=sheet_size(len(tiles), len(chosen), ratio=ratio)) as drawn:
        draw_tiles(
            drawn,
            tiles,
            title=title or f"The model answers as asked for {int(answer.found.sum())} of {len(answer)} images",
            subtitle=_facts(answer, len(chosen)),
            captions=[_caption(answer, row, names) for row in chosen],
            notes=[_note(answer, row) for row in chosen],
        )
    return drawn


def plot_ascent_path(
    answer: AscentAnswer,
    row: int = 0,
    *,
    most: int = 10,
    names: Sequence[str] | None = None,
    shape: tuple[int, ...] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the way of one image as a strip of film, and below it what has changed since the start.

    Args:
        answer: The images, best made with ``keep_path=True``: otherwise there is a start and an end.
        row: Which of them.
        most: The most pictures of the strip, evenly spaced, both ends among them.
        names: The name of each class.
        shape: The shape of one image, where they are vectors.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: There is no such image, or ``most`` is below 2.
        ShapeError: These are no images.
    """
    check_count(most, "most", minimum=2)
    (row,) = _chosen(answer, [row])
    path, steps = answer.path[row], int(answer.steps[row])
    frames = np.unique(np.linspace(0, len(path) - 1, min(most, len(path))).round().astype(int))
    strip = as_pictures(path[frames.tolist()], shape)
    tiles = [TileRow("on the way", strip, range_of(strip)), _change(strip[:1], strip)]
    counts = frames if len(path) == steps + 1 else np.where(frames > 0, steps, 0)
    ratio = strip.shape[1] / strip.shape[2]
    with canvas(ax, size=sheet_size(2, len(strip), ratio=ratio)) as drawn:
        said = _caption(answer, row, names).replace("\n", ", probability of the target ")
        title, captions = f"The way of image {row}: {said}", [f"step {count}" for count in counts]
        draw_tiles(drawn, tiles, title=title, subtitle=SHORT[answer.status[row]], captions=captions)
    return drawn


def _chosen(answer: AscentAnswer, rows: Sequence[int]) -> list[int]:
    if wrong := [row for row in rows if not 0 <= row < len(answer)]:
        raise ArgumentError(f"there is no image {wrong[0]}: the answer holds {len(answer)}, counted from 0.")
    return list(rows)


def _change(before: np.ndarray, after: np.ndarray) -> TileRow:
    """Heat maps on one scale, which the name tells."""
    heat = np.abs(after - before)
    heat = heat.sum(axis=-1) if heat.ndim == 4 else heat
    largest = float(heat.max(initial=0.0))
    return TileRow(f"change, up to {largest:.2g}", heat, (0.0, largest or 1.0), _HEAT)


def _caption(answer: AscentAnswer, row: int, names: Sequence[str] | None) -> str:
    """Class before and after with the target's probabilities; of a regressor the values."""
    numbers = answer.original_prediction[row].item(), answer.prediction[row].item()
    chances = answer.original_probability[row].item(), answer.probability[row].item()
    if np.isnan(chances[1]):
        return f"{numbers[0]:.3g} → {numbers[1]:.3g}"
    classes = [f"{number:.0f}" if names is None else str(names[int(number)]) for number in numbers]
    between = " → " if sum(map(len, classes)) <= _WIDE else " →\n"
    return between.join(classes) + f"\n{chance_text(chances[0])} → {chance_text(chances[1])}"


def _note(answer: AscentAnswer, row: int) -> str:
    status, steps = answer.status[row], int(answer.steps[row])
    words = {RowStatus.FOUND: f"{steps} steps", RowStatus.NOT_VALID: f"not reached\nin {steps} steps"}
    return words.get(status, SHORT[status].replace(" ", "\n", 1))


def _facts(answer: AscentAnswer, drawn: int) -> str:
    more = f" {len(answer) - drawn} more are not drawn." if drawn < len(answer) else ""
    chances = "" if answer.probability.isnan().all() else " Below the classes: the probability of the target."
    return f"Before → after.{chances}{more}"
