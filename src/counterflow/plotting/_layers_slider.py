"""The way through the layers of a flow, as a page with a slider."""

import base64
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.colors import to_hex, to_rgb
from matplotlib.image import imsave
from torch import Tensor

from counterflow.flows import Flow
from counterflow.persistence import atomic_write
from counterflow.plotting._layers import origin, state_title
from counterflow.plotting.html.elements import Markup, element, paragraph
from counterflow.plotting.stations import Limits, Station, lattice_lines, stations_of, tints
from counterflow.plotting.style import ANSWER

__all__ = ["layers_slider"]

_CAPTION = (
    "Blue: the density. Points: samples, colored by how far right they started. Lines: a square lattice of the latent "
    "space. The marks of the slider are states of the flow, their densities exact; between two of them points move "
    "straight and the densities fade into each other."
)
_FOLLOWS = " The window follows the points."


def layers_slider(
    flow: Flow,
    path: str | Path,
    *,
    context: Float[Tensor, " c"] | None = None,
    samples: int = 600,
    limits: Limits | None = None,
    resolution: int = 96,
    title: str = "Through the layers of a flow",
    generator: torch.Generator | None = None,
) -> Path:
    r"""Write one self-contained HTML file with a slider that moves samples and density through the layers of a flow.

    .. math:: h_0 = z, \quad h_k = f_{n+1-k}^{-1}(h_{k-1}), \quad h_n = x

    Nothing in it is fetched from anywhere. The slider stops at every layer; a button plays the way from the latent to
    the data. It is the moving form of :func:`plot_layers`.

    Args:
        flow: A flow of two features.
        path: The file to write; its folder must exist.
        context: The condition, one vector, for a conditional flow.
        samples: How many points are followed.
        limits: ``((x low, x high), (y low, y high))``, one window for all states; ``None`` for one that follows.
        resolution: Grid points a side of each density, at least 10.
        title: The heading.
        generator: Where the samples come from; ``None`` for the same ones every time.

    Returns:
        The path written.

    Raises:
        ShapeError: The flow has not two features.
        ArgumentError: A number is too low.
        PersistenceError: The file could not be written; what was there before is unchanged.

    Example:
        >>> import tempfile
        >>> from counterflow import flows
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = layers_slider(flows.realnvp(2), Path(folder, "layers.html"), samples=50, resolution=10)
        ...     page.read_text().startswith("<!DOCTYPE html>")
        True
    """
    found = stations_of(
        flow, context=context, samples=samples, limits=limits, resolution=resolution, generator=generator
    )
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", _resource("slider.css")),
    )
    caption = _CAPTION + (_FOLLOWS if limits is None else "")
    body = element("body", element("h1", title), *_stage(len(found) - 1), paragraph(caption, kind="small"))
    scripts = (
        f'<script type="application/json" id="flow">{_data(found)}</script><script>{_resource("slider.js")}</script>'
    )
    page = element("html", head, Markup(body.removesuffix("</body>") + scripts + "</body>"), attributes={"lang": "en"})
    return atomic_write(path, f"<!DOCTYPE html>\n{page}\n")


def _resource(name: str) -> Markup:
    return Markup(files("counterflow.plotting.html").joinpath(name).read_text(encoding="utf-8"))


def _stage(last: int) -> list[Markup]:
    """The plane, the slider with a mark at every layer, and what stands around them."""
    alone = "Samples and density of a flow, drawn after the layer that the slider names"
    marks = [Markup(f'<option value="{k}">') for k in range(last + 1)]
    controls = Markup(
        '<button id="play" type="button">Play</button>'
        '<label><input id="lattice" type="checkbox" checked> lattice of the latent space</label>'
    )
    slider = (
        f'<input id="layer" type="range" min="0" max="{last}" step="0.01" value="0" list="marks" aria-label="layer">'
    )
    return [
        element(
            "canvas", attributes={"id": "plane", "width": "1000", "height": "1000", "role": "img", "aria-label": alone}
        ),
        paragraph(Markup('<output id="name" for="layer"></output>')),
        Markup(slider),
        element("datalist", *marks, attributes={"id": "marks"}),
        element("div", controls, attributes={"class": "controls"}),
        element("noscript", paragraph("This page needs JavaScript, which it holds itself.")),
    ]


def _data(found: Sequence[Station]) -> str:
    """All states as JSON that may stand in a script element."""
    states = [
        {
            "title": state_title(found, k),
            "window": [round(edge, 4) for side in state.limits for edge in side],
            "points": _rounded(state.points),
            "lattice": _rounded(state.lattice),
            "density": _picture(state.density),
        }
        for k, state in enumerate(found)
    ]
    colors = [to_hex(colormaps["plasma"](0.08 + 0.8 * share)) for share in origin(found)]
    data = {"states": states, "colors": colors, "steps": lattice_lines(found[0].lattice).shape[1]}
    return json.dumps(data, allow_nan=False).replace("<", "\\u003c")


def _rounded(points: Float[np.ndarray, "points 2"]) -> list[float]:
    """Coordinates one after the other; what is no number stands far outside."""
    return [round(float(value), 3) for value in np.nan_to_num(points, nan=1e6, posinf=1e6, neginf=-1e6).ravel()]


def _picture(density: Float[np.ndarray, "side side"]) -> str:
    """A density as a picture in itself, clear where there is nothing."""
    paint = np.empty((*density.shape, 4))
    paint[..., :3], paint[..., 3] = to_rgb(ANSWER), 0.65 * tints(density)
    file = io.BytesIO()
    imsave(file, paint, format="png", origin="lower", metadata={"Software": ""})
    return f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
