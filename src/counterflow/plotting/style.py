"""How every picture looks: a calm palette that color-blind readers can tell apart, direct labels, no chart junk.

No picture changes matplotlib's settings for anybody else: they are set within a context and put back.
"""

import textwrap
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

from matplotlib import interactive, is_interactive, rc_context
from matplotlib.axes import Axes

__all__ = [
    "ANSWER",
    "CLASSES",
    "DARK",
    "FACTUAL",
    "FAINT",
    "INK",
    "MUTED",
    "REAL",
    "canvas",
    "headline",
    "label_rows",
    "plain_text",
    "shorten",
]

INK, MUTED, FAINT = "#1f2937", "#64748b", "#cbd5e1"
ANSWER, FACTUAL, REAL = "#0072b2", "#d55e00", "#94a3b8"
CLASSES = ("#e69f00", "#56b4e9", "#009e73", "#cc79a7", "#b5a642", "#7f7f7f")

DARK = {INK: "#e5e7eb", MUTED: "#a3b0c0", FAINT: "#3b4656", ANSWER: "#4fb0ea", FACTUAL: "#ff9357", REAL: "#8493a8"}
"""What each color becomes on a dark page."""

_SETTINGS: dict[Any, Any] = {
    "font.size": 10.0,
    "font.family": "sans-serif",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": FAINT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "text.usetex": False,
    "hatch.linewidth": 0.6,
}


@contextmanager
def canvas(ax: Axes | None, *, size: tuple[float, float]) -> Generator[Axes]:
    """Lend axes to draw on, in the house's style.

    Args:
        ax: The user's axes; ``None`` for a new figure that ``pyplot`` shows.
        size: Width and height of a new figure, inches.

    Yields:
        The axes, without the frame's upper and right side.
    """
    with rc_context(_SETTINGS):
        ax = _new_axes(size) if ax is None else ax
        switched_on = is_interactive()  # a notebook does so with its first figure, which must not be put back
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(FAINT)
        ax.tick_params(color=FAINT, labelcolor=MUTED)
        yield ax
    interactive(switched_on)


def _new_axes(size: tuple[float, float]) -> Axes:
    from matplotlib import pyplot

    return pyplot.subplots(figsize=size, layout="constrained")[1]


def headline(ax: Axes, title: str, *, subtitle: str = "", width: int = 62) -> None:
    """Write a title, and a smaller line of facts below it, at the left over the axes.

    Args:
        ax: Where.
        title: What is seen.
        subtitle: Facts; wrapped as the title is.
        width: Letters a line of the title.
    """
    facts = textwrap.fill(subtitle, int(width * 1.25)) if subtitle else ""
    lines = facts.count("\n") + 1 if facts else 0
    ax.set_title(
        plain_text(textwrap.fill(title, width)),
        loc="left",
        color=INK,
        fontsize=11,
        fontweight="bold",
        pad=8 + 12 * lines,
    )
    if facts:
        ax.annotate(
            plain_text(facts), (0, 1), (0, 6), xycoords="axes fraction", textcoords="offset points",
            color=MUTED, fontsize=8.5, va="bottom", annotation_clip=False,
        )  # fmt: skip


def plain_text(text: str) -> str:
    r"""Text that matplotlib prints as it is: a dollar sign starts no formula.

    Example:
        >>> plain_text("income in $, debt in $")
        'income in \\$, debt in \\$'
    """
    return text.replace("$", r"\$")


def shorten(text: str, length: int = 30) -> str:
    """Cut a long name in its middle.

    Example:
        >>> shorten("NumTrades60Ever2DerogPubRec", 15)
        'NumTrad…gPubRec'
    """
    if len(text) <= length:
        return text
    head = length // 2
    return f"{text[:head]}…{text[len(text) - (length - head - 1) :]}"


def label_rows(ax: Axes, names: Sequence[str], notes: Sequence[str]) -> None:
    """Write a name before and a note behind each horizontal row, the first at the top.

    Args:
        ax: Where; row ``k`` lies at height ``k``.
        names: What stands left of the axes.
        notes: What stands right of them.
    """
    ax.set_yticks(range(len(names)), [plain_text(shorten(name)) for name in names], color=INK, fontsize=9.5)
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    for height, note in enumerate(notes):
        ax.text(1.02, height, plain_text(note), transform=ax.get_yaxis_transform(), va="center", fontsize=9, color=INK)
    ax.set_ylim(len(names) - 0.4, -0.6)
