"""How dense the rows were, how dense the answers are, and how dense real rows are."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.style import ANSWER, FACTUAL, FAINT, INK, MUTED, REAL, canvas, headline, plain_text
from counterflow.plotting.words import density_name, named, share_text

__all__ = ["DensityGroup", "density_groups", "plot_density"]

_FEW = 25
_BINS = 48


class DensityGroup(NamedTuple):
    """Rows whose density is drawn on one line.

    Args:
        name: Which rows.
        values: Their log-densities under the desired class.
        color: Their color.
    """

    name: str
    values: Float[np.ndarray, " rows"]
    color: str


def plot_density(answer: CounterfactualAnswer, *, desired: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the log-densities of real held-out rows, of the valid answers and of the rows as they were.

    All are under the desired class. The dashed line is the threshold: the log-density that the asked plausibility
    needs. The share of each group at or above it stands beside the group.

    Args:
        answer: The answers.
        desired: The class, or the name of a bin of a regressor's values; ``None`` for the one most answers are in.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: The answer knows no density for that class.
    """
    desired = _most_common(answer) if desired is None else str(desired)
    name = density_name(answer, desired)
    groups = density_groups(answer, desired)
    threshold = answer.evidence.thresholds[desired]
    with canvas(ax, size=(8.0, 3.6)) as drawn:
        low, high = _limits(groups, threshold)
        bins = np.linspace(low, high, _BINS + 1)
        for height, group in enumerate(reversed(groups)):
            _draw_group(drawn, group, bins, height)
        drawn.set_xlim(low, high)
        drawn.set_ylim(-0.12, len(groups) + 0.1)
        _label_groups(drawn, groups, threshold)
        _draw_threshold(drawn, threshold, answer)
        headline(drawn, f"How likely the rows are among real rows of {name}", width=70)
        drawn.set_xlabel(
            plain_text(f"log-density under {name} (natural log, data units, probability in discrete columns)"),
            color=MUTED,
            fontsize=8.5,
        )
    return drawn


def density_groups(answer: CounterfactualAnswer, desired: Any) -> list[DensityGroup]:
    """The rows that the picture compares.

    Args:
        answer: The answers.
        desired: The class under which they are dense.

    Returns:
        Real held-out rows, valid answers, and the factuals that were searched for, each once.

    Raises:
        ArgumentError: The answer knows no density for that class.
    """
    evidence = answer.evidence
    if str(desired) not in evidence.calibration:
        known = ", ".join(density_name(answer, name) for name in evidence.calibration) or "none"
        raise ArgumentError(f"there is no density of the class {named(desired)}: the answer has those of {known}.")
    asked = answer.answered & np.array([name == str(desired) for name in evidence.density_class], dtype=np.bool_)
    first = asked & (answer.index.rank == 0)
    return [
        DensityGroup("real rows held out", np.array(evidence.calibration[str(desired)], dtype=np.float64), REAL),
        DensityGroup("valid answers", answer.log_density[asked & answer.valid], ANSWER),
        DensityGroup("the rows as they were", evidence.factual_log_density[first], FACTUAL),
    ]


def _most_common(answer: CounterfactualAnswer) -> str:
    if not len(answer):
        raise ArgumentError("the answer is empty: there is nothing to draw. Ask about at least one row.")
    return max(answer.evidence.density_class, key=answer.evidence.density_class.count)


def _limits(groups: list[DensityGroup], threshold: float) -> tuple[float, float]:
    """From far enough below the threshold to the densest row; what lies lower is counted in words."""
    values = np.concatenate([group.values for group in groups])
    values = values[np.isfinite(values)]
    values = values if len(values) else np.zeros(1)
    middle = threshold if np.isfinite(threshold) else float(np.median(values))
    high = max(float(values.max()), middle)
    low = max(min(float(values.min()), middle), middle - 1.6 * max(high - middle, 1.0))
    room = 0.03 * (high - low) or 1.0
    return low - room, high + room


def _draw_group(ax: Axes, group: DensityGroup, bins: np.ndarray, height: int) -> None:
    """A histogram on its own line; few rows are ticks."""
    seen = group.values[(group.values >= bins[0]) & (group.values <= bins[-1])]
    ax.axhline(height, color=FAINT, linewidth=0.8)
    if len(seen) <= _FEW:
        ax.vlines(seen, height, height + 0.45, color=group.color, linewidth=1.6)
    else:
        counts, _ = np.histogram(seen, bins)
        ax.stairs(
            height + 0.72 * counts / counts.max(), bins, baseline=height, fill=True, color=group.color, alpha=0.75
        )


def _label_groups(ax: Axes, groups: list[DensityGroup], threshold: float) -> None:
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)
    left = ax.get_xlim()[0]
    for height, group in enumerate(reversed(groups)):
        count = len(group.values)
        passed = share_text(float((group.values >= threshold).mean())) if count else "–"
        ax.text(
            1.01, height + 0.3, f"{group.name}\n{count:,} · {passed} reach it", color=INK, fontsize=9, va="center",
            transform=ax.get_yaxis_transform(), linespacing=1.4,
        )  # fmt: skip
        lower = int((group.values < left).sum())
        if lower:
            ax.text(left, height + 0.12, f" ← {lower:,} lower", color=MUTED, fontsize=8)


def _draw_threshold(ax: Axes, threshold: float, answer: CounterfactualAnswer) -> None:
    if not np.isfinite(threshold):
        return
    ax.axvline(threshold, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
    level = answer.settings.get("min_plausibility")
    asked = "" if level is None else f" for plausibility {level:g}"
    ax.annotate(
        f"threshold{asked}: {threshold:.1f}".replace("-", "−"), (threshold, 1), (-4, -2),
        xycoords=("data", "axes fraction"), textcoords="offset points", ha="right", va="top", fontsize=8.5, color=INK,
    )  # fmt: skip
