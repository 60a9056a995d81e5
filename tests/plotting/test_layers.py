"""The way through the layers of a flow: a strip of pictures, and a page with a slider."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from matplotlib import image
from matplotlib.collections import PathCollection
from scipy.stats import multivariate_normal

from counterflow import bijections, flows
from counterflow.core.errors import ArgumentError, PersistenceError, ShapeError
from counterflow.distributions import NormalMixture
from counterflow.plotting import layers_slider, plot_layers
from counterflow.plotting.stations import lattice_lines, stations_of, tints

SETTINGS = {"context": None, "samples": 40, "limits": None, "resolution": 20, "generator": None}
TOO_FEW = [({"most": 1}, "most"), ({"samples": 0}, "samples"), ({"resolution": 9}, "resolution")]


def bent(layers=3, context_features=0):
    """A flow whose weights are no zeros, so that every layer moves something."""
    generator = torch.Generator().manual_seed(0)
    flow = flows.realnvp(2, layers=layers, hidden=(8,), context_features=context_features, generator=generator)
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(0.2 * torch.randn(weight.shape, generator=generator))
    return flow


def page_of(flow, folder, **settings):
    path = layers_slider(flow, folder / "layers.html", samples=30, resolution=16, **settings)
    text = path.read_text(encoding="utf-8")
    data = re.search(r'<script type="application/json" id="flow">(.*?)</script>', text, re.DOTALL).group(1)
    return text, json.loads(data)


def test_the_last_state_is_the_flow():
    """Witness: the flow's own way to the data, and its own density."""
    flow = bent()
    found = stations_of(flow, **SETTINGS)
    assert [state.name for state in found] == ["latent", "Coupling", "Coupling", "Coupling", "ActNorm"]
    with torch.no_grad():
        x = flow.to_data(torch.as_tensor(found[0].points, dtype=torch.float32))[0]
        low, high = np.array(found[-1].limits).T
        corner = flow(torch.as_tensor(low + (high - low) / 40, dtype=torch.float32)).exp()
    np.testing.assert_allclose(found[-1].points, x.numpy(), atol=1e-5)
    assert found[-1].density[0, 0] == pytest.approx(corner.item(), rel=1e-4)


def test_the_first_state_is_the_base():
    """Witness: scipy's normal density."""
    (state, *_) = stations_of(bent(), **{**SETTINGS, "limits": ((-2.0, 2.0), (-1.0, 3.0))})
    x, y = np.linspace(-2, 2, 41)[1::2], np.linspace(-1, 3, 41)[1::2]
    expected = multivariate_normal(np.zeros(2)).pdf(np.stack(np.meshgrid(x, y), -1))
    np.testing.assert_allclose(state.density, expected, rtol=1e-5)


def test_every_state_is_a_density():
    """Witness: each integrates to one, by a sum over the plane."""
    wide = ((-12.0, 12.0), (-12.0, 12.0))
    for state in stations_of(bent(), **{**SETTINGS, "limits": wide, "resolution": 241}):
        assert state.density.sum() * (24 / 241) ** 2 == pytest.approx(1.0, abs=1e-4)


def test_chains_within_chains_are_taken_apart():
    inner = bijections.Chain([bijections.ActNorm(2), bijections.Permutation.reversal(2)])
    flow = flows.compose([inner, bijections.Affine(2)])
    assert [state.name for state in stations_of(flow, **SETTINGS)] == ["latent", "Affine", "Permutation", "ActNorm"]


def test_a_single_layer_over_another_base():
    base = NormalMixture(2, components=2, generator=torch.Generator().manual_seed(0))
    assert len(stations_of(flows.compose(bijections.ActNorm(2), base), **SETTINGS)) == 2


def test_a_condition_moves_the_data_and_not_the_latent():
    flow = bent(context_features=1)
    here, there = (stations_of(flow, **{**SETTINGS, "context": torch.tensor([value])}) for value in (-1.0, 1.0))
    np.testing.assert_array_equal(here[0].points, there[0].points)
    assert np.abs(here[-1].points - there[-1].points).max() > 0.1


def test_the_lattice_starts_square():
    lines = lattice_lines(stations_of(bent(), **SETTINGS)[0].lattice)
    assert lines.shape == (26, 61, 2)
    assert np.ptp(lines[:13, :, 0], axis=1).max() == np.ptp(lines[13:, :, 1], axis=1).max() == 0


def test_nothing_has_no_tint():
    np.testing.assert_array_equal(tints(np.zeros((3, 3))), np.zeros((3, 3)))


