"""What every library must be able to do, so that all are asked the same. Nothing here needs torch or jax."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import OPERATIONS, Size

__all__ = ["DEVICE", "Library", "Model", "check_model", "to_numpy"]

DEVICE = os.environ.get("BENCH_DEVICE", "cpu")
"""Where flows are built and run: ``"cpu"`` or ``"cuda"``."""

Array = Any
"""The library's own kind of array; :func:`to_numpy` reads all of them."""


class Model(Protocol):
    """A flow of some library. Each method returns when its work is done, also where a device works by itself."""

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        ...

    def take(self, rows: NDArray[np.float32]) -> Array:
        """Make the library's own array of rows."""
        ...

    def train_step(self, x: Array) -> object:
        """Forward, backward, and one step of Adam on the mean negative log-density."""
        ...

    def log_prob(self, x: Array) -> Array:
        """Log-densities of rows, without gradients."""
        ...

    def sample(self, count: int) -> Array:
        """Draw samples, without gradients."""
        ...


@dataclass(frozen=True)
class Library:
    """A library: its name on the package index, how it builds each family, and in which ways a flow is run.

    Args:
        name: The name of its distribution.
        builders: For each family a function of a size that builds a fresh flow.
        ways: For each way of running (``"eager"``, ``"compiled"``, ...) what makes a model of such a flow.
        notes: For each way what was set so that it runs at its best.
        prepare: Loads what is loaded once and is no part of a first call, such as a compiler.
        place: Within what it gives, a builder makes arrays on the device.
        memory: On a device with memory of its own: the megabytes that lie there at the most in a call.
    """

    name: str
    builders: Mapping[str, Callable[[Size], Any]]
    ways: Mapping[str, Callable[[Any], Model]]
    notes: Mapping[str, str]
    prepare: Callable[[], None] = lambda: None
    place: Callable[[], AbstractContextManager[object]] = nullcontext
    memory: Callable[[Callable[[], object]], dict[str, float]] = lambda call: {}

    @property
    def version(self) -> str:
        """The version that is installed."""
        return version(self.name)

    def build(self, family: str, size: Size, *, way: str) -> Model:
        """Build a fresh model that runs in one of the ways."""
        with self.place():
            flow = self.builders[family](size)
        return self.ways[way](flow)


def to_numpy(array: Array) -> NDArray[Any]:
    """An array of any library, wherever it lies."""
    return np.asarray(array.cpu() if hasattr(array, "cpu") else array)


def check_model(model: Model, x: Array, *, operations: Sequence[str] = OPERATIONS) -> None:
    """See that a model computes what the others compute: one finite log-density a row, and finite samples.

    Args:
        model: A model that was timed.
        x: The rows it was timed on.
        operations: What was timed: samples are drawn only if they were, for that may take minutes.

    Raises:
        RuntimeError: It does not, so that its times mean nothing.
    """
    rows = to_numpy(x)
    log_prob = to_numpy(model.log_prob(x))
    if log_prob.shape != rows.shape[:1] or not np.isfinite(log_prob).all():
        raise RuntimeError(f"log_prob must be {len(rows)} finite numbers, got shape {log_prob.shape}.")
    samples = to_numpy(model.sample(len(rows))) if "sample" in operations else rows
    if samples.shape != rows.shape or not np.isfinite(samples).all():
        raise RuntimeError(f"samples must be {len(rows)} finite rows, got shape {samples.shape}.")
    if samples.dtype != rows.dtype or log_prob.dtype != rows.dtype:
        raise RuntimeError(f"all must compute in {rows.dtype}, got {samples.dtype} and {log_prob.dtype}.")
