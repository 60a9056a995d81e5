"""How times and memory grow: with the number of features, and with the number of layers."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from benchmarks.cases import Case, Size
from benchmarks.engine import settings
from benchmarks.race import Field, race
from benchmarks.timing import BRIEF, Plan

__all__ = ["DEPTHS", "FEATURES", "MEMORY", "Sweep", "run_sweeps"]

EAGER = ("counterflow", "zuko", "nflows", "normflows")
COMPILED = ("counterflow (compiled)", "flowjax")


@dataclass(frozen=True)
class Sweep:
    """One number of a size that grows while all others stay.

    Args:
        name: What it is called in results.
        grows: Which field of :class:`~benchmarks.cases.Size`.
        values: Its values, from small to large.
        size: The rest of the size.
        families: Which families.
        operations: Which operations.
        contestants: Who takes part.
        limit: One whose single call took more seconds than this is left out of all larger sizes.
    """

    name: str
    grows: str
    values: tuple[int, ...]
    size: Size
    families: tuple[str, ...]
    operations: tuple[str, ...]
    contestants: tuple[str, ...]
    limit: float = 4.0

    def cases(self, family: str) -> list[Case]:
        """The cases of a family, from small to large."""
        return [Case(family, str(value), replace(self.size, **{self.grows: value})) for value in self.values]


FEATURES = Sweep(
    "features",
    "features",
    (2, 8, 32, 128, 512),
    Size(0, 128, 5, 256),
    ("MAF", "NSF-AR"),
    ("log_prob", "sample"),
    EAGER + COMPILED,
    limit=0.5,
)
DEPTHS = Sweep(
    "layers",
    "layers",
    (1, 5, 20, 64),
    Size(8, 128, 0, 256),
    ("NSF-C",),
    ("train step",),
    (*EAGER, *COMPILED, "counterflow (reversible)"),
)
MEMORY = Sweep(
    "memory",
    "layers",
    (5, 50),
    Size(16, 128, 0, 1024),
    ("NSF-C",),  # 50 affine couplings as they start overflow in most libraries
    ("train step",),
    (*EAGER, "counterflow (reversible)", "flowjax"),
)


def run_sweeps(
    sweeps: Sequence[Sweep], *, threads: int = 1, plan: Plan = BRIEF, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time each sweep from small to large.

    Args:
        sweeps: What grows.
        threads: How many threads each contestant may use.
        plan: How many rounds.
        tell: Called with a line for each comparison.

    Returns:
        Settings and figures, as plain data.
    """
    parts = {sweep.name: _run(sweep, threads=threads, plan=plan, tell=tell) for sweep in sweeps}
    return {"settings": settings(plan, threads), "sweeps": parts}


def _run(sweep: Sweep, *, threads: int, plan: Plan, tell: Callable[[str], None]) -> dict[str, Any]:
    rows: list[dict[str, Any]] = []

    def skip(name: str, case: Case, operation: str) -> str | None:
        return _too_slow(rows, name, case.family, operation, limit=sweep.limit)

    with Field(sweep.contestants, threads=threads, tell=tell) as field:
        for family in sweep.families:
            for case in sweep.cases(family):
                rows += race(field, case, sweep.operations, plan=plan, skip=skip, tell=tell)
        about = field.describe()
    return {"grows": sweep.grows, "size": asdict(sweep.size), **about, "rows": rows}


def _too_slow(rows: Sequence[dict[str, Any]], name: str, family: str, operation: str, *, limit: float) -> str | None:
    """Why one that was slow, or failed, at a smaller size is not asked again."""
    for row in rows:
        if (row["family"], row["operation"]) == (family, operation):
            figures = row["times"].get(name)
            if figures is None:
                return f"left out: see {row['size']}"
            if figures["median_ms"] > 1000 * limit:
                return f"left out: {figures['median_ms'] / 1000:.1f} s a call at {row['size']} already"
    return None
