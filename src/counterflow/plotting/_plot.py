"""One answer: what changes, by how much, and what the judges say; of images, a sheet or a strip."""

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import AscentAnswer, CounterfactualAnswer
from counterflow.plotting._ascent import plot_ascent, plot_ascent_path
from counterflow.plotting.changes_view import Change, changes_of
from counterflow.plotting.style import ANSWER, FACTUAL, FAINT, INK, MUTED, canvas, headline, label_rows
from counterflow.plotting.words import facts_of, outcome_of

__all__ = ["plot"]


def plot(
    answer: CounterfactualAnswer | AscentAnswer,
    row: int | None = None,
    *,
    rank: int = 0,
    ax: Axes | None = None,
    most: int = 12,
) -> Axes:
    """Draw one factual and its counterfactual: a bar for each change, in standard units, the values beside it.

    Images are drawn by :func:`plot_ascent` or, if a row is named, by :func:`plot_ascent_path`.

    A bar to the right is a rise. Categories and special codes have no length: a diamond marks them. The title names
    the outcome; the line below it the model's probability, the plausibility and the witness's verdict.

    Args:
        answer: The answers.
        row: The position of the factual among the rows that were asked about; ``None`` for the first, or of images for
            a sheet of all.
        rank: Which of its answers; images have one.
        ax: Where to draw; ``None`` for a new figure.
        most: The most changes that get a bar, or the most pictures; how many more there are is said.

    Returns:
        The axes.

    Raises:
        ArgumentError: There is no such row or rank, or ``most`` is below 1.
    """
    if most < 1:
        raise ArgumentError(f"most must be at least 1, got {most}.")
    if isinstance(answer, AscentAnswer):
        return plot_ascent(answer, most=most, ax=ax) if row is None else plot_ascent_path(answer, row, most=most, ax=ax)
    position = _position(answer, row or 0, rank)
    changes = changes_of(answer, position)
    shown = changes[:most]
    with canvas(ax, size=(8.0, 1.5 + 0.3 * max(len(shown), 1))) as drawn:
        if shown:
            _draw_bars(drawn, shown)
        else:
            drawn.text(0.5, 0.5, "Nothing changed.", transform=drawn.transAxes, ha="center", va="center", color=MUTED)
            drawn.set_axis_off()
        facts = facts_of(answer, position) + _rest(answer, len(changes), len(shown))
        headline(drawn, _title(answer, position), subtitle=facts)
    return drawn


def _position(answer: CounterfactualAnswer, row: int, rank: int) -> int:
    """Where the answer of a rank to a factual stands."""
    found = np.flatnonzero((answer.index.factual == row) & (answer.index.rank == rank))
    if not len(found):
        rows, ranks = len(np.unique(answer.index.factual)), len(np.unique(answer.index.rank))
        raise ArgumentError(
            f"there is no answer of rank {rank} to row {row}: the answer holds {rows} rows (counted from 0) with "
            f"{ranks} answers each."
        )
    return int(found[0])


def _title(answer: CounterfactualAnswer, position: int) -> str:
    label = answer.index.label[position]
    return f"Row {label}: {outcome_of(answer, position)}"


def _draw_bars(ax: Axes, changes: list[Change]) -> None:
    heights = np.arange(len(changes))
    steps = np.array([change.step for change in changes])
    colors = [ANSWER if step > 0 else FACTUAL for step in steps]
    measured = ~np.isnan(steps)
    ax.barh(heights[measured], steps[measured], height=0.55, color=np.array(colors)[measured].tolist())
    ax.plot(np.zeros((~measured).sum()), heights[~measured], "D", color=MUTED, markersize=5, linestyle="none")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.grid(axis="x", color=FAINT, linewidth=0.5, alpha=0.6)
    ax.set_axisbelow(True)
    label_rows(ax, [change.name for change in changes], [_note(change) for change in changes])
    _frame(ax, steps[measured])
    ax.set_xlabel("← lower        change in standard units        higher →", color=MUTED, fontsize=8.5)


def _frame(ax: Axes, steps: np.ndarray) -> None:
    """Zero in sight, and some room on both sides."""
    low, high = (min(0.0, *steps), max(0.0, *steps)) if len(steps) else (-1.0, 1.0)
    room = 0.06 * (high - low) or 1.0
    ax.set_xlim(low - room, high + room)


def _note(change: Change) -> str:
    tail = f"  ({change.difference})" if change.difference else ""
    return f"{change.before} → {change.after}{tail}"


def _rest(answer: CounterfactualAnswer, changed: int, shown: int) -> str:
    """How many changes are smaller than those drawn, and how many columns stay."""
    same = len(answer.schema) - changed
    parts = [f"{changed - shown} smaller changes not drawn"] if changed > shown else []
    parts += [f"{same} of {len(answer.schema)} columns unchanged"] if changed and same else []
    return "".join(f" · {part}" for part in parts)
