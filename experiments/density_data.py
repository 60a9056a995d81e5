"""The two data sets of `density.py`, as fresh batches of whitened rows: NumPy alone, so that any library reads them.

Every row is dequantized with fresh noise each time it is seen. Densities are those of the published preprocessing; the
whitening that all libraries are given in common adds its log-determinant.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

__all__ = ["DATASETS", "TURNS", "DataSet", "centered", "load", "patches_to_points", "turn", "turned_points"]

Noise = Callable[[np.ndarray, np.random.Generator], np.ndarray]

POWER_COLUMNS = [0, 2, 4, 5, 6]
POWER_NOISE = np.array([0.001, 0.01, 1.0, 1.0, 1.0, 0.0])
SIDE = 8
TURNS = range(8)


@dataclass(frozen=True)
class DataSet:
    """Raw rows in three parts, and how a row becomes a point.

    Args:
        train: Raw rows to learn from.
        validation: Raw rows to choose by; never quoted as a result.
        test: Raw rows to judge by.
        dequantize: Raw rows and a generator to points, with fresh noise.
        augment: Raw rows and a generator to raw rows; applied to training batches alone.
        center: Mean of the training points.
        whitening: Lower triangular; ``(x - center) @ whitening.T`` is white on the training points.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    dequantize: Noise
    augment: Noise | None
    center: np.ndarray
    whitening: np.ndarray

    @property
    def features(self) -> int:
        """Number of features of a point."""
        return len(self.center)

    @property
    def log_det(self) -> float:
        """What the whitening adds to the log-density of its latent."""
        return float(np.log(np.diag(self.whitening)).sum())

    def points(self, raw: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Make whitened float32 points of raw rows."""
        return self.whitened(self.dequantize(raw, generator))

    def whitened(self, x: np.ndarray) -> np.ndarray:
        """Whiten points."""
        return ((x - self.center) @ self.whitening.T).astype(np.float32)

    def batches(self, size: int, generator: np.random.Generator, *, augment: bool) -> Iterator[np.ndarray]:
        """Deal batches of one size without end, in a new order every epoch."""
        while True:
            order = generator.permutation(len(self.train))
            for start in range(0, len(order) - size + 1, size):
                raw = self.train[order[start : start + size]]
                if augment and self.augment is not None:
                    raw = self.augment(raw, generator)
                yield self.points(raw, generator)


def load(name: str) -> DataSet:
    """Load a data set by name, from ``COUNTERFLOW_DATA`` or beside the repository."""
    folder = Path(os.environ.get("COUNTERFLOW_DATA", Path(__file__).parents[1] / "../shared/data"))
    return DATASETS[name](folder)


def load_bsds300(folder: Path) -> DataSet:
    """8x8 grey patches; those of the test part are cut from other pictures than all others."""
    with np.load(folder / "bsds300" / "bsds300_patches8x8_u8.npz") as file:
        parts = {name: file[name] for name in ("train", "val", "test")}
    return _whitened(parts["train"], parts["val"], parts["test"], patches_to_points, augment=turn_patches)


def load_power(folder: Path) -> DataSet:
    """48,418 minutes of one household's power, prepared as for masked autoregressive flows (Papamakarios, 2017)."""
    with np.load(folder / "maf_uci" / "power_head48k.npz") as file:
        rows = np.column_stack((file["values"][:, POWER_COLUMNS], file["minute_of_day"])).astype(np.float64)
    np.random.RandomState(42).shuffle(rows)
    held = len(rows) // 10
    known, test = rows[:-held], rows[-held:]
    mean = known.mean(0) + POWER_NOISE / 2
    deviation = np.sqrt(known.var(0) + POWER_NOISE**2 / 12)
    held = len(known) // 10
    noise = partial(_power_points, mean=mean, deviation=deviation)
    return _whitened(known[:-held], known[-held:], test, noise, augment=None)


DATASETS: dict[str, Callable[[Path], DataSet]] = {"power": load_power, "bsds300": load_bsds300}


def patches_to_points(patches: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Points of patches of bytes: the usual preprocessing."""
    return centered(dequantized(patches, generator))


def dequantized(patches: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Bytes to numbers in [0, 1), uniform within their level of grey."""
    return (patches + generator.random(patches.shape, dtype=np.float32)) / np.float32(256)


def centered(pixels: np.ndarray) -> np.ndarray:
    """Subtract each patch's mean, and drop the last pixel, which the others now determine."""
    return (pixels - pixels.mean(1, keepdims=True))[:, :-1]


def turn_patches(patches: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Turn each patch into one of its eight mirror images and rotations.

    The rows of a batch are in random order, so that its eighths are random as well.
    """
    parts = np.array_split(patches[generator.permutation(len(patches))], len(TURNS))
    return np.concatenate([turn(part, kind) for kind, part in zip(TURNS, parts, strict=True)])


def turn(patches: np.ndarray, kind: int) -> np.ndarray:
    """One of the eight mirror images and rotations of every patch; kind 0 leaves it as it is.

    Seen as a map of points (mean subtracted, last pixel dropped) it is linear, and some power of it is the identity: so
    it keeps volume, and the density of a turned patch is the density of the patch under the turned model.
    """
    pictures = patches.reshape(-1, SIDE, SIDE)
    pictures = pictures.transpose(0, 2, 1) if kind & 4 else pictures
    pictures = pictures[:, ::-1] if kind & 2 else pictures
    pictures = pictures[:, :, ::-1] if kind & 1 else pictures
    return pictures.reshape(-1, SIDE * SIDE)


def turned_points(data: DataSet, patches: np.ndarray, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """All eight turns of the same dequantized patches, as whitened points."""
    pixels = dequantized(patches, generator)
    for kind in TURNS:
        yield data.whitened(centered(turn(pixels, kind)))


def _power_points(
    rows: np.ndarray, generator: np.random.Generator, *, mean: np.ndarray, deviation: np.ndarray
) -> np.ndarray:
    return (rows + POWER_NOISE * generator.random(rows.shape) - mean) / deviation


def _whitened(
    train: np.ndarray, validation: np.ndarray, test: np.ndarray, dequantize: Noise, *, augment: Noise | None
) -> DataSet:
    x = dequantize(train, np.random.default_rng(0)).astype(np.float64)
    whitening = np.linalg.inv(np.linalg.cholesky(np.cov(x.T)))
    return DataSet(train, validation, test, dequantize, augment, x.mean(0), np.tril(whitening))
