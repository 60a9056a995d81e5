"""Expected coverage over credibility, with the band in which an exact posterior stays."""

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.axes import Axes

from counterflow.inference import Coverage, ecdf_band, pvalue_text
from counterflow.plotting.style import ANSWER, CLASSES, FACTUAL, FAINT, INK, MUTED, canvas, headline, plain_text

__all__ = ["plot_coverage"]


def plot_coverage(coverage: Coverage | Mapping[str, Coverage], *, title: str = "", ax: Axes | None = None) -> Axes:
    """Draw how often regions of each credibility hold the truth.

    An exact posterior follows the diagonal, and stays within the band as a whole with a chance of 95 %. For regions of
    highest density a curve below it is a posterior too narrow or shifted, one above it one too wide. For balls around
    reference points a posterior too narrow is first above and then below it, one too wide first below and then above.

    Args:
        coverage: One, or several by name.
        title: What stands above.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Example:
        >>> import torch
        >>> from counterflow.inference import tarp
        >>> g = torch.Generator().manual_seed(0)
        >>> draws, theta = torch.randn(100, 50, 2, generator=g), torch.randn(100, 2, generator=g)
        >>> plot_coverage(tarp(draws, theta, generator=g)).get_xlabel()
        'credibility of the region'
    """
    curves = {coverage.regions: coverage} if isinstance(coverage, Coverage) else dict(coverage)
    credibility = np.linspace(0, 1, 201)
    with canvas(ax, size=(4.6, 4.6)) as drawn:
        for rows in {len(curve.levels) for curve in curves.values()}:
            band = ecdf_band(rows)
            at, low, high = (np.concatenate([[0.0], side, [1.0]]) for side in (band.points, band.low, band.high))
            drawn.fill_between(at, low, high, color=FAINT, alpha=0.5, linewidth=0)
        drawn.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
        colors = (ANSWER, FACTUAL, *CLASSES)
        for k, (name, curve) in enumerate(curves.items()):
            expected = curve.expected(torch.as_tensor(credibility)).numpy()
            label = plain_text(f"{name} ({pvalue_text(curve.pvalue)})")
            drawn.plot(credibility, expected, color=colors[k % len(colors)], linewidth=1.6, label=label)
        drawn.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left")
        drawn.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        headline(drawn, title or "How often regions hold the truth", width=44)
        drawn.set_xlabel("credibility of the region", color=MUTED, fontsize=8.5)
        drawn.set_ylabel("share of rows whose region holds the truth", color=MUTED, fontsize=8.5)
    return drawn
