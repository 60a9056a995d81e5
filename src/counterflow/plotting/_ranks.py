"""Ranks of true parameters among posterior draws, with the band in which they should stay."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.inference import RankCalibration, ecdf_band
from counterflow.plotting.style import ANSWER, CLASSES, FACTUAL, FAINT, INK, MUTED, REAL, canvas, headline, plain_text

__all__ = ["plot_ranks"]

_NAMED = 6


def plot_ranks(
    calibration: RankCalibration,
    *,
    kind: Literal["ecdf", "histogram"] = "ecdf",
    names: Sequence[str] | None = None,
    bins: int = 20,
    ax: Axes | None = None,
) -> Axes:
    """Draw how far ranks are from uniform, and how far uniform ranks would be.

    ``"ecdf"`` draws the distribution function of each quantity's ranks less the diagonal, over the band in which it
    stays as a whole with a chance of 95 %; a curve that leaves it is in color and named. A hump above zero on the left
    and below on the right is a posterior too narrow, the reverse one too wide. ``"histogram"`` draws the ranks of one
    quantity, over the band in which each bar stays with a chance of 95 %.

    Args:
        calibration: The ranks.
        kind: What to draw.
        names: Which quantities; all if not given.
        bins: Of the histogram.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: A histogram was asked of several quantities.

    Example:
        >>> import torch
        >>> from counterflow.inference import simulation_based_calibration
        >>> g = torch.Generator().manual_seed(0)
        >>> draws, theta = torch.randn(100, 50, 2, generator=g), torch.randn(100, 2, generator=g)
        >>> plot_ranks(simulation_based_calibration(draws, theta, generator=g)).get_xlabel()
        'rank, as a share of the draws'
    """
    names = tuple(names or calibration.names)
    with canvas(ax, size=(6.4, 3.8)) as drawn:
        if kind == "histogram":
            if len(names) > 1:
                raise ArgumentError(f"a histogram is of one quantity, got {', '.join(names)}. Say names=[one].")
            _histogram(drawn, calibration, next(iter(names)), bins)
        else:
            _differences(drawn, calibration, names)
        drawn.set_xlim(0, 1)
        drawn.set_xlabel("rank, as a share of the draws", color=MUTED, fontsize=8.5)
    return drawn


def _differences(ax: Axes, calibration: RankCalibration, names: tuple[str, ...]) -> None:
    band = ecdf_band(len(calibration.levels))
    ends = np.concatenate([[0.0], band.points, [1.0]])
    low, high = (np.concatenate([[0.0], side - band.points, [0.0]]) for side in (band.low, band.high))
    ax.fill_between(ends, low, high, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    outside = 0
    for name in names:
        ordered = np.sort(calibration.uniformity(name).values.numpy())
        away = np.searchsorted(ordered, ends, side="right") / len(ordered) - ends
        leaves = bool(((away < low - 1e-9) | (away > high + 1e-9)).any())
        color = (FACTUAL, ANSWER, *CLASSES)[outside % 8] if leaves else REAL
        label = plain_text(f"{name}: {calibration.uniformity(name).says}") if leaves and outside < _NAMED else None
        ax.plot(ends, away, color=color, linewidth=1.6 if leaves else 0.9, label=label)
        outside += leaves
    if outside:
        ax.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    facts = f"{len(calibration.levels)} rows, {calibration.count} draws each; {outside} of {len(names)} leave the band"
    headline(ax, "Where true parameters stand among their draws", subtitle=facts)
    ax.set_ylabel("share of ranks below, less expected", color=MUTED, fontsize=8.5)


def _histogram(ax: Axes, calibration: RankCalibration, name: str, bins: int) -> None:
    uniformity, rows = calibration.uniformity(name), len(calibration.levels)
    expected, spread = rows / bins, 1.96 * (rows / bins * (1 - 1 / bins)) ** 0.5
    ax.axhspan(expected - spread, expected + spread, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(expected, color=MUTED, linewidth=0.8)
    color = ANSWER if uniformity.band_pvalue > 0.05 else FACTUAL
    ax.hist(uniformity.values.numpy(), bins=bins, range=(0, 1), color=color, alpha=0.75, rwidth=0.92)
    facts = f"{uniformity.says} (p = {uniformity.band_pvalue:.2g}); {rows} rows, {calibration.count} draws each"
    headline(ax, f"Where the true {name} stands among its draws", subtitle=facts)
    ax.set_ylabel("rows", color=MUTED, fontsize=8.5)
