"""The engine against peers: one training step, log-densities, samples."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch

from benchmarks.cases import BINS, BOUND, FAMILIES, OPERATIONS, SIZES, SIZES_ON_GPU, Case, Size, check_known
from benchmarks.ceilings import measure_ceilings, worked
from benchmarks.libraries import CONTESTANTS
from benchmarks.race import Field, race
from benchmarks.timing import BRIEF, USUAL, Plan

__all__ = ["ENTRANTS", "ENTRANTS_ON_GPU", "run_engine", "run_on_gpu", "settings"]

ENTRANTS = tuple(name for name, contestant in CONTESTANTS.items() if contestant.way not in ("reversible", "mixed"))
"""Who races by default; what spares memory races where memory is measured, half precision on a GPU."""

ENTRANTS_ON_GPU = (
    "counterflow",
    "counterflow (compiled)",
    "counterflow (bfloat16)",
    "zuko",
    "nflows",
    "normflows",
    "FrEIA",
    "flowjax",
)
"""Compiled peers on PyTorch are left out there: each would take minutes of a GPU's time to compile."""


def run_engine(
    *,
    sizes: Mapping[str, Size] = SIZES,
    families: Sequence[str] = FAMILIES,
    operations: Sequence[str] = OPERATIONS,
    contestants: Sequence[str] = ENTRANTS,
    full: bool = False,
    threads: int = 1,
    plan: Plan = USUAL,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time all operations of all families at all sizes.

    Args:
        sizes: Sizes by name.
        families: Which of ``FAMILIES``.
        operations: Which of ``OPERATIONS``.
        contestants: Who takes part, if it is installed.
        full: Whether peers that take long to compile take part at all sizes, and not only at those named for them.
        threads: How many threads each may use.
        plan: How many rounds.
        tell: Called with a line for each comparison.

    Returns:
        Settings and figures, as plain data.
    """
    check_known(families, FAMILIES, "families")
    check_known(operations, OPERATIONS, "operations")
    check_known(contestants, tuple(CONTESTANTS), "contestants")
    cases = [Case(family, label, size) for label, size in sizes.items() for family in families]
    skip = None if full else _slow_to_compile
    with Field(contestants, threads=threads, tell=tell) as field:
        rows = [row for case in cases for row in race(field, case, operations, plan=plan, skip=skip, tell=tell)]
        about = field.describe()
    return {
        "settings": settings(plan, threads),
        "sizes": {label: asdict(size) for label, size in sizes.items()},
        **about,
        "rows": rows,
    }


def run_on_gpu(
    *,
    sizes: Mapping[str, Size] = SIZES_ON_GPU,
    families: Sequence[str] = FAMILIES,
    contestants: Sequence[str] = ENTRANTS_ON_GPU,
    threads: int = 1,
    plan: Plan = BRIEF,
    tell: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Time all operations on one NVIDIA GPU, and set them beside what the GPU can do at the most.

    What is compiled is compiled side by side beforehand, training steps first: densities and samples are those of
    flows that do not change any more.

    Args:
        sizes: Sizes by name.
        families: Which of ``FAMILIES``.
        contestants: Who takes part, if it is installed.
        threads: How many processes compile at a time.
        plan: How many rounds.
        tell: Called with a line for each comparison.

    Returns:
        Settings, ceilings and figures, as plain data.
    """
    cases = [Case(family, label, size) for label, size in sizes.items() for family in families]
    ceilings = measure_ceilings()
    tell(f"ceilings: {ceilings}")
    rows: list[dict[str, Any]] = []
    with Field(contestants, threads=1, device="cuda", tell=tell) as field:
        for operations in (OPERATIONS[:1], OPERATIONS[1:]):
            field.prepare(cases, operations, plan=plan, at_once=threads)
            for case in cases:
                rows += race(field, case, operations, plan=plan, check="sample" in operations, tell=tell)
        about = field.describe()
    return {
        "settings": {**settings(plan, threads), "matmul": os.environ.get("BENCH_MATMUL", "float32")},
        "sizes": {label: asdict(size) for label, size in sizes.items()},
        "gpu": torch.cuda.get_device_name(),
        "ceilings": ceilings,
        "work": {f"{case.family} {case.label}": worked(case) for case in cases},
        **about,
        "rows": rows,
    }


def settings(plan: Plan, threads: int) -> dict[str, Any]:
    """What is the same for all contestants."""
    return {
        "bins": BINS,
        "bound": BOUND,
        "dtype": "float32",
        "activation": "ReLU",
        "threads": threads,
        "plan": asdict(plan),
    }


def _slow_to_compile(name: str, case: Case, operation: str) -> str | None:
    usual = CONTESTANTS[name].usual_sizes
    if usual is None or case.label not in SIZES or case.label in usual:
        return None
    return "slow to compile; takes part here with --full"
