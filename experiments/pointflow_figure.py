"""Shapes, their reconstructions, and shapes that were drawn."""

from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import Tensor

from counterflow.plotting import plot_clouds, plot_interpolation
from counterflow.pointclouds import PointFlow
from experiments.pointflow_data import POINTS, ShapeSet

__all__ = ["draw"]

_COLUMNS = 8


def draw(model: PointFlow, data: ShapeSet, drawn: dict[str, list[Tensor]], path: Path) -> None:
    """Four rows of shapes, and the way from one to another."""
    test = data.test[:_COLUMNS]
    rows = {
        "test shapes": test,
        "reconstructed": model.reconstruct(test, POINTS, generator=torch.Generator().manual_seed(0)),
        "drawn: flow": drawn["flow"][0][:_COLUMNS],
        "drawn: normal": drawn["normal"][0][:_COLUMNS],
    }
    figure, axes = plt.subplots(2, 1, figsize=(9.5, 7.4), height_ratios=(4.4, 1.5), layout="constrained")
    plot_clouds(
        torch.cat(list(rows.values())),
        columns=_COLUMNS,
        row_names=list(rows),
        title="Shapes, and what PointFlow makes of them",
        subtitle="Normal: latents from a normal law with the mean and covariance of the training shapes' latents.",
        ax=axes[0],
    )
    way = model.interpolate(test[2], test[1], steps=_COLUMNS, points=2 * POINTS)
    plot_interpolation(way, title="From the third to the second", ax=axes[1])
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
