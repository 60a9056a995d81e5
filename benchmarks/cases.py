"""What is measured: families of flows, operations on them, and sizes. Nothing here needs a library of flows."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BINS",
    "BOUND",
    "FAMILIES",
    "OPERATIONS",
    "SIZES",
    "SIZES_ON_GPU",
    "Case",
    "Size",
    "check_known",
    "make_rows",
]

FAMILIES = ("RealNVP", "MAF", "NSF-C", "NSF-AR")
"""Affine couplings, masked autoregressive affine maps, and splines in the place of both."""

OPERATIONS = ("train step", "log_prob", "sample")
"""In this order, so that densities and samples are those of flows that have begun to learn."""

BINS = 8
BOUND = 5.0


@dataclass(frozen=True)
class Size:
    """How large a flow is, and how many rows it sees at once.

    Args:
        features: Number of features D; even, so that both halves of a coupling are alike.
        hidden: Width H of the two hidden layers of every conditioner.
        layers: Number of couplings or autoregressive maps.
        batch: Rows in a batch, and samples in a draw.
    """

    features: int
    hidden: int
    layers: int
    batch: int


SIZES = {"A": Size(8, 128, 5, 256), "B": Size(8, 128, 5, 4096), "C": Size(64, 256, 5, 1024)}
SIZES_ON_GPU = {**SIZES, "D": Size(64, 1024, 5, 8192)}
"""One more on a GPU: large enough to keep it busy."""


@dataclass(frozen=True)
class Case:
    """One comparison's flow: a family at a size, under the label of that size."""

    family: str
    label: str
    size: Size


def make_rows(size: Size, *, seed: int = 0) -> NDArray[np.float32]:
    """Make a batch of float32 rows with dependent, skewed features of mean 0 and standard deviation 1."""
    generator = np.random.default_rng(seed)
    mixing = generator.standard_normal((size.features, size.features)) / size.features**0.5
    latent = generator.standard_normal((size.batch, size.features))
    rows = np.sinh(0.7 * latent @ mixing) + 0.3 * generator.standard_normal(latent.shape)
    return ((rows - rows.mean(0)) / rows.std(0)).astype(np.float32)


def check_known(names: Sequence[str], known: Sequence[str], what: str) -> None:
    """Refuse a name that stands for nothing.

    Raises:
        ValueError: A name is unknown.
    """
    for name in names:
        if name not in known:
            raise ValueError(f"{what} must be among {', '.join(known)}, got {name!r}.")
