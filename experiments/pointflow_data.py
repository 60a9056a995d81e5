"""The sets of shapes: generated ones, whose law is known, and real ones."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from counterflow.datasets import solids
from counterflow.pointclouds import draw_points, voxel_points
from experiments.tables import all_data

__all__ = ["POINTS", "SETS", "ShapeSet"]

POINTS = 256
_SEEN = 1024  # points of a training shape, of which fresh ones are drawn in every epoch
_CLASSES = {"chair": 2, "sofa": 7, "table": 8}


class ShapeSet(NamedTuple):
    """Shapes to learn from, and shapes to be judged by.

    Args:
        train: Clouds of many points.
        test: Clouds of POINTS points.
        again: Other points of the same test shapes.
        labels: Their kinds, those of training shapes first; ``None`` where there is one kind.
    """

    train: Tensor
    test: Tensor
    again: Tensor
    labels: tuple[Tensor, Tensor] | None = None


def _split(train: Tensor, test: Tensor, generator: torch.Generator) -> ShapeSet:
    """Two samplings of each test shape, without a common point."""
    test = draw_points(test, 2 * POINTS, generator=generator)
    return ShapeSet(train, *test.split(POINTS, 1))


def _solids(generator: torch.Generator) -> ShapeSet:
    """Boxes, cylinders, cones and tori."""
    train, test = solids(800, _SEEN, generator=generator), solids(100, _SEEN, generator=generator)
    return _split(train.clouds, test.clouds, generator)._replace(labels=(train.family, test.family))


def _furniture(generator: torch.Generator) -> ShapeSet:
    """Chairs, sofas and tables of ModelNet10 from voxels of its surfaces: 300 of each, and 34, 33 and 33 to judge."""
    counts = {"train": (300, 300, 300), "test": (34, 33, 33)}
    with np.load(all_data() / "modelnet10/modelnet10_voxels30_packed.npz", allow_pickle=False) as file:
        parts = [_from_voxels(file[part], file[f"y_{part}"], most, generator) for part, most in counts.items()]
    labels = [torch.arange(3).repeat_interleave(torch.tensor(most)) for most in counts.values()]
    orders = [torch.randperm(len(label), generator=generator) for label in labels]
    train, test = (part[order] for part, order in zip(parts, orders, strict=True))
    kinds = (labels[0][orders[0]], labels[1][orders[1]])
    return _split(train, test, generator)._replace(labels=kinds)


def _from_voxels(packed: np.ndarray, label: np.ndarray, most: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Clouds in units in which the grid's inner cube of 24 voxels is [-1, 1]^3."""
    clouds = []
    for name, count in zip(_CLASSES.values(), most, strict=True):
        rows = np.flatnonzero((label == name) & packed.any(axis=1))  # one table has no voxel
        order = torch.randperm(len(rows), generator=generator)[:count].numpy()
        voxels = np.unpackbits(packed[rows[order]], axis=1, count=27_000).reshape(-1, 30, 30, 30)
        clouds += [
            (voxel_points(torch.as_tensor(body).bool(), _SEEN, generator=generator) - 15) / 12 for body in voxels
        ]
    return torch.stack(clouds)


def _people(generator: torch.Generator) -> ShapeSet:
    """The 108 people of ModelNet40: 72 to learn from, 36 to judge."""
    with np.load(all_data() / "meshes/modelnet40_person_points2048.npz", allow_pickle=False) as file:
        clouds = torch.as_tensor(file["points"].astype(np.float32))
    clouds = clouds[torch.randperm(len(clouds), generator=generator)]
    return _split(clouds[:72], clouds[72:], generator)


SETS: dict[str, Callable[[torch.Generator], ShapeSet]] = {
    "solids": _solids,
    "furniture": _furniture,
    "people": _people,
}
"""For each name what makes the set, from a generator."""
