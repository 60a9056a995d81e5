"""Draws of several parameters: each alone on the diagonal, each pair below it."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.plotting.style import ANSWER, CLASSES, FACTUAL, INK, MUTED, canvas, plain_text

__all__ = ["plot_pairs"]

_BINS, _MASSES = 40, (0.5, 0.9)
Span: TypeAlias = tuple[float, float]


def plot_pairs(
    draws: Tensor | Mapping[str, Tensor],
    *,
    truth: Float[Tensor, " parameters"] | None = None,
    names: Sequence[str] | None = None,
    limits: Sequence[tuple[float, float]] | None = None,
    axes: np.ndarray | None = None,
) -> np.ndarray:
    """Draw each parameter's histogram, and for each pair the regions that hold half and nine tenths of the draws.

    Args:
        draws: ``(count, parameters)``, or several such samples by name; the first is filled, the others are lines.
        truth: A point to mark.
        names: Of the parameters.
        limits: Of each parameter's axis; where the draws and the truth lie if not given.
        axes: ``(parameters, parameters)`` axes to draw on; ``None`` for a new figure.

    Returns:
        The axes; those above the diagonal are switched off.

    Raises:
        ShapeError: Samples, names, limits or axes are not of the same parameters.

    Example:
        >>> import torch
        >>> axes = plot_pairs(torch.randn(500, 3, generator=torch.Generator().manual_seed(0)), names=["a", "b", "c"])
        >>> axes.shape, axes[2, 0].get_xlabel(), axes[2, 0].get_ylabel()
        ((3, 3), 'a', 'c')
    """
    samples = {"": draws} if isinstance(draws, Tensor) else dict(draws)
    if not samples:
        raise ArgumentError("draws must be one sample or more, got none.")
    tables = {name: sample.detach().cpu().double().numpy() for name, sample in samples.items()}
    d = next(iter(tables.values())).shape[1]
    mark = None if truth is None else truth.detach().cpu().double().numpy()
    names = [f"theta_{k + 1}" for k in range(d)] if names is None else list(names)
    spans = _spans(list(tables.values()), mark) if limits is None else list(limits)
    axes = _grid(d) if axes is None else axes
    _check(tables, mark, len(names), len(spans), axes)
    colors = dict(zip(tables, [ANSWER, FACTUAL, *CLASSES] * len(tables), strict=False))
    for row, column in np.ndindex(d, d):
        cell: Axes = axes[row, column]  # pyright: ignore[reportAssignmentType]  an array of objects
        if row < column:
            cell.set_axis_off()
            continue
        with canvas(cell, size=(2.0, 2.0)) as ax:
            for name, table in tables.items():
                look = {"color": colors[name], "filled": name == next(iter(tables)), "label": name}
                _draw(ax, table[:, [column, row]], (spans[column], spans[row]), alone=row == column, **look)
            if mark is not None:
                _mark(ax, float(mark[column]), float(mark[row]) if row != column else None)
            _dress(ax, names[column] if row == d - 1 else "", names[row] if column == 0 and row else "")
    if len(tables) > 1:
        legend = axes[0, 0].legend(frameon=False, fontsize=8.5, labelcolor=INK, loc="upper left", bbox_to_anchor=(1, 1))
        legend.set_in_layout(False)
    return axes


def _grid(d: int) -> np.ndarray:
    from matplotlib import pyplot

    side = min(2.0, 10.0 / d) * d
    return pyplot.subplots(d, d, figsize=(side, side), layout="constrained", squeeze=False)[1]


def _check(tables: Mapping[str, np.ndarray], mark: np.ndarray | None, names: int, spans: int, axes: np.ndarray) -> None:
    d = next(iter(tables.values())).shape[1]
    sizes = {f"sample {name}": table.shape[1] for name, table in tables.items()} | {"names": names, "limits": spans}
    sizes |= {"truth": d if mark is None else len(mark)}
    for what, size in sizes.items():
        if size != d:
            raise ShapeError(f"{what} must be of {d} parameters, as the first sample is, got {size}.")
    if axes.shape != (d, d):
        raise ShapeError(f"axes must have shape ({d}, {d}), got {axes.shape}.")


def _spans(tables: list[np.ndarray], mark: np.ndarray | None) -> list[tuple[float, float]]:
    """The middle 99.8 % of each parameter over all samples, and the truth, with some room."""
    ends = np.stack([np.quantile(table, level, axis=0) for table in tables for level in (0.001, 0.999)])
    ends = ends if mark is None else np.concatenate([ends, mark[None]])
    low, high = ends.min(0), ends.max(0)
    room = np.where(high > low, 0.06 * (high - low), 0.5)
    return list(zip(low - room, high + room, strict=True))


def _draw(
    ax: Axes, points: np.ndarray, spans: tuple[Span, Span], *, alone: bool, color: str, filled: bool, label: str
) -> None:
    if alone:
        _histogram(ax, points[:, 0], spans[0], color=color, filled=filled, label=label)
    else:
        _contours(ax, points, spans, color=color, filled=filled)


def _histogram(ax: Axes, values: np.ndarray, span: Span, *, color: str, filled: bool, label: str) -> None:
    kind = "stepfilled" if filled else "step"
    ax.hist(
        values, bins=_BINS, range=span, density=True, histtype=kind, color=color,
        alpha=0.45 if filled else 1.0, linewidth=1.3, label=plain_text(label),
    )  # fmt: skip
    ax.set_xlim(*span)
    ax.set_yticks([])
    ax.spines["left"].set_visible(False)


def _contours(ax: Axes, points: np.ndarray, spans: tuple[Span, Span], *, color: str, filled: bool) -> None:
    """Lines around the densest cells of a smoothed histogram that hold each share of the draws."""
    counts, x, y = np.histogram2d(points[:, 0], points[:, 1], bins=_BINS, range=spans)
    smooth = _smooth(_smooth(counts).T)
    ordered = np.sort(smooth.ravel())[::-1]
    held = ordered.cumsum() / max(ordered.sum(), 1e-12)
    levels = sorted({float(ordered[np.searchsorted(held, mass)]) for mass in _MASSES})
    if levels[0] > 0:
        middle = [(edges[1:] + edges[:-1]) / 2 for edges in (x, y)]
        if filled:
            ax.contourf(*middle, smooth, levels=[*levels, float(ordered[0]) * 1.001], colors=[color, color], alpha=0.3)
            ax.contourf(*middle, smooth, levels=[levels[-1], float(ordered[0]) * 1.001], colors=[color], alpha=0.4)
        ax.contour(*middle, smooth, levels=levels, colors=[color], linewidths=1.1)
    ax.set(xlim=spans[0], ylim=spans[1])


def _smooth(counts: np.ndarray) -> np.ndarray:
    """Along the first axis, with a Gaussian window of 1.2 cells."""
    window = np.exp(-0.5 * (np.arange(-4, 5) / 1.2) ** 2)
    return np.apply_along_axis(np.convolve, 0, counts, window / window.sum(), mode="same")


def _mark(ax: Axes, x: float, y: float | None) -> None:
    ax.axvline(x, color=INK, linewidth=0.8, linestyle=":")
    if y is not None:
        ax.axhline(y, color=INK, linewidth=0.8, linestyle=":")
        ax.plot(x, y, marker="s", color=INK, markersize=4)


def _dress(ax: Axes, below: str, beside: str) -> None:
    ax.locator_params(axis="x", nbins=3)
    ax.tick_params(labelsize=7.5, labelbottom=bool(below), labelleft=bool(beside))
    ax.set_xlabel(plain_text(below), color=MUTED, fontsize=9)
    ax.set_ylabel(plain_text(beside), color=MUTED, fontsize=9)
