"""The table of faults and diagnostics as a picture: the darker a cell, the more often the fault is seen."""

from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

__all__ = ["draw", "plot_rates"]

_TITLES = {
    "gaussian_linear": "gaussian_linear: 10 parameters, one mode",
    "two_modes": "two_modes: 2 correlated parameters, two modes",
}


def plot_rates(rates: dict[str, dict[str, dict[str, float]]], *, ax: Axes) -> Axes:
    """Draw one case: a row for each fault, a column for each diagnostic, the rate of alarm written in each cell."""
    faults, diagnostics = list(rates), list(next(iter(rates.values())))
    values = np.array([[rates[fault][diagnostic]["rate"] for diagnostic in diagnostics] for fault in faults])
    ax.imshow(values, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for (row, column), value in np.ndenumerate(values):
        color = "white" if value > 0.75 else "#1f2937"
        ax.text(column, row, f"{100 * value:.0f} %", ha="center", va="center", color=color, fontsize=9)
    ax.axhline(0.5, color="white", lw=4)
    ax.set_xticks(range(len(diagnostics)), diagnostics, rotation=25, ha="right", fontsize=9)
    ax.set_yticks(range(len(faults)), faults, fontsize=9)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def draw(rates: dict[str, dict[str, dict[str, dict[str, float]]]], *, path: Path) -> None:
    """Draw both cases, one above the other."""
    cases = [name for name in _TITLES if name in rates]
    heights = [len(rates[name]) + 1 for name in cases]
    figure, axes = plt.subplots(
        len(cases), 1, figsize=(8.2, 0.42 * sum(heights) + 1.6), sharex=True, layout="constrained",
        gridspec_kw={"height_ratios": heights}, squeeze=False,
    )  # fmt: skip
    for ax, name in zip(axes[:, 0], cases, strict=True):
        plot_rates(rates[name], ax=ax)
        ax.set_title(_TITLES[name], loc="left", fontsize=10, fontweight="bold")
    figure.suptitle("How often each diagnostic gives the alarm, at the level of 5 %", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, dpi=100)
    plt.close(figure)
