"""The sets of pictures of the experiments, with their splits and what is asked of them."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from experiments.tables import all_data

__all__ = ["IMAGE_SETS", "ImageSet", "dequantize", "load_images", "pixels"]


@dataclass(frozen=True)
class ImageSet:
    """Pictures of bytes with a class each.

    Args:
        name: What the set is called.
        images: Bytes ``(n, channels, height, width)``.
        labels: The classes, 0, 1, ...; -1 for pictures that are of none.
        fold: 0 for training, 1 for validation, 2 for testing.
        classes: What the classes are called.
        bits: With how many bits a pixel is kept; fewer than 8 drop the lowest.
    """

    name: str
    images: Tensor
    labels: Tensor
    fold: Tensor
    classes: tuple[str, ...]
    bits: int = 8

    def part(self, fold: int, label: int | None = None) -> tuple[Tensor, Tensor]:
        """The bytes and classes of one fold, of one class only if it is named."""
        chosen = self.fold == fold
        if label is not None:
            chosen &= self.labels == label
        return self.images[chosen], self.labels[chosen]


def pixels(images: Tensor, *, bits: int = 8) -> Tensor:
    """Bytes as numbers in (0, 1): the middle of the cell of each gray level."""
    levels = 2**bits
    return (images.div(256 // levels, rounding_mode="floor") + 0.5) / levels


def dequantize(images: Tensor, generator: torch.Generator, *, bits: int = 8) -> Tensor:
    """Bytes as numbers in (0, 1) with uniform noise of one gray level."""
    middle = pixels(images, bits=bits)
    noise = torch.rand(middle.shape, generator=generator, device=middle.device)
    return middle + (noise - 0.5) / 2**bits


def load_images(name: str) -> ImageSet:
    """Load one of :data:`IMAGE_SETS`."""
    return IMAGE_SETS[name]()


def _digits() -> ImageSet:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    fold = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [1197, 200, 400]))
    bytes_ = (images * 16).clip(0, 255).astype(np.uint8).reshape(-1, 8, 8)  # 17 levels, kept as 4 bits
    return _made("digits", bytes_, labels, fold, tuple("0123456789"), bits=4)


def _mnist() -> ImageSet:
    found = np.load(all_data() / "mnist/mnist.npz")
    images = np.concatenate([found["x_train"], found["x_test"]])
    labels = np.concatenate([found["y_train"], found["y_test"]])
    return _made("mnist", images, labels, np.repeat([0, 1, 2], [50_000, 10_000, 10_000]), tuple("0123456789"))


def _smile() -> ImageSet:
    found = np.load(all_data() / "faces_smile/smile_lfw_32x32.npz")
    return _made("smile", found["x"], found["smile"], found["fold"], ("not smiling", "smiling"), bits=5)


def _utk() -> ImageSet:
    found = np.load(all_data() / "faces_utk/utkface_adult6000_32x32.npz")
    age = found["age"].astype(np.int64)
    labels = np.select([age < 30, age > 60], [0, 1], default=-1)
    return _made("utk", found["x"].transpose(0, 3, 1, 2), labels, found["fold"], ("under 30", "over 60"), bits=5)


def _pneumonia() -> ImageSet:
    found = np.load(all_data() / "pneumoniamnist/pneumoniamnist_28.npz")
    folds = [np.full(len(found[f"{name}_labels"]), fold) for fold, name in enumerate(("train", "val", "test"))]
    images, labels = (
        np.concatenate([found[f"{name}_{what}"] for name in ("train", "val", "test")]) for what in ("images", "labels")
    )
    return _made("pneumonia", images, labels, np.concatenate(folds), ("normal", "pneumonia"))


def _covid() -> ImageSet:
    """Radiographs of two sources, halved: those of one hospital's archive, and Covid pictures collected elsewhere."""
    found = np.load(all_data() / "chest_xray/cxr_64.npz")
    names = [str(name).lower() for name in found["classes"]]
    sick = found["y"] == next(i for i, name in enumerate(names) if "covid" in name)
    halved = found["x"].reshape(-1, 32, 2, 32, 2).mean((2, 4)).round().astype(np.uint8)
    people = np.where(sick, 100_000 + np.arange(len(sick)), found["nih_patient_id"])  # no id is known of the others
    turn = np.random.default_rng(0).permutation(np.unique(people))
    place = {person: i / len(turn) for i, person in enumerate(turn)}
    where = np.array([place[person] for person in people])
    return _made("covid", halved, sick, np.digitize(where, [0.7, 0.8]), ("archive", "covid"))


def _made(
    name: str, images: np.ndarray, labels: np.ndarray, fold: np.ndarray, classes: tuple[str, ...], *, bits: int = 8
) -> ImageSet:
    shaped = images if images.ndim == 4 else images[:, None]
    return ImageSet(
        name=name,
        images=torch.from_numpy(np.ascontiguousarray(shaped)),
        labels=torch.from_numpy(labels.astype(np.int64)),
        fold=torch.from_numpy(fold.astype(np.int64)),
        classes=classes,
        bits=bits,
    )


IMAGE_SETS = {
    "digits": _digits,
    "mnist": _mnist,
    "smile": _smile,
    "utk": _utk,
    "pneumonia": _pneumonia,
    "covid": _covid,
}
"""Each set by its name; all but the first need the data folder."""
