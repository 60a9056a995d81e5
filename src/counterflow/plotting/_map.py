"""A view from above: the rows and their answers among rows that the flow made up."""

import numpy as np
from jaxtyping import Int
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.style import ANSWER, CLASSES, FACTUAL, INK, MUTED, canvas, headline, plain_text, shorten
from counterflow.plotting.words import named, share_text

__all__ = ["plot_map"]

_MOST_CLASSES = 12


def plot_map(answer: CounterfactualAnswer, *, ax: Axes | None = None, most: int = 150) -> Axes:
    """Draw arrows from each factual to its answer over made-up rows of every class, in two dimensions.

    The two directions are those in which the made-up rows differ most (their principal components in standard units).
    What the other directions hold cannot be seen here.

    Args:
        answer: The answers.
        ax: Where to draw; ``None`` for a new figure.
        most: The most arrows; of more, some are drawn at even steps through the answers.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``most`` is below 1.
    """
    if most < 1:
        raise ArgumentError(f"most must be at least 1, got {most}.")
    moved = np.flatnonzero(answer.answered & answer.valid)
    drawn_ones = moved[np.unique(np.linspace(0, len(moved) - 1, min(most, len(moved))).astype(int))]
    with canvas(ax, size=(8.0, 5.4)) as drawn:
        _draw_background(drawn, answer)
        _draw_arrows(drawn, answer, drawn_ones)
        outside = _frame(drawn, answer, drawn_ones)
        headline(
            drawn,
            "From the rows to their answers, seen from above",
            subtitle=_facts(answer, len(moved), len(drawn_ones), outside),
            width=74,
        )
        drawn.set_xlabel("direction of most difference, standard units", color=MUTED, fontsize=8.5)
        drawn.set_ylabel("second direction, standard units", color=MUTED, fontsize=8.5)
        drawn.legend(
            loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9, labelcolor=INK, borderaxespad=0,
            handletextpad=0.4,
        )  # fmt: skip
    return drawn


def _facts(answer: CounterfactualAnswer, moved: int, drawn: int, outside: float) -> str:
    counted = f"{moved:,}" if moved == drawn else f"{drawn:,} of {moved:,}"
    beyond = f" {share_text(outside)} of them lie outside the picture." if outside > 0 else ""
    return (
        f"{counted} valid answers. The faint points are no real rows: the flow made them up.{beyond} "
        f"A view of 2 directions of {len(answer.schema)}."
    )


def _draw_background(ax: Axes, answer: CounterfactualAnswer) -> None:
    labels = np.array(answer.evidence.map_labels, dtype=object)
    markers = "osv^Dp"
    for place, name in enumerate(dict.fromkeys(answer.evidence.map_labels)):
        points = answer.evidence.map_rows[labels == name]
        ax.scatter(
            *points.T, s=9, alpha=0.55, linewidths=0, color=CLASSES[place % len(CLASSES)],
            marker=markers[place // len(CLASSES) % len(markers)], label=_background_label(place, name),
            rasterized=True,
        )  # fmt: skip


def _background_label(place: int, name: str) -> str:
    """The first classes stand in the legend; a leading underscore keeps the others out of it."""
    return plain_text(f"made up, {shorten(named(name))}") if place < _MOST_CLASSES else "_more"


def _draw_arrows(ax: Axes, answer: CounterfactualAnswer, rows: Int[np.ndarray, " some"]) -> None:
    start, end = answer.evidence.map_factuals[rows], answer.evidence.map_answers[rows]
    moves = end - start
    ax.quiver(
        *start.T, *moves.T, angles="xy", scale_units="xy", scale=1, width=0.0016, headwidth=7, headlength=8,
        headaxislength=7, color=INK, alpha=0.45,
    )  # fmt: skip
    ax.scatter(*start.T, s=20, color=FACTUAL, linewidths=0, label="rows as they were", zorder=3)
    ax.scatter(*end.T, s=20, color=ANSWER, linewidths=0, label="valid answers", zorder=4)


def _frame(ax: Axes, answer: CounterfactualAnswer, rows: Int[np.ndarray, " some"]) -> float:
    """Put all arrows in sight with wide room around; returns the share of the background that lies outside."""
    background = answer.evidence.map_rows
    moves = np.concatenate([answer.evidence.map_factuals[rows], answer.evidence.map_answers[rows]])
    sides = moves if len(moves) else background
    if not len(sides):
        return 0.0
    low, high = sides.min(0), sides.max(0)
    room = np.maximum(0.25 * (high - low), 1.0)
    low, high = low - room, high + room
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    return float(((background < low) | (background > high)).any(1).mean()) if len(background) else 0.0
