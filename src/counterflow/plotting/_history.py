"""How a training run went."""

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.plotting.style import ANSWER, FAINT, INK, MUTED, REAL, canvas, headline
from counterflow.training import FitReport

__all__ = ["plot_history"]


def plot_history(report: FitReport, *, ax: Axes | None = None) -> Axes:
    """Draw the losses of a training run epoch by epoch, and mark the best epoch.

    Args:
        report: What ``fit`` or ``optimise`` returned.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: The report holds no epoch.

    Example:
        >>> from counterflow.core.outcomes import FitOutcome
        >>> from counterflow.training import EpochRecord
        >>> history = (EpochRecord(1, 3.0, 3.2, 1e-3, 0.1), EpochRecord(2, 2.0, 2.5, 1e-3, 0.1))
        >>> plot_history(FitReport(2.5, 2, 2, 0.2, FitOutcome.MAX_EPOCHS, history)).get_xlabel()
        'epoch'
    """
    if not report.history:
        raise ArgumentError("the report holds no epoch: there is nothing to draw. Train for at least one.")
    epochs, train, validation = (
        np.array([getattr(record, name) for record in report.history], dtype=np.float64)
        for name in ("epoch", "train", "validation")
    )
    with canvas(ax, size=(8.0, 3.8)) as drawn:
        ends = [_draw_line(drawn, epochs, train, "training rows", REAL)]
        if np.isfinite(validation).any():
            ends.append(_draw_line(drawn, epochs, validation, "held-out rows", ANSWER))
        _frame(drawn, report)
        _label_ends(drawn, ends)
        _mark_best(drawn, report)
        drawn.grid(axis="y", color=FAINT, linewidth=0.5, alpha=0.6)
        headline(drawn, "How the training went", subtitle=report.outcome.sentence, width=70)
        drawn.set_xlabel("epoch", color=MUTED, fontsize=8.5)
        drawn.set_ylabel("loss (for a flow: nats a row)", color=MUTED, fontsize=8.5)
    return drawn


def _draw_line(ax: Axes, epochs: np.ndarray, losses: np.ndarray, name: str, color: str) -> tuple[float, str]:
    """Draw one loss; returns where its line ends, and its name."""
    ax.plot(epochs, losses, color=color, linewidth=1.8, label=name, marker="o" if len(epochs) == 1 else "")
    last = losses[np.isfinite(losses)]
    return (float(last[-1]) if len(last) else 0.0), name


def _label_ends(ax: Axes, ends: list[tuple[float, str]]) -> None:
    """Name each line at its end; the higher label leans up and the lower down, so that close ends do not touch."""
    top, highest = ax.get_ylim()[1], max(end for end, _ in ends)
    for end, name in ends:
        side = "center" if len(ends) == 1 else ("bottom" if end == highest else "top")
        height, text, side = (top, f"{name} ↑", "top") if end > top else (end, name, side)
        ax.text(1.01, height, text, transform=ax.get_yaxis_transform(), va=side, fontsize=9, color=INK)


def _mark_best(ax: Axes, report: FitReport) -> None:
    if report.best_epoch < 1:
        return
    ax.plot(report.best_epoch, report.best_validation, "o", color=INK, markersize=5, zorder=5)
    ax.annotate(
        f"best: {report.best_validation:.3f} at epoch {report.best_epoch}", (report.best_epoch, report.best_validation),
        (0, 14), textcoords="offset points", fontsize=8.5, color=INK, ha="right" if report.best_epoch > 1 else "left",
    )  # fmt: skip


def _frame(ax: Axes, report: FitReport) -> None:
    """Show what led to the best epoch; losses far above it (a wild first epoch, overfitting) may leave the picture."""
    led = [record.train for record in report.history]
    led += [record.validation for record in report.history if record.epoch <= max(report.best_epoch, 1)]
    losses = np.array(led)[np.isfinite(led)]
    if not len(losses):
        return
    low, high, usual = float(losses.min()), float(losses.max()), float(np.quantile(losses, 0.98))
    high = min(high, usual + 0.5 * (usual - low))
    room = 0.08 * (high - low) or 1.0
    ax.set_ylim(low - room, high + 4 * room)
