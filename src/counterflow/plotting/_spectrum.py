"""The spectrum of a flow's Jacobian: how many directions lead along the data."""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.plotting.style import ANSWER, FAINT, INK, MUTED, REAL, canvas, headline

__all__ = ["plot_spectrum"]


def plot_spectrum(
    values: Float[Tensor, "*points d"], *, dimension: int | None = None, title: str = "", ax: Axes | None = None
) -> Axes:
    """Draw singular values from the largest down on a logarithmic scale: a line for each point, their median thick.

    Args:
        values: As :func:`counterflow.geometry.jacobian_singular_values` gives them, for one point or for many.
        dimension: A number of directions to mark.
        title: What stands above.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: There are no values.

    Example:
        >>> import torch
        >>> plot_spectrum(torch.tensor([[3.0, 0.1], [2.0, 0.2]])).get_yscale()
        'log'
    """
    lines = values.detach().cpu().double().reshape(-1, values.shape[-1]).clamp(min=1e-300).numpy()
    if not lines.size:
        raise ArgumentError("there must be at least one singular value to draw, got none.")
    places = range(1, lines.shape[1] + 1)
    with canvas(ax, size=(7.0, 4.0)) as drawn:
        if len(lines) > 1:
            drawn.plot(places, lines.T, color=REAL, linewidth=0.6, alpha=0.6)
        drawn.plot(places, np.median(lines, axis=0), color=ANSWER, linewidth=2.0)
        drawn.set_yscale("log")
        drawn.grid(axis="y", color=FAINT, linewidth=0.5, alpha=0.6)
        drawn.set_axisbelow(True)
        if dimension is not None:
            drawn.axvline(dimension, color=INK, linewidth=0.8, linestyle=":")
            drawn.annotate(
                f"{dimension}", (dimension, 1), (4, -4), xycoords=drawn.get_xaxis_transform(), va="top",
                textcoords="offset points", color=INK, fontsize=9,
            )  # fmt: skip
        facts = "one point" if len(lines) == 1 else f"thin: {len(lines)} points, thick: their median"
        headline(drawn, title or "How far the data spread in each direction", subtitle=facts)
        drawn.set_xlabel("direction, the widest first", color=MUTED, fontsize=8.5)
        drawn.set_ylabel("singular value", color=MUTED, fontsize=8.5)
    return drawn
