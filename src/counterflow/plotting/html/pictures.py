"""Pictures inside the page: SVG that follows the reader's light or dark page, as data within the file."""

import base64
import io
import re
import warnings
from collections.abc import Callable

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from counterflow.plotting.html.elements import Markup, element
from counterflow.plotting.style import DARK

__all__ = ["picture", "svg_of"]


def picture(draw: Callable[[Axes], object], *, size: tuple[float, float], alt: str, caption: str) -> Markup:
    """A figure with its caption.

    Args:
        draw: Draws on the axes it is given.
        size: Width and height, inches.
        alt: What is seen, for those who do not see it.
        caption: What it shows.

    Returns:
        The markup.
    """
    data = base64.b64encode(svg_of(draw, size=size).encode()).decode()
    attributes = {"alt": alt, "src": f"data:image/svg+xml;base64,{data}", "width": f"{size[0] * 96:.0f}"}
    image = Markup(element("img", attributes=attributes).removesuffix("</img>"))
    return element("figure", image, element("figcaption", caption))


def svg_of(draw: Callable[[Axes], object], *, size: tuple[float, float]) -> str:
    """Draw on a figure that pyplot never hears of, and give it as SVG.

    The same drawing gives the same text, and nothing in it names a program or a place.

    Args:
        draw: Draws on the axes it is given.
        size: Width and height, inches.

    Returns:
        The SVG, with colors for a dark page too.
    """
    figure = Figure(figsize=size, layout="constrained")
    draw(figure.add_subplot())
    text = io.StringIO()
    with rc_context({"svg.fonttype": "path", "svg.hashsalt": "counterflow"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(text, format="svg", transparent=True, dpi=150)
    svg = re.sub(r"<metadata>.*?</metadata>", "", text.getvalue(), flags=re.DOTALL)
    svg = svg[svg.index("<svg") :]
    return svg.replace("</defs>", f"<style>{_dark_rules()}</style></defs>", 1)


def _dark_rules() -> str:
    """Rules that outdo the colors written on each shape when the reader's page is dark."""
    rules = [
        f'[style*="{kind}: {light}"]{{{kind}:{dark} !important}}'
        for light, dark in DARK.items()
        for kind in ("fill", "stroke")
    ]
    return f"@media (prefers-color-scheme: dark){{{''.join(rules)}}}"
