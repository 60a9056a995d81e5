"""Ranks of true parameters among posterior draws, with the band in which they should stay."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError
from counterflow.inference import RankCalibration, ecdf_band, pvalue_text
from counterflow.plotting.style import ANSWER, CLASSES, FACTUAL, FAINT, INK, MUTED, REAL, canvas, headline, plain_text

__all__ = ["plot_ranks"]


def plot_ranks(
    calibration: RankCalibration,
    *,
    kind: Literal["ecdf", "histogram"] = "ecdf",
    names: Sequence[str] | None = None,
    bins: int = 20,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw how far ranks are from uniform, and how far uniform ranks would be.

    ``"ecdf"`` draws the distribution function of each quantity's ranks less the diagonal, over the band in which it
    stays as a whole with a chance of 95 %; curves that leave it are in color, and named with what they say. A hump
    above zero on the left and below on the right is a posterior too narrow, the reverse one too wide. ``"histogram"``
    draws the ranks of one quantity, over the band in which each bar stays with a chance of 95 %.

    Args:
        calibration: The ranks.
        kind: What to draw.
        names: Which quantities; all if not given.
        bins: Of the histogram.
        title: What stands above.
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
            _histogram(drawn, calibration, next(iter(names)), bins=bins, title=title)
        else:
            _differences(drawn, calibration, names, title)
        drawn.set_xlim(0, 1)
        drawn.set_xlabel("rank, as a share of the draws", color=MUTED, fontsize=8.5)
    return drawn


def _differences(ax: Axes, calibration: RankCalibration, names: tuple[str, ...], title: str) -> None:
    band = ecdf_band(len(calibration.levels))
    ends = np.concatenate([[0.0], band.points, [1.0]])
    low, high = (np.concatenate([[0.0], side - band.points, [0.0]]) for side in (band.low, band.high))
    ax.fill_between(ends, low, high, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(0, color=MUTED, linewidth=0.8)
    curves = {name: _ecdf(calibration, name, ends) - ends for name in names}
    left = [name for name in names if ((curves[name] < low - 1e-9) | (curves[name] > high + 1e-9)).any()]
    for name in (name for name in names if name not in left):
        ax.plot(ends, curves[name], color=REAL, linewidth=0.9)
    ways: dict[str, list[str]] = {}
    for name in left:
        ways.setdefault(calibration.uniformity(name).says, []).append(name)
    for (way, named), color in zip(ways.items(), (FACTUAL, ANSWER, *CLASSES), strict=False):
        for k, name in enumerate(named):
            label = plain_text(f"{_some(named)}: {way}") if k == 0 else None
            ax.plot(ends, curves[name], color=color, linewidth=1.3, label=label)
    if left:
        ax.legend(frameon=False, fontsize=8.5, labelcolor=INK)
    facts = (
        f"{len(calibration.levels)} rows, {calibration.count} draws each; {len(left)} of {len(names)} leave the band"
    )
    headline(ax, title or "Where true parameters stand among their draws", subtitle=facts)
    ax.set_ylabel("share of ranks below, less expected", color=MUTED, fontsize=8.5)


def _ecdf(calibration: RankCalibration, name: str, at: np.ndarray) -> np.ndarray:
    levels = np.sort(calibration.uniformity(name).values.numpy())
    return np.searchsorted(levels, at, side="right") / len(levels)


def _some(names: list[str]) -> str:
    """At most three names, and how many more there are."""
    return ", ".join(names[:3] if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"])


def _histogram(ax: Axes, calibration: RankCalibration, name: str, *, bins: int, title: str) -> None:
    uniformity, rows = calibration.uniformity(name), len(calibration.levels)
    expected, spread = rows / bins, 1.96 * (rows / bins * (1 - 1 / bins)) ** 0.5
    ax.axhspan(expected - spread, expected + spread, color=FAINT, alpha=0.5, linewidth=0)
    ax.axhline(expected, color=MUTED, linewidth=0.8)
    color = ANSWER if uniformity.band_pvalue > 0.05 else FACTUAL
    ax.hist(uniformity.values.numpy(), bins=bins, range=(0, 1), color=color, alpha=0.75, rwidth=0.92)
    facts = f"{uniformity.says} ({pvalue_text(uniformity.band_pvalue)}); {rows} rows, {calibration.count} draws each"
    headline(ax, title or f"Where the true {name} stands among its draws", subtitle=facts)
    ax.set_ylabel("rows", color=MUTED, fontsize=8.5)
