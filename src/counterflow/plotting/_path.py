"""A recourse path: what changes at each step, and how plausible the row is then."""

import numpy as np
from matplotlib.axes import Axes

from counterflow.counterfactuals.paths import RecoursePath
from counterflow.counterfactuals.wording import changes_of_row
from counterflow.plotting.style import ANSWER, FACTUAL, FAINT, INK, MUTED, canvas, headline, label_rows, shorten

__all__ = ["plot_path"]


def plot_path(path: RecoursePath, *, ax: Axes | None = None) -> Axes:
    """Draw one line for each row of a path, from the factual down: a bar as long as the row is plausible.

    The names say what the step changed; the notes give the model's probability of the wish.

    Args:
        path: What :func:`counterflow.counterfactuals.recourse_path` found.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.
    """
    heights = list(range(len(path.numbers)))
    with canvas(ax, size=(8.0, 1.7 + 0.36 * len(heights))) as drawn:
        colors = [ANSWER if met else FACTUAL for met in path.met]
        drawn.barh(heights, path.plausibility, height=0.5, color=colors)
        drawn.set_xlim(0.0, 1.0)
        label_rows(drawn, [_name(path, row) for row in heights], [_note(path, row) for row in heights])
        drawn.grid(axis="x", color=FAINT, linewidth=0.5, alpha=0.6)
        drawn.set_axisbelow(True)
        drawn.tick_params(axis="x", labelcolor=INK)
        facts = f"The least plausible row on the way: {path.least_plausibility:.2f}. Blue: decided as wished."
        headline(drawn, "Step by step to the answer", subtitle=facts, width=70)
        drawn.set_xlabel("plausibility of the row among those of its best class", color=MUTED, fontsize=8.5)
    return drawn


def _name(path: RecoursePath, row: int) -> str:
    if row == 0:
        return "as it is"
    changes = changes_of_row(path.schema, path.numbers[row - 1], path.numbers[row])
    return shorten(", ".join(f"{name}: {_shown(before)} → {_shown(after)}" for name, before, after, _ in changes), 44)


def _shown(value: object) -> str:
    return "missing" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


def _note(path: RecoursePath, row: int) -> str:
    chance = path.probability[row]
    return f"{path.plausibility[row]:.2f}" + ("" if np.isnan(chance) else f"   model: {chance:.0%}")
