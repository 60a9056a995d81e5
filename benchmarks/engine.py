"""The engine against peers: one training step, log-densities, samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.cases import BINS, BOUND, FAMILIES, OPERATIONS, SIZES, Case, Size, check_known
from benchmarks.libraries import CONTESTANTS
from benchmarks.race import Field, race
from benchmarks.timing import USUAL, Plan

__all__ = ["ENTRANTS", "run_engine", "settings"]

ENTRANTS = tuple(name for name, contestant in CONTESTANTS.items() if contestant.way != "reversible")
"""Who races by default; what spares memory races where memory is measured."""


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
