"""The way through the layers of a flow, as a strip of pictures."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.flows import Flow
from counterflow.plotting.stations import Limits, Station, lattice_lines, stations_of, tints
from counterflow.plotting.style import ANSWER, FAINT, INK, MUTED, canvas, headline

__all__ = ["origin", "plot_layers", "state_title"]

_GAP = 0.03


def plot_layers(
    flow: Flow,
    *,
    context: Float[Tensor, " c"] | None = None,
    samples: int = 500,
    limits: Limits | None = None,
    most: int = 6,
    resolution: int = 96,
    generator: torch.Generator | None = None,
    ax: Axes | None = None,
) -> Axes:
    r"""Draw how the layers of a flow of two features make the data out of the latent, from left to right.

    .. math:: h_0 = z, \quad h_k = f_{n+1-k}^{-1}(h_{k-1}), \quad h_n = x; \qquad
        \log p_k(h_k) = \log p_{k-1}(h_{k-1}) - \log \left| \det \frac{\partial h_k}{\partial h_{k-1}} \right|

    Each picture shows the density after some layers, samples on it, and the lines of a square lattice of the latent
    space. A sample keeps its color, which tells where it came from: dark from the left, bright from the right.

    Args:
        flow: A flow of two features.
        context: The condition, one vector, for a conditional flow.
        samples: How many points are followed.
        limits: ``((x low, x high), (y low, y high))``, one window for all pictures; ``None`` for one
            each that holds the samples.
        most: The most pictures, evenly spaced, latent and data among them.
        resolution: Grid points a side of each density, at least 10.
        generator: Where the samples come from; ``None`` for the same ones every time.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: The flow has not two features.
        ArgumentError: A number is too low.

    Example:
        >>> from counterflow import flows
        >>> ax = plot_layers(flows.realnvp(2, layers=2), samples=50, resolution=10)
        >>> [text.get_text() for text in ax.texts if text.get_text().startswith("after")]
        ['after 1 layer: Coupling', 'after 2 layers: Coupling']
    """
    check_count(most, "most", minimum=2)
    found = stations_of(
        flow, context=context, samples=samples, limits=limits, resolution=resolution, generator=generator
    )
    shown = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    colors = origin(found)
    with canvas(ax, size=(max(2.1 * len(shown), 4.2), 3.0)) as drawn:
        for place, k in enumerate(shown):
            _draw(drawn, found[k], place, colors)
            _write(drawn, found, int(k), place)
        drawn.set(xlim=(0, len(shown)), ylim=(-0.2, 1.0), aspect="equal", xticks=[], yticks=[])
        drawn.spines[:].set_visible(False)
        facts = f"{len(shown)} of {len(found)} states; the color of a sample says how far right it started"
        headline(drawn, "From the latent to the data", subtitle=facts, width=24 * len(shown))
    return drawn


def state_title(found: Sequence[Station], k: int) -> str:
    """What stands below the k-th state.

    Example:
        >>> nothing, window = np.zeros((1, 2)), ((0.0, 1.0), (0.0, 1.0))
        >>> states = [Station(name, nothing, nothing, window, nothing) for name in ("latent", "ActNorm", "Coupling")]
        >>> [state_title(states, k) for k in range(3)]
        ['latent', 'after 1 layer: ActNorm', 'data, after Coupling']
    """
    if k == 0:
        return "latent"
    name = found[k].name
    return f"data, after {name}" if k == len(found) - 1 else f"after {k} layer{'s' if k > 1 else ''}: {name}"


def origin(found: Sequence[Station]) -> Float[np.ndarray, " samples"]:
    """Where in the latent each sample came from: its rank from left to right, from 0 to 1.

    Example:
        >>> points, nothing = np.array([[3.0, 0.0], [1.0, 0.0], [2.0, 0.0]]), np.zeros((1, 2))
        >>> origin([Station("latent", points, nothing, ((0.0, 1.0), (0.0, 1.0)), nothing)])
        array([1. , 0. , 0.5])
    """
    ranks = found[0].points[:, 0].argsort().argsort()
    return ranks / max(len(ranks) - 1, 1)


def _write(ax: Axes, found: Sequence[Station], k: int, place: int) -> None:
    """Name a state, and say how wide its window is."""
    low, high = found[k].limits[0]
    ax.text(place + 0.5, -0.02, state_title(found, k), ha="center", va="top", fontsize=8.5, color=INK)
    ax.text(place + 0.5, -0.11, f"window {high - low:.2g} wide", ha="center", va="top", fontsize=7.5, color=MUTED)


def _draw(ax: Axes, state: Station, place: int, colors: Float[np.ndarray, " samples"]) -> None:
    corner, size = np.array([place + _GAP, _GAP]), 1 - 2 * _GAP
    low, high = np.array(state.limits).T
    frame = Rectangle((corner[0], corner[1]), size, size, fill=False, edgecolor=FAINT, linewidth=0.8)
    ax.add_patch(frame)
    paint = np.empty((*state.density.shape, 4))
    paint[..., :3], paint[..., 3] = to_rgb(ANSWER), 0.65 * tints(state.density)
    box = (corner[0], corner[0] + size, corner[1], corner[1] + size)
    lines = LineCollection(list(corner + size * (lattice_lines(state.lattice) - low) / (high - low)))
    lines.set(color=MUTED, linewidth=0.35, alpha=0.6)
    places = corner + size * (state.points - low) / (high - low)
    for artist in (
        ax.imshow(paint, extent=box, origin="lower", interpolation="bilinear"),
        ax.add_collection(lines),
        ax.scatter(*places.T, c=colors, s=5, linewidths=0, cmap="plasma", vmin=0, vmax=1.15),
    ):
        artist.set_clip_path(frame)
