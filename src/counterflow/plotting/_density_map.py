"""Where somebody will be: a density over the plane, with draws, the past and what came."""

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from torch import Tensor

from counterflow.core.errors import ShapeError
from counterflow.plotting._flow_density import mass_levels
from counterflow.plotting.style import ANSWER, FACTUAL, INK, MUTED, REAL, canvas, headline
from counterflow.regression import DensityMap

__all__ = ["plot_density_map"]

_SHARES = (0.95, 0.5)
_ROADS = LinearSegmentedColormap.from_list("roads", ["#ffffff", "#c9ced6"])


def plot_density_map(
    density: DensityMap,
    *,
    truth: Float[Tensor, "_ 2"] | Float[Tensor, " 2"] | None = None,
    draws: Float[Tensor, "draws 2"] | None = None,
    path: Float[Tensor, "steps 2"] | None = None,
    roads: Float[Tensor, "height width"] | None = None,
    extent: tuple[float, float, float, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw a density over the plane as a heat map, with lines around the regions that hold 50 and 95% of its mass.

    Args:
        density: What :func:`counterflow.regression.density_map` gave.
        truth: Where things came to be, one place or several: a cross.
        draws: Places to draw as dots.
        path: The places before, in order: a line that ends in a point.
        roads: Brightness of a map below it, its second coordinate downward in rows.
        extent: Left, right, lower and upper end of that map.
        title: What stands above.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: Roads come without their extent, or the density is nowhere above zero.

    Example:
        >>> line = torch.linspace(-3, 3, 30)
        >>> normal = DensityMap(line, line, -0.5 * (line**2 + line[:, None] ** 2))
        >>> plot_density_map(normal, truth=torch.zeros(2), title="a normal law").get_aspect()
        1.0
    """
    if (roads is None) != (extent is None):
        raise ShapeError("roads must come with their extent (left, right, low, high), got one without the other.")
    values = density.log_density.detach().double().exp().numpy()
    if not (np.isfinite(values).all() and values.max() > 0):
        raise ShapeError("the density must be above zero somewhere on the map. Choose limits where the law has mass.")
    x, y = density.x.numpy(), density.y.numpy()
    with canvas(ax, size=(5.0, 5.0)) as drawn:
        if roads is not None:
            drawn.imshow(roads.numpy(), origin="lower", extent=extent, cmap=_ROADS, vmin=0, vmax=1, zorder=0)
        _draw_heat(drawn, x, y, values)
        _draw_places(drawn, draws, path, truth)
        drawn.set_xlim(x[0], x[-1])
        drawn.set_ylim(y[0], y[-1])
        drawn.set_aspect(1.0)
        if title:
            headline(drawn, title)
    return drawn


def _draw_heat(ax: Axes, x: np.ndarray, y: np.ndarray, values: np.ndarray) -> None:
    """A tint that grows denser with the density, and lines at the shares of the mass."""
    tint = np.empty((*values.shape, 4))
    tint[..., :3] = to_rgb(ANSWER)
    tint[..., 3] = 0.85 * (values / values.max()) ** 0.6
    half_x, half_y = (x[1] - x[0]) / 2, (y[1] - y[0]) / 2
    extent = (x[0] - half_x, x[-1] + half_x, y[0] - half_y, y[-1] + half_y)
    ax.imshow(tint, origin="lower", extent=extent, interpolation="bilinear", zorder=1)
    levels = sorted(set(mass_levels(values, _SHARES)))
    ax.contour(x, y, values, levels, colors=[ANSWER], linewidths=[0.7, 1.1][: len(levels)], zorder=2)


def _draw_places(ax: Axes, draws: Tensor | None, path: Tensor | None, truth: Tensor | None) -> None:
    if draws is not None:
        ax.scatter(*draws.detach().T.numpy(), s=5, color=MUTED, linewidths=0, zorder=3)
    if path is not None:
        ax.plot(*path.detach().T.numpy(), color=INK, linewidth=1.4, zorder=4)
        ax.plot(*path[-1].detach().numpy(), "o", color=INK, markersize=4, zorder=4)
    if truth is not None:
        crosses = torch.atleast_2d(truth).detach().numpy()
        ax.plot(crosses[:, 0], crosses[:, 1], "x", color=FACTUAL, markersize=7, markeredgewidth=1.8, zorder=5)
    ax.tick_params(labelsize=8, color=REAL)
