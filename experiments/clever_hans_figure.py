"""The picture of the experiment: pictures, counterfactuals, and what each method marks."""

import torch
from torch import Tensor

from experiments.tables import results_path

__all__ = ["figure", "maps_figure", "tiles"]

_MAPS = {
    "latent": "change, latent",
    "input": "change, pixels",
    "saliency": "saliency",
    "integrated_black": "integrated gradients",
}
_HEAT = "magma"


def tiles(sheet: dict[str, Tensor], rows: Tensor, *, named: bool) -> list:
    """Rows of tiles: pictures as they are, and each map with its own largest value as white."""
    from counterflow.plotting.tiles import TileRow

    names = {"original": "original", "counterfactual": "counterfactual", "attack": "attack in pixels"}
    shown = [TileRow(title * named, sheet[name][rows, 0].numpy(), (0.0, 1.0)) for name, title in names.items()]
    for name, title in _MAPS.items():
        maps = sheet[name][rows]
        maps = maps / maps.flatten(1).amax(1).clamp(min=1e-12).view(-1, 1, 1)
        shown.append(TileRow(title * named, maps.numpy(), (0.0, 1.0), _HEAT))
    return shown


def figure(name: str, sheets: dict[str, dict[str, Tensor]], *, columns: int = 6) -> None:
    """Draw the sheets of a run side by side; of radiographs only the mean maps, which show no patient."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    if name == "covid":
        maps_figure(sheets)
        return
    from counterflow.plotting.tiles import draw_tiles, sheet_size

    titles = {"away": "Tagged 8s, to the class that comes second", "to": "Other digits, to the tagged class 8"}
    width, height = sheet_size(7, columns, cell=0.8)
    drawn, axes = plt.subplots(1, 2, figsize=(1.8 * width, height), gridspec_kw={"wspace": 0.05})
    for place, (which, sheet) in enumerate(sheets.items()):
        found = sheet["latent"].flatten(1).isfinite().all(1) & sheet["input"].flatten(1).isfinite().all(1)
        rows = torch.where(found)[0][:columns]
        draw_tiles(axes[place], tiles(sheet, rows, named=place == 0), title=titles[which])
    drawn.savefig(results_path(f"clever_hans_{name}.png"), dpi=80, bbox_inches="tight")
    plt.close(drawn)


def maps_figure(sheets: dict[str, dict[str, Tensor]]) -> None:
    """Draw the mean map of each method, each map with mass one, and the ellipse that halves the area."""
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(len(sheets), len(_MAPS), figsize=(2.1 * len(_MAPS), 2.3 * len(sheets)))
    for place, (which, sheet) in enumerate(sheets.items()):
        for ax, (name, title) in zip(axes[place], _MAPS.items(), strict=True):
            maps = sheet[name][sheet[name].flatten(1).isfinite().all(1)]
            mean = (maps / maps.flatten(1).sum(1).view(-1, 1, 1)).mean(0)
            side = mean.shape[-1]
            ax.imshow(mean, cmap=_HEAT)
            radius = side * (0.5 / 3.141592653589793) ** 0.5
            ax.add_patch(plt.Circle((side / 2 - 0.5, side / 2 - 0.5), radius, fill=False, color="white", linewidth=1))
            ax.set(xticks=[], yticks=[], title="" if place else title)
        axes[place, 0].set_ylabel(which.replace("_", " "))
    drawn.suptitle("Where the maps lie, on average")
    drawn.tight_layout()
    drawn.savefig(results_path("clever_hans_covid.png"), dpi=80)
    plt.close(drawn)
