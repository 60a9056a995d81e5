"""A predicted law row by row, and whether its probabilities keep their word."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.inference import ecdf_band
from counterflow.metrics import pit_distance
from counterflow.plotting.style import ANSWER, FAINT, INK, MUTED, canvas, headline

__all__ = ["plot_pit", "plot_predictions"]


def plot_predictions(
    quantiles: Float[np.ndarray, "*shape"],
    y: Float[np.ndarray, "*_"] | None = None,
    *,
    levels: Sequence[float],
    x: Float[np.ndarray, "*_"] | None = None,
    names: tuple[str, str] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw predicted quantiles as nested bands: over a column, or over the rows in the order of their middle quantile.

    Args:
        quantiles: Of each row, as ``FlowRegressor.predict_quantiles`` gives them.
        y: What came, drawn as points.
        levels: Their levels, an odd number of them, rising and symmetric about one half.
        x: Where each row stands; ``None`` for the order of the middle quantiles.
        names: What the axes are; ``None`` says it in general words.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ArgumentError: The levels do not rise, or are not symmetric about one half.
        ShapeError: y, x and quantiles differ in their rows, or levels and quantiles in their columns; of several
            targets draw one at a time.

    Example:
        >>> quantiles = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
        >>> plot_predictions(quantiles, np.array([1.0, 4.0]), levels=[0.1, 0.5, 0.9]).get_ylabel()
        'target'
    """
    shares, rows = _checked_shares(levels), len(quantiles)
    _check_shapes({"quantiles": quantiles, "x": x, "y": y}, rows, len(shares))
    names = names or ("rows, by their median" if x is None else "x", "target")
    middle = len(shares) // 2
    order = np.argsort(quantiles[:, middle] if x is None else x, kind="stable")
    place = np.arange(rows) if x is None else np.asarray(x)[order]
    found = quantiles[order]
    with canvas(ax, size=(6.4, 3.6)) as drawn:
        for i in range(middle):
            share = round(100 * (shares[-1 - i] - shares[i]))
            drawn.fill_between(
                place, found[:, i], found[:, -1 - i], color=ANSWER, alpha=0.18, linewidth=0, label=f"{share}%"
            )
        drawn.plot(place, found[:, middle], color=ANSWER, linewidth=1.4, label="median")
        if y is not None:
            drawn.plot(place, np.asarray(y)[order], ".", color=INK, markersize=3, alpha=0.6, label="what came")
        drawn.legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left", ncols=4)
        headline(drawn, "What is predicted, row by row")
        drawn.set_xlabel(names[0], color=MUTED, fontsize=8.5)
        drawn.set_ylabel(names[1], color=MUTED, fontsize=8.5)
    return drawn


def _checked_shares(levels: Sequence[float]) -> np.ndarray:
    shares = np.asarray(levels, dtype=float)
    if len(shares) % 2 == 0 or not np.allclose(shares + shares[::-1], 1) or (np.diff(shares) <= 0).any():
        raise ArgumentError(
            f"levels must rise, be symmetric about 0.5 and hold it, got {list(levels)}. Use (0.05, 0.5, 0.95)."
        )
    return shares


def _check_shapes(given: dict[str, np.ndarray | None], rows: int, levels: int) -> None:
    shapes = {name: np.shape(values) for name, values in given.items() if values is not None}
    if shapes != {name: (rows,) for name in shapes} | {"quantiles": (rows, levels)}:
        raise ShapeError(
            f"quantiles must have shape (rows, {levels}), and x and y (rows,), got {shapes}. Of several targets draw "
            "one: quantiles[..., 0], y[:, 0]."
        )


def plot_pit(pit: Float[np.ndarray, "*rows"], *, ax: Axes | None = None) -> Axes:
    """Draw the distribution function of probability integral transforms, less the diagonal, with its band.

    A law that is right stays within the band as a whole with a chance of 95 %. Too narrow a law is above zero on the
    left and below it on the right; too wide a law the other way round; a shifted one stays on one side.

    Args:
        pit: F(y | x) of each row, as ``FlowRegressor.pit`` gives it.
        ax: Where to draw; ``None`` for a new figure.

    Returns:
        The axes.

    Raises:
        ShapeError: There is not one number for each row, or no row.

    Example:
        >>> plot_pit(np.linspace(0.01, 0.99, 50)).get_xlabel()
        'F(y | x)'
    """
    pit = np.asarray(pit)
    if pit.ndim != 1 or not pit.size:
        raise ShapeError(f"pit must have one number for each row, got shape {pit.shape}. Pass law.pit(X, y).")
    band = ecdf_band(len(pit))
    at, low, high = (np.concatenate([[0.0], side, [1.0]]) for side in (band.points, band.low, band.high))
    grid = np.linspace(0, 1, 401)
    share = np.searchsorted(np.sort(pit), grid, side="right") / len(pit)
    with canvas(ax, size=(4.6, 3.2)) as drawn:
        drawn.fill_between(at, low - at, high - at, color=FAINT, alpha=0.5, linewidth=0)
        drawn.axhline(0, color=MUTED, linewidth=0.8)
        drawn.plot(grid, share - grid, color=ANSWER, linewidth=1.6)
        drawn.set_xlim(0, 1)
        headline(drawn, f"Farthest from uniform by {pit_distance(pit):.3f}")
        drawn.set_xlabel("F(y | x)", color=MUTED, fontsize=8.5)
        drawn.set_ylabel("share of rows, less what is expected", color=MUTED, fontsize=8.5)
    return drawn