def test_a_strip_shows_latent_and_data_among_so_many(ax):
    flow = bent(layers=9)
    assert plot_layers(flow, samples=30, resolution=12, most=4, ax=ax) is ax
    ax.figure.canvas.draw()
    said = [text.get_text() for text in ax.texts if not text.get_text().startswith("window")]
    assert said[:4] == ["latent", "after 3 layers: Coupling", "after 7 layers: Coupling", "data, after ActNorm"]
    clouds = [artist for artist in ax.collections if isinstance(artist, PathCollection)]
    assert [len(cloud.get_offsets()) for cloud in clouds] == [30] * 4


@pytest.mark.parametrize(("settings", "sentence"), TOO_FEW)
def test_too_few(ax, settings, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        plot_layers(bent(), ax=ax, **settings)


def test_a_flow_of_three_features(ax, tmp_path):
    for draw in (lambda flow: plot_layers(flow, ax=ax), lambda flow: layers_slider(flow, tmp_path / "a.html")):
        with pytest.raises(ShapeError, match=r"event shape \(2,\), got \(3,\)"):
            draw(flows.linear(3))


def test_a_flow_that_has_burst(ax):
    flow = flows.compose(bijections.Linear(torch.eye(2), shift=torch.tensor([torch.inf, 0.0])))
    with pytest.raises(ArgumentError, match="not finite"):
        plot_layers(flow, ax=ax)


def test_the_page_holds_every_state(tmp_path):
    """Witness: the flow's own way to the data."""
    flow = bent()
    _, data = page_of(flow, tmp_path)
    assert [state["title"] for state in data["states"]][::4] == ["latent", "data, after ActNorm"]
    first, last = (torch.tensor(data["states"][k]["points"]).view(-1, 2) for k in (0, -1))
    with torch.no_grad():
        np.testing.assert_allclose(flow.to_data(first)[0].numpy(), last.numpy(), atol=0.03)  # three decimals, bent
    assert len(data["colors"]) == 30
    assert all(re.fullmatch("#[0-9a-f]{6}", color) for color in data["colors"])


def test_the_densities_of_the_page_are_pictures(tmp_path):
    """Witness: the paint of the latent is the density's root, upside down as pictures are."""
    flow = bent()
    _, data = page_of(flow, tmp_path)
    source = data["states"][0]["density"].removeprefix("data:image/png;base64,")
    paint = image.imread(io.BytesIO(base64.b64decode(source)))
    expected = tints(stations_of(flow, **{**SETTINGS, "samples": 30, "resolution": 16})[0].density)[::-1]
    np.testing.assert_allclose(paint[..., 3], 0.65 * expected, atol=0.005)


def test_the_page_stands_alone_and_its_tags_nest(tmp_path):
    text, _ = page_of(bent(), tmp_path, title="<b>a & b</b>")
    opened, seen = [], []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attrs):
            seen.extend((tag, *pair) for pair in attrs)
            if tag not in {"meta", "input", "option"}:
                opened.append(tag)

        def handle_endtag(self, tag):
            assert opened.pop() == tag

    Reader().feed(text)
    assert opened == []
    assert "<title>&lt;b&gt;a &amp; b&lt;/b&gt;</title>" in text
    assert not [source for _, key, source in seen if key in {"src", "href"}]
    assert "http" not in text
    ids = [value for _, key, value in seen if key == "id"]
    assert {"plane", "layer", "play", "name", "lattice", "flow"} <= set(ids)
    assert len(ids) == len(set(ids))


def test_a_window_for_all_states_does_not_move(tmp_path):
    text, data = page_of(bent(), tmp_path, limits=((-3.0, 3.0), (-2.0, 4.0)))
    assert {tuple(state["window"]) for state in data["states"]} == {(-3.0, 3.0, -2.0, 4.0)}
    assert "The window follows" not in text


def test_the_same_flow_gives_the_same_page(tmp_path):
    assert page_of(bent(), tmp_path)[0] == page_of(bent(), tmp_path)[0]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(PersistenceError):
        layers_slider(bent(), tmp_path / "none" / "a.html", samples=5, resolution=10)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the browser chromium")
def test_a_browser_runs_the_page(tmp_path):
    """The script runs to its end: it names the state where the slider stands."""
    path = layers_slider(bent(), tmp_path / "layers.html", samples=30, resolution=16)
    command = [
        "chromium",
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}/user",
        "--dump-dom",
    ]
    done = subprocess.run([*command, path.as_uri()], capture_output=True, text=True, timeout=120, check=True)
    assert re.search(r'<output id="name" for="layer">latent</output>', done.stdout)
