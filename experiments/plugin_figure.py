"""The sheets of the plug-in: what is drawn with given attributes, and what edits make of test points."""

import torch
from torch import Tensor

from counterflow.latent import ClassAttribute, LatentFlow
from counterflow.plotting import plot_images
from experiments.plugin_data import PluginSet
from experiments.plugin_measures import changed, decoded, nearest
from experiments.tables import results_path

__all__ = ["draw"]

_SIDE = 10


def draw(latent: LatentFlow, data: PluginSet, path: str | None = None) -> None:
    """Draw samples of each class, and edits of ten test points with growing strength beside their neighbors."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    member = next(one for one in latent.attributes.members if isinstance(one, ClassAttribute))
    generator = torch.Generator().manual_seed(21)
    classes = member.classes[:_SIDE]
    sheet = [latent.sample(_SIDE, {member.name: c}, temperature=0.8, generator=generator) for c in classes]
    part, new = changed(latent, data, most=_SIDE)[member.name]
    rows = {"original": part.x, "reconstruction": decoded(latent, part.x)}
    for strength in (0.25, 0.5, 0.75, 1.0):
        rows[f"strength {strength}"] = latent.edit(part.x, new, before=part.known, strength=strength).edited
    rows["nearest real"] = nearest(part, data, member.name, new)
    pairs = zip(part.known[member.name].tolist(), new[member.name].tolist(), strict=True)
    captions = [f"{old} to {to}" for old, to in pairs]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 0.5 * max(len(sheet), len(rows)) + 1.2))
    show = _clouds if part.x.dim() == 3 else _images
    show(left, sheet, [f"{member.name} {c}" for c in classes], [], "drawn, temperature 0.8")
    show(right, list(rows.values()), list(rows), captions, f"test points with another {member.name}")
    figure.tight_layout()
    figure.savefig(path or results_path(f"plugin_{data.name}.png"), dpi=100)
    plt.close(figure)


def _images(ax: object, rows: list[Tensor], names: list[str], captions: list[str], title: str) -> None:
    images = torch.cat(rows).clamp(0, 1)
    plot_images(images, columns=_SIDE, row_names=names, captions=captions, title=title, ax=ax)


def _clouds(ax: object, rows: list[Tensor], names: list[str], captions: list[str], title: str) -> None:
    """Rows of clouds seen from a corner."""
    for place, row in enumerate(rows):
        for column, cloud in enumerate(row):
            x, y, z = cloud.T
            depth = (x + y) / 2**0.5
            order = depth.argsort()
            ax.scatter(
                2.6 * column + ((x - y) / 2**0.5)[order], -2.6 * place + (z + 0.3 * depth)[order], s=0.4,
                c=depth[order], cmap="viridis",
            )  # fmt: skip
    ax.set_aspect("equal")
    ax.set_title(title, fontsize=10)
    ax.set_xticks([2.6 * place for place in range(len(captions))], captions, fontsize=6)
    ax.xaxis.tick_top()
    ax.set_yticks([-2.6 * place for place in range(len(rows))], names, fontsize=8)
    ax.tick_params(length=0)
