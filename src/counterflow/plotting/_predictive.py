"""What a posterior simulates, over what was observed."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.inference import PredictiveCheck
from counterflow.plotting.style import ANSWER, FACTUAL, FAINT, INK, MUTED, canvas, headline, label_rows

__all__ = ["plot_predictive", "plot_predictive_check"]


def plot_predictive(
    simulated: Float[Tensor, "count times"],
    observed: Float[Tensor, " _"],
    *,
    times: Float[Tensor, " _"] | None = None,
    lines: int = 20,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw simulated traces over the observed one: the region of the middle nine tenths, and some of them as lines.

    Args:
        simulated: One trace for each draw of the posterior.
        observed: The trace that the posterior was given.
        times: Where the traces are measured; their places if not given.
        lines: How many traces are drawn.
        title: What stands above.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: The traces are not of one length.

    Example:
        >>> import torch
        >>> simulated = torch.randn(50, 9, generator=torch.Generator().manual_seed(0))
        >>> ax = plot_predictive(simulated, torch.zeros(9), lines=5)
        >>> len(ax.lines)  # five traces and the observed one
        6
    """
    steps = simulated.shape[1]
    at = np.arange(steps) if times is None else times.detach().cpu().numpy()
    for name, size in (("observed", len(observed)), ("times", len(at))):
        if size != steps:
            raise ShapeError(f"{name} must have {steps} steps, as simulated has, got {size}.")
    traces = simulated.detach().cpu().double().numpy()
    low, high = np.quantile(traces, [0.05, 0.95], axis=0)
    with canvas(ax, size=(7.0, 3.4)) as drawn:
        drawn.fill_between(at, low, high, color=ANSWER, alpha=0.18, linewidth=0, label="simulated, the middle 90 %")
        for trace in traces[:lines]:
            drawn.plot(at, trace, color=ANSWER, linewidth=0.6, alpha=0.45)
        drawn.plot(at, observed.detach().cpu().numpy(), color=INK, linewidth=1.4, label="observed")
        drawn.legend(frameon=False, fontsize=8.5, labelcolor=INK)
        share = float(((observed.cpu().numpy() >= low) & (observed.cpu().numpy() <= high)).mean())
        facts = f"{len(traces)} simulations; {100 * share:.0f} % of the observed trace lies within their middle 90 %"
        headline(drawn, title or "What the posterior simulates, over what was observed", subtitle=facts)
        drawn.margins(x=0.01)
    return drawn


def plot_predictive_check(check: PredictiveCheck, *, ax: Axes | None = None) -> Axes:
    """Draw each statistic of the observation in the units of its simulations, with their middle half and nine tenths.

    Args:
        check: The check.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Example:
        >>> import torch
        >>> from counterflow.inference import posterior_predictive_check
        >>> simulated = torch.randn(99, 2, generator=torch.Generator().manual_seed(0))
        >>> ax = plot_predictive_check(posterior_predictive_check(simulated, torch.tensor([0.0, 3.0])))
        >>> [tick.get_text() for tick in ax.get_yticklabels()]
        ['x_1', 'x_2']
    """
    simulated = check.simulated.detach().cpu().double().numpy()
    scale = simulated.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    away = (simulated - simulated.mean(0)) / scale
    observed = (check.observed.detach().cpu().double().numpy() - simulated.mean(0)) / scale
    low, lower, upper, high = np.quantile(away, [0.05, 0.25, 0.75, 0.95], axis=0)
    bad = check.tails.numpy() * len(check.names) <= 0.05
    with canvas(ax, size=(7.0, 1.2 + 0.36 * len(observed))) as drawn:
        for k in range(len(observed)):
            drawn.hlines(k, low[k], high[k], color=FAINT, linewidth=7)
            drawn.hlines(k, lower[k], upper[k], color=ANSWER, linewidth=7, alpha=0.5)
            drawn.plot(observed[k], k, marker="o", color=FACTUAL if bad[k] else INK, markersize=6)
        label_rows(drawn, check.names, [f"{tail:.2g}" for tail in check.tails.tolist()])
        drawn.annotate(
            "tail", (1.02, 1.0), (0, 4), xycoords="axes fraction", textcoords="offset points", color=MUTED, fontsize=8.5
        )
        facts = f"bars: the middle 50 % and 90 % of {len(away)} simulations; p = {check.pvalue:.2g} for all together"
        headline(drawn, "The observation among its posterior's simulations", subtitle=facts)
        drawn.set_xlabel("deviations from the mean of the simulations", color=MUTED, fontsize=8.5)
    return drawn
