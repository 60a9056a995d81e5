"""All answers: which columns change, how often, and by how much."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.changes_view import standard_steps
from counterflow.plotting.style import ANSWER, FACTUAL, FAINT, INK, MUTED, canvas, headline, label_rows
from counterflow.plotting.words import share_text

__all__ = ["ColumnSummary", "plot_changes", "summarize_changes"]


class ColumnSummary(NamedTuple):
    """What the valid answers do to one column.

    Args:
        name: The column.
        share: In which share of the valid answers it changes.
        median: The median signed change in standard units among those that change it; NaN where no change has a length.
        low: The lower quartile of the same.
        high: The upper quartile of the same.
    """

    name: str
    share: float
    median: float
    low: float
    high: float


def summarize_changes(answer: CounterfactualAnswer) -> list[ColumnSummary]:
    """What the valid answers change, the most often changed column first; columns that never change are left out."""
    counted = answer.answered & answer.valid
    changed, steps = standard_steps(answer)
    changed, steps = changed[counted], steps[counted]
    summaries = []
    for place, name in enumerate(answer.schema.names):
        lengths = steps[changed[:, place], place]
        lengths = lengths[~np.isnan(lengths)]
        low, median, high = np.quantile(lengths, [0.25, 0.5, 0.75]) if len(lengths) else (np.nan,) * 3
        if changed[:, place].any():
            summaries.append(
                ColumnSummary(name, float(changed[:, place].mean()), float(median), float(low), float(high))
            )
    return sorted(summaries, key=lambda summary: -summary.share)


def plot_changes(answer: CounterfactualAnswer, *, ax: Axes | None = None, most: int = 15) -> Axes:
    """Draw what the valid answers change: the median signed change of each column, and how often it changes.

    Bars are medians over the answers that change the column, thin lines their quartiles, both in standard units.
    Categories have no length: a diamond marks them.

    Args:
        answer: The answers.
        ax: Where to draw; ``None`` for a new figure.
        most: The most columns that get a bar.

    Returns:
        The axes.

    Raises:
        ArgumentError: ``most`` is below 1.
    """
    if most < 1:
        raise ArgumentError(f"most must be at least 1, got {most}.")
    summaries = summarize_changes(answer)
    shown = summaries[:most]
    with canvas(ax, size=(8.0, 1.5 + 0.3 * max(len(shown), 1))) as drawn:
        if shown:
            _draw(drawn, shown)
        else:
            drawn.text(0.5, 0.5, "No valid answer.", transform=drawn.transAxes, ha="center", va="center", color=MUTED)
            drawn.set_axis_off()
        count = int((answer.answered & answer.valid).sum())
        more = f"; {len(summaries) - len(shown)} columns that change less often not drawn" if summaries[most:] else ""
        headline(drawn, "What the answers change", subtitle=f"{count:,} valid answers{more}")
    return drawn


def _draw(ax: Axes, summaries: list[ColumnSummary]) -> None:
    heights = np.arange(len(summaries))
    medians, lows, highs = (np.array([getattr(s, key) for s in summaries]) for key in ("median", "low", "high"))
    measured = ~np.isnan(medians)
    colors = np.where(medians > 0, ANSWER, FACTUAL)
    ax.barh(heights[measured], medians[measured], height=0.55, color=colors[measured].tolist())
    ax.hlines(heights[measured], lows[measured], highs[measured], color=INK, linewidth=1.0)
    ax.plot(np.zeros((~measured).sum()), heights[~measured], "D", color=MUTED, markersize=5, linestyle="none")
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.grid(axis="x", color=FAINT, linewidth=0.5, alpha=0.6)
    ax.set_axisbelow(True)
    label_rows(ax, [summary.name for summary in summaries], [_note(summary) for summary in summaries])
    ax.set_xlabel("← lower        median change in standard units        higher →", color=MUTED, fontsize=8.5)


def _note(summary: ColumnSummary) -> str:
    tail = "" if np.isnan(summary.median) else f"   {summary.median:+.2f}".replace("-", "−")
    return f"in {share_text(summary.share)}{tail}"
