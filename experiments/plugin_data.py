"""The sets of the plug-in: one half to learn from, another for the judges, and test points that neither saw."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from experiments.image_data import load_images, pixels
from experiments.tables import all_data

__all__ = ["SETS", "Part", "PluginSet"]

_POINTS = 512


@dataclass(frozen=True)
class Part:
    """Points with what is known of them.

    Args:
        x: Images ``(n, channels, height, width)`` from 0 to 1, or clouds ``(n, points, 3)``.
        known: A column for each attribute: whole numbers for classes, floats for numbers.
    """

    x: Tensor
    known: dict[str, Tensor]

    def rows(self, chosen: Tensor) -> "Part":
        """Some of the points."""
        return Part(self.x[chosen], {name: column[chosen] for name, column in self.known.items()})

    def mirrored(self) -> "Part":
        """The images, and after them their mirror images."""
        return Part(
            torch.cat([self.x, self.x.flip(-1)]), {name: column.repeat(2) for name, column in self.known.items()}
        )


@dataclass(frozen=True)
class PluginSet:
    """A set in three parts without a common point.

    Args:
        name: What it is called.
        learn: For the autoencoder and the flow.
        judge: For the independent judges.
        test: For measuring.
        mirror: Whether a mirror image is as good as the image.
    """

    name: str
    learn: Part
    judge: Part
    test: Part
    mirror: bool = False


def _halved(name: str, whole: Part, test: Tensor, *, most: int | None = None, mirror: bool = False) -> PluginSet:
    """Everything but the test points in two random halves, of at most so many each."""
    rest = (~test).nonzero()[:, 0]
    rest = rest[torch.randperm(len(rest), generator=torch.Generator().manual_seed(1))]
    half = min(len(rest) // 2, most or len(rest))
    learn, judge = whole.rows(rest[:half]), whole.rows(rest[half : 2 * half])
    return PluginSet(name, learn, judge, whole.rows(test.nonzero()[:, 0]), mirror=mirror)


def _digits() -> PluginSet:
    data = load_images("digits")
    return _halved("digits", Part(pixels(data.images, bits=4), {"digit": data.labels}), data.fold == 2)


def _mnist() -> PluginSet:
    data = load_images("mnist")
    whole = Part(pixels(data.images), {"digit": data.labels})
    return _halved("mnist", whole, (data.fold == 2) & (torch.arange(len(data.fold)) >= 67_000), most=6000)


def _smile() -> PluginSet:
    data = load_images("smile")
    return _halved("smile", Part(pixels(data.images), {"smile": data.labels}), data.fold == 2, mirror=True)


def _utk() -> PluginSet:
    found = np.load(all_data() / "faces_utk/utkface_adult6000_32x32.npz")
    x = pixels(torch.from_numpy(found["x"].transpose(0, 3, 1, 2).copy()))
    known = {
        "gender": torch.from_numpy(found["gender"].astype(np.int64)),
        "age": torch.from_numpy(found["age"]).float(),
    }
    return _halved("utk", Part(x, known), torch.from_numpy(found["fold"]) == 2, mirror=True)


def _modelnet10() -> PluginSet:
    from counterflow.pointclouds import voxel_points

    generator = torch.Generator().manual_seed(0)
    with np.load(all_data() / "modelnet10/modelnet10_voxels30_packed.npz", allow_pickle=False) as found:
        packed = np.concatenate([found["train"], found["test"]])
        kind = torch.from_numpy(np.concatenate([found["y_train"], found["y_test"]]))
        test = torch.arange(len(kind)) >= len(found["train"])
    grids = torch.from_numpy(np.unpackbits(packed, axis=1, count=27_000).reshape(-1, 30, 30, 30)).bool()
    there = grids.flatten(1).any(1)  # a body of the set has no voxel
    clouds = torch.stack([voxel_points(grid, _POINTS, generator=generator) for grid in grids[there]])
    return _halved("modelnet10", Part((clouds - 15) / 12, {"kind": kind[there]}), test[there])


SETS = {"digits": _digits, "mnist": _mnist, "smile": _smile, "utk": _utk, "modelnet10": _modelnet10}
"""Each set by its name; all but the first need the data folder."""
