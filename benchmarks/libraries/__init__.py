"""The libraries that take part. To add one: a module with a ``Library`` in it, and its name in ``MODULES``."""

from importlib import import_module
from importlib.util import find_spec

from benchmarks.libraries.model import Library, Model, TorchModel

__all__ = ["OURS", "Library", "Model", "TorchModel", "find_libraries"]

OURS = "counterflow"

MODULES = {
    OURS: "benchmarks.libraries.ours",
    "zuko": "benchmarks.libraries.of_zuko",
    "nflows": "benchmarks.libraries.of_nflows",
    "normflows": "benchmarks.libraries.of_normflows",
}


def find_libraries(names: tuple[str, ...] = tuple(MODULES)) -> dict[str, Library]:
    """The libraries of these names that are installed, our own first."""
    wanted = [name for name in MODULES if name in names or name == OURS]
    return {name: import_module(MODULES[name]).LIBRARY for name in wanted if find_spec(name) is not None}
