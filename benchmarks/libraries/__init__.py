"""Who takes part. To add a contestant: a module with a ``Library`` in it, and a line in ``CONTESTANTS``.

Nothing here needs a library of flows: the contestants' modules are imported by their own workers, each in the
environment that has the library.
"""

import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from benchmarks.cases import FAMILIES, OPERATIONS
from benchmarks.libraries.library import Library, Model

__all__ = ["CONTESTANTS", "OURS", "Contestant", "Library", "Model", "load_library", "unable"]

ROOT = Path(__file__).parents[2]
JAX = Path(os.environ.get("BENCH_JAX", ROOT / ".venv-bench-jax" / "bin" / "python"))
"""jax has an environment of its own, which ``make bench`` makes: it and torch need not agree on versions."""


@dataclass(frozen=True)
class Contestant:
    """A library in one of its ways of running.

    Args:
        name: What it is called in results.
        module: Where its ``LIBRARY`` is.
        way: ``"eager"``, ``"compiled"``, or what else the library offers.
        ours: Whether it is our own.
        python: The interpreter that has the library; ``None`` for the one that runs the benchmarks.
        usual_sizes: At which of the sizes it races by default; ``None`` for all. What takes long to compile, and would
            have to be compiled anew for each, races at the others with ``--full``.
        able: For each family which operations it takes part in; ``None`` for all of all.
    """

    name: str
    module: str
    way: str = "eager"
    ours: bool = False
    python: Path | None = None
    usual_sizes: tuple[str, ...] | None = None
    able: dict[str, tuple[str, ...]] | None = None


EVERYTHING = dict.fromkeys(FAMILIES, OPERATIONS)
AFFINE = dict.fromkeys(("RealNVP", "MAF"), OPERATIONS)

LISTED = (
    Contestant("counterflow", "ours", ours=True),
    Contestant("counterflow (compiled)", "ours", way="compiled", ours=True),
    Contestant("counterflow (bfloat16)", "ours", way="mixed", ours=True),
    Contestant("counterflow (reversible)", "ours", way="reversible", ours=True),
    Contestant("zuko", "of_zuko"),
    Contestant("zuko (compiled)", "of_zuko", way="compiled", usual_sizes=("A",)),
    Contestant("nflows", "of_nflows"),
    Contestant("nflows (compiled)", "of_nflows", way="compiled", usual_sizes=("A",), able=AFFINE),
    Contestant("normflows", "of_normflows"),
    Contestant("normflows (compiled)", "of_normflows", way="compiled", usual_sizes=("A",), able=AFFINE),
    Contestant("FrEIA", "of_freia", able={"RealNVP": OPERATIONS}),
    Contestant("FrEIA (compiled)", "of_freia", way="compiled", usual_sizes=("A",), able={"RealNVP": OPERATIONS}),
    Contestant("flowjax", "of_flowjax", way="compiled", python=JAX),
)

CONTESTANTS = {contestant.name: contestant for contestant in LISTED}
OURS = tuple(contestant.name for contestant in LISTED if contestant.ours)


def load_library(contestant: Contestant) -> Library:
    """Import a contestant's library, in the environment that has it."""
    return import_module(f"benchmarks.libraries.{contestant.module}").LIBRARY


def unable(contestant: Contestant, family: str, operation: str) -> str | None:
    """Why a contestant does not take part in an operation of a family; ``None`` if it does."""
    able = EVERYTHING if contestant.able is None else contestant.able
    if family not in able:
        return f"has no {family}"
    return None if operation in able[family] else f"has no {operation} of {family}"
