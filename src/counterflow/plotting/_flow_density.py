"""The density of a flow over the plane."""

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator
from counterflow.flows import Flow
from counterflow.plotting.style import ANSWER, INK, MUTED, canvas, headline, plain_text

__all__ = ["mass_levels", "plot_flow_density"]

Limits = tuple[tuple[float, float], tuple[float, float]]
_SHARES = (0.99, 0.95, 0.8, 0.5, 0.2)


def plot_flow_density(
    flow: Flow,
    *,
    context: Float[Tensor, " c"] | None = None,
    points: Float[Tensor, "points 2"] | None = None,
    limits: Limits | None = None,
    names: tuple[str, str] = ("first column", "second column"),
    resolution: int = 120,
    ax: Axes | None = None,
) -> Axes:
    """Draw a flow of two features as nested regions of highest density that hold 20, 50, 80, 95 and 99% of its mass.

    Args:
        flow: A flow of two features.
        context: The condition, one vector, for a conditional flow.
        points: Rows to draw over it.
        limits: ``((x low, x high), (y low, y high))``; ``None`` for where samples of the flow lie.
        names: What the two features are.
        resolution: Grid points a side, at least 10.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: The flow has not two features.
        ArgumentError: The resolution is too low, or the density is nowhere positive on the grid.

    Example:
        >>> from counterflow import flows
        >>> plot_flow_density(flows.linear(features=2), resolution=20).get_xlabel()
        'first column'
    """
    if tuple(flow.event_shape) != (2,):
        raise ShapeError(
            f"the flow must have event shape (2,), got {tuple(flow.event_shape)}. Draw two features at a time."
        )
    if resolution < 10:
        raise ArgumentError(f"resolution must be at least 10, got {resolution}.")
    limits = _limits(flow, context) if limits is None else limits
    x, y, density = _on_grid(flow, context, limits, resolution)
    with canvas(ax, size=(6.0, 5.0)) as drawn:
        _draw_regions(drawn, x, y, density)
        if points is not None:
            drawn.scatter(*points.detach().cpu().T.numpy(), s=8, color=INK, alpha=0.5, linewidths=0)
        headline(drawn, "Density of the flow", subtitle="each line holds the share of the mass written on it")
        drawn.set_xlabel(plain_text(names[0]), color=MUTED, fontsize=8.5)
        drawn.set_ylabel(plain_text(names[1]), color=MUTED, fontsize=8.5)
    return drawn


def mass_levels(density: Float[np.ndarray, "_ _"], shares: tuple[float, ...]) -> list[float]:
    r"""The densities above which a share of the mass lies.

    .. math:: \lambda_s = \max \{\lambda : \textstyle\int_{p \ge \lambda} p \ge s \int p\}

    Args:
        density: Values on an even grid.
        shares: Shares of the grid's mass, in (0, 1).

    Returns:
        One density for each share.

    Example:
        >>> mass_levels(np.array([[4.0, 3.0], [2.0, 1.0]]), (0.9, 0.4))
        [2.0, 4.0]
    """
    falling = np.sort(density.ravel())[::-1]
    held = np.cumsum(falling) / falling.sum()
    return [float(falling[min(int(np.searchsorted(held, share)), len(falling) - 1)]) for share in shares]


def _limits(flow: Flow, context: Tensor | None) -> Limits:
    """Where nearly all samples lie, with some room."""
    with torch.no_grad():
        samples = flow.sample(2000, context, generator=make_generator(0, flow.device)).double().cpu().numpy()
    low, high = np.quantile(samples, [0.002, 0.998], axis=0)
    room = 0.1 * (high - low) + 1e-9
    return (float(low[0] - room[0]), float(high[0] + room[0])), (float(low[1] - room[1]), float(high[1] + room[1]))


def _on_grid(
    flow: Flow, context: Tensor | None, limits: Limits, resolution: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = (np.linspace(*side, resolution) for side in limits)
    grid = np.stack(np.meshgrid(x, y), -1).reshape(-1, 2)
    with torch.no_grad():
        log_density = flow(torch.as_tensor(grid, dtype=flow.dtype, device=flow.device), context)
    density = np.exp(log_density.double().cpu().numpy()).reshape(resolution, resolution)
    if not (np.isfinite(density).all() and density.sum() > 0):
        raise ArgumentError("the density is not a positive number on this grid. Give limits= where the flow has mass.")
    return x, y, density


def _draw_regions(ax: Axes, x: np.ndarray, y: np.ndarray, density: np.ndarray) -> None:
    levels = dict(zip(mass_levels(density, _SHARES), _SHARES, strict=True))
    heights = sorted(levels)
    ink = np.array(to_rgb(ANSWER))
    tints = [tuple(1 - (1 - ink) * depth) for depth in np.linspace(0.12, 0.75, len(heights))]
    ax.contourf(x, y, density, [*heights, max(density.max(), heights[-1] * (1 + 1e-9)) * (1 + 1e-9)], colors=tints)
    lines = ax.contour(x, y, density, heights, colors=[ANSWER], linewidths=0.7)
    ax.clabel(lines, fmt={height: f"{levels[height]:.0%}" for height in lines.levels}, fontsize=8, colors=INK)
