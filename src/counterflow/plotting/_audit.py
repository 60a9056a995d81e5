"""Recourse by group, with intervals."""

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.auditing import FIGURES, Audit, GroupFigures
from counterflow.plotting.style import ANSWER, FAINT, INK, MUTED, canvas, headline, label_rows, plain_text

__all__ = ["SHARES", "plot_audit"]

SHARES = ("already", "no_answer", "plausible", "witness")
"""The figures that are shares; the others are distances and counts."""


def plot_audit(audit: Audit, figure: str = "cost_median", *, ax: Axes | None = None) -> Axes:
    """Draw one figure of every group as a point with its interval.

    Args:
        audit: What :func:`counterflow.counterfactuals.audit` measured.
        figure: Which: ``"already"``, ``"no_answer"``, ``"plausible"``, ``"witness"``, ``"cost_median"``,
            ``"cost_mean"`` or ``"changes_mean"``.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: There is no such figure.
    """
    if figure not in FIGURES:
        raise ArgumentError(f"figure must be one of {', '.join(FIGURES)}, got {figure!r}.")
    intervals = np.array([getattr(group, figure) for group in audit.groups])
    heights = np.arange(len(intervals))
    with canvas(ax, size=(8.0, 1.6 + 0.36 * len(intervals))) as drawn:
        value, low, high = intervals.T
        drawn.hlines(heights, low, high, color=ANSWER, linewidth=2.2, alpha=0.55)
        drawn.plot(value, heights, "o", color=ANSWER, markersize=7, linestyle="none")
        notes = [_note(figure, group) for group in audit.groups]
        label_rows(drawn, [group.group for group in audit.groups], notes)
        drawn.grid(axis="x", color=FAINT, linewidth=0.5, alpha=0.6)
        drawn.set_axisbelow(True)
        _span(drawn, figure, intervals)
        facts = (
            f"Desired: {audit.desired}. Lines are {audit.confidence:.0%} intervals. It describes, and proves nothing."
        )
        headline(drawn, f"By {audit.column}: {_TITLES[figure]}", subtitle=facts, width=70)
        drawn.set_xlabel(plain_text(FIGURES[figure]), color=MUTED, fontsize=8.5)
    return drawn


_TITLES = {
    "already": "decided as desired already",
    "no_answer": "no valid answer found",
    "plausible": "a plausible answer found",
    "witness": "answers that convince the witness",
    "cost_median": "median cost of recourse",
    "cost_mean": "mean cost of recourse",
    "changes_mean": "columns that change",
}


def _span(ax: Axes, figure: str, intervals: np.ndarray) -> None:
    """Shares from 0 to 1, all else from 0 on."""
    top = np.nanmax(intervals, initial=0.0)
    ax.set_xlim(0.0, 1.0 if figure in SHARES else max(1.08 * float(top), 1e-9))
    ax.tick_params(axis="x", labelcolor=INK)


def _note(figure: str, group: GroupFigures) -> str:
    value = getattr(group, figure).value
    said = "none" if np.isnan(value) else f"{value:.1%}" if figure in SHARES else f"{value:.2f}"
    return f"{said}   {group.rows:,} rows" if figure == "already" else f"{said}   {group.asked:,} asked"
