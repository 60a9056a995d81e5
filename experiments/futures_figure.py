"""Pictures of ``futures.py``: densities over road forks and around pedestrians, and log-densities by horizon."""

import math

import matplotlib.pyplot as plt
import torch

from counterflow.datasets import Forks
from counterflow.plotting import plot_density_map
from counterflow.regression import DensityMap, DensityRegression, density_map
from experiments.futures_measures import scene_input
from experiments.futures_pedestrians import AHEAD, PERIOD, Windows
from experiments.tables import results_path

__all__ = ["draw_forks", "draw_walks"]

_PLANE = ((-3.0, 9.0), (-7.0, 7.0))
_CELLS = 56
_ROADS = (-6.0, 10.0, -8.0, 8.0)


def draw_forks(laws: dict[str, DensityRegression], scenes: Forks, horizons: tuple[float, ...]) -> None:
    """For each scene the exact law at the last horizon, the first law at all, and the others at the last.

    Args:
        laws: What was learned, by name; the first is drawn at every horizon.
        scenes: A few scenes.
        horizons: Seconds, rising.
    """
    first, *others = laws
    last = horizons[-1]
    columns = [(first, h) for h in horizons] + [("exact", last)] + [(name, last) for name in others]
    figure, axes = plt.subplots(
        len(scenes), len(columns), figsize=(1.75 * len(columns), 2.0 * len(scenes)), layout="constrained", squeeze=False
    )
    for row in range(len(scenes)):
        scene = scenes[row : row + 1]
        drawn = scene.at(last).sample(30, generator=torch.Generator().manual_seed(row))[0]
        for ax, (name, horizon) in zip(axes[row], columns, strict=True):
            found = _exact(scene.at(horizon)) if name == "exact" else _learned(laws[name], scene, horizon)
            plot_density_map(
                found,
                draws=drawn if name == "exact" else None,
                path=scene.history()[0].T,
                roads=scene.raster(64)[0, 0],
                extent=_ROADS,
                ax=ax,
            )
            _bare(ax, f"{name}, {horizon:g} s" if row == 0 else "")
    figure.savefig(results_path("futures_forks.png"), dpi=100)
    plt.close(figure)


def draw_walks(laws: dict[str, DensityRegression], windows: Windows) -> None:
    """For a few walks, what each law says of the place after 4.8 seconds.

    Args:
        laws: What was learned on other scenes, by name.
        windows: The walks.
    """
    count = len(windows.seen)
    size = (1.9 * count, 2.0 * len(laws))
    figure, axes = plt.subplots(len(laws), count, figsize=size, layout="constrained", squeeze=False)
    for line, (name, law) in zip(axes, laws.items(), strict=True):
        for i, ax in enumerate(line):
            found = _around(law, Windows(*(part[i : i + 1] for part in windows)))
            plot_density_map(found, path=windows.seen[i], truth=windows.ahead[i, -1], ax=ax)
            ax.plot(*windows.ahead[i].T.numpy(), ":", color="#d55e00", linewidth=1.2, zorder=4)
            _bare(ax, name if i == 0 else "")
    figure.savefig(results_path("futures_walks.png"), dpi=100)
    plt.close(figure)


def _learned(law: DensityRegression, scene: Forks, horizon: float) -> DensityMap:
    return density_map(law, scene_input(scene), limits=_PLANE, resolution=_CELLS, horizon=horizon)


def _exact(scene: Forks) -> DensityMap:
    x, y = (torch.linspace(*side, 80, dtype=torch.float64) for side in _PLANE)
    grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
    return DensityMap(x, y, scene.log_prob(grid.unsqueeze(0))[0])


def _around(law: DensityRegression, window: Windows) -> DensityMap:
    """The density of the last place, in meters, from that of the residual of the mean velocity."""
    after = AHEAD * PERIOD
    ahead = window.pace.item() * after
    along, across = (6 + ahead / 2) / after, 6 / after
    limits = ((-along, (6 - ahead / 2) / after), (-across, across))
    found = density_map(law, window.x, limits=limits, resolution=_CELLS, horizon=after)
    return DensityMap(found.x * after + ahead, found.y * after, found.log_density - 2 * math.log(after))


def _bare(ax: plt.Axes, title: str) -> None:
    ax.set_xticks([])
    ax.set_yticks([])
    ax.set_title(title, fontsize=8.5, loc="left")
