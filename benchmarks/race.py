"""Contestants take turns: their workers are started once, and race case by case, operation by operation."""

import contextlib
import dataclasses
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.cases import FAMILIES, Case
from benchmarks.host import Worker
from benchmarks.libraries import CONTESTANTS, unable
from benchmarks.timing import Failure, Plan, Times, Turns, quartiles, take_turns

__all__ = ["Field", "Tell", "race", "record"]

Tell = Callable[[str], None]
Skip = Callable[[str, Case, str], str | None]


class Field:
    """The workers of those who take part, started one after the other.

    Args:
        names: Names of contestants.
        threads: How many threads each may use.
        device: Where all flows are: ``"cpu"`` or ``"cuda"``.
        tell: Called with a line about each one that cannot take part.
    """

    def __init__(self, names: Sequence[str], *, threads: int, device: str = "cpu", tell: Tell = print) -> None:
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        self._threads, self._device = threads, device
        self._prepared: dict[tuple[str, str, str], Entrant] = {}
        self._shared = tempfile.TemporaryDirectory(prefix="counterflow-bench-", ignore_cleanup_errors=True)
        for name in names:
            try:
                self.workers[name] = self._worker(name)
            except Failure as failure:
                self.absent[name] = str(failure)
                tell(f"{name} does not take part: {failure}")

    def prepare(self, cases: Sequence[Case], operations: Sequence[str], *, plan: Plan, at_once: int) -> None:
        """Let what is compiled be built and called first side by side, each case in a process of its own.

        Compiling keeps the processor busy and not the GPU: one after the other it would take most of the time. These
        first calls share the cores.

        Args:
            cases: For which cases.
            operations: Which operations are called.
            plan: How long a call may take.
            at_once: How many processes do so at a time.
        """
        compiled = [name for name in self.workers if CONTESTANTS[name].way != "eager"]
        able = {name: CONTESTANTS[name].able or dict.fromkeys(FAMILIES) for name in compiled}
        wanted = [(name, case) for case in cases for name in compiled if case.family in able[name]]
        with ThreadPoolExecutor(at_once) as pool:
            list(pool.map(lambda one: self._prepare(*one, operations, plan), wanted))

    def entrant(self, name: str, case: Case, plan: Plan) -> "Entrant":
        """A contestant in a case: the one that was prepared, or a fresh one."""
        return self._prepared.get((name, case.family, case.label)) or Entrant(self.workers[name], case, plan)

    def _prepare(self, name: str, case: Case, operations: Sequence[str], plan: Plan) -> None:
        key = (name, case.family, case.label)
        if key not in self._prepared:
            self._prepared[key] = Entrant(self._worker(name), case, plan, lasting=True)
        for operation in operations:
            with contextlib.suppress(Failure):  # who cannot fails again in the race, which says so
                self._prepared[key].call_first(operation)

    def _worker(self, name: str) -> Worker:
        shared = Path(self._shared.name)
        return Worker(CONTESTANTS[name], threads=self._threads, shared=shared, device=self._device)

    def describe(self) -> dict[str, Any]:
        """Versions and notes of all, ours marked as such, and why some do not take part."""
        about = {name: {**worker.about, "ours": worker.contestant.ours} for name, worker in self.workers.items()}
        return {"contestants": about, "absent": self.absent}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in (*self.workers.values(), *(entrant.worker for entrant in self._prepared.values())):
            worker.close()
        self._shared.cleanup()


@dataclass
class Entrant:
    """A contestant in one case; its flow is built when it is first needed, and again if it was lost.

    Args:
        worker: Its process.
        case: The case.
        plan: How long a request may take.
        lasting: Whether the flow is kept after a race.
        parameters: How many numbers are trained.
    """

    worker: Worker
    case: Case
    plan: Plan
    lasting: bool = False
    parameters: int | None = None
    _built: bool = False
    _first: dict[str, Sequence[float]] = dataclasses.field(default_factory=dict)

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Ask its worker about the flow of this case."""
        try:
            if not self._built:
                size = asdict(self.case.size)
                built = self.worker.ask("build", patience=self.plan.patience, family=self.case.family, size=size)
                self._built, self.parameters = True, built["parameters"]
            return self.worker.ask(do, patience=self.plan.patience, **what)
        except Failure as failure:
            self._built = self._built and not failure.gone
            raise

    def call_first(self, operation: str) -> None:
        """Make the first call of an operation ahead of the race, and keep its time."""
        self._first[operation] = self.ask("burst", operation=operation, calls=1)["seconds"]

    def burst(self, operation: str, calls: int) -> Sequence[float]:
        """Time so many calls; a first call that was made ahead is not made again."""
        return self._first.pop(operation, None) or self.ask("burst", operation=operation, calls=calls)["seconds"]

    def close(self) -> None:
        """End the process of this case."""
        if self._built and not self.lasting:
            self.worker.ask("close")
            self._built = False


class OperationRacer:
    """One operation of an entrant, as a racer."""

    def __init__(self, entrant: Entrant, operation: str) -> None:
        self._entrant, self._operation = entrant, operation

    def burst(self, calls: int) -> Sequence[float]:
        """Let the worker time itself."""
        return self._entrant.burst(self._operation, calls)


def race(
    field: Field,
    case: Case,
    operations: Sequence[str],
    *,
    plan: Plan,
    skip: Skip | None = None,
    check: bool = True,
    tell: Tell = print,
) -> list[dict[str, Any]]:
    """Time all operations of one case.

    Args:
        field: Who takes part.
        case: A family at a size.
        operations: Which operations, in this order.
        plan: How many rounds.
        skip: Says of a contestant, a case and an operation why it is left out, if it is.
        check: Whether to see in the end that what each computes is right.
        tell: Called with a line for each operation.

    Returns:
        A row for each operation, as plain data.
    """
    entrants = {name: field.entrant(name, case, plan) for name in field.workers}
    rows = []
    for operation in operations:
        reasons = {name: _left_out(field, name, case, operation, skip) for name in entrants}
        racing = {name: entrant for name, entrant in entrants.items() if reasons[name] is None}
        rows.append(_race_once(racing, case, operation, plan=plan))
        rows[-1]["missing"].update({name: reason for name, reason in reasons.items() if reason is not None})
        tell(_line(rows[-1]))
    for name, entrant in entrants.items():
        if check:
            _check(rows, name, entrant)
        entrant.close()
    return rows


def _check(rows: Sequence[dict[str, Any]], name: str, entrant: Entrant) -> None:
    """See whether what was timed is right, after all was timed; whose results are not has no times."""
    timed = [row for row in rows if name in row["times"]]
    if not timed:
        return
    try:
        entrant.ask("check", operations=[row["operation"] for row in timed])
    except Failure as failure:
        for row in timed:
            del row["times"][name], row["parameters"][name]
            row["missing"][name] = str(failure)


def _left_out(field: Field, name: str, case: Case, operation: str, skip: Skip | None) -> str | None:
    reason = unable(field.workers[name].contestant, case.family, operation)
    return reason if reason or skip is None else skip(name, case, operation)


def _race_once(racing: Mapping[str, Entrant], case: Case, operation: str, *, plan: Plan) -> dict[str, Any]:
    found = record(take_turns({name: OperationRacer(entrant, operation) for name, entrant in racing.items()}, plan))
    for name in list(found["times"]):
        try:
            found["times"][name] |= _memory(racing[name], operation)
        except Failure as failure:
            del found["times"][name]
            found["missing"][name] = str(failure)
    parameters = {name: racing[name].parameters for name in found["times"]}
    return {"family": case.family, "size": case.label, "operation": operation, **found, "parameters": parameters}


def _memory(entrant: Entrant, operation: str) -> dict[str, float]:
    """What one more call needs."""
    memory = entrant.ask("memory", operation=operation)
    return {name: value for name, value in memory.items() if name != "id"}


def record(turns: Turns) -> dict[str, Any]:
    """The times of all as plain data, in milliseconds, first calls in seconds; and why some have none."""
    times = {name: _plain(seconds) for name, seconds in turns.times.items()}
    return {"times": times, "missing": {name: str(failure) for name, failure in turns.failures.items()}}


def _plain(seconds: Times) -> dict[str, Any]:
    low, high = quartiles(seconds.rounds)
    return {
        "first_s": round(seconds.first, 4),
        "median_ms": _ms(seconds.median),
        "quartiles_ms": [_ms(low), _ms(high)],
        "rounds_ms": [_ms(value) for value in seconds.rounds],
        "calls": seconds.calls,
    }


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 4)


def _line(row: Mapping[str, Any]) -> str:
    times = ", ".join(f"{name} {figures['median_ms']:.2f} ms" for name, figures in row["times"].items())
    missing = [f"; {name}: {why}" for name, why in row["missing"].items() if not why.startswith("has no")]
    return f"{row['family']} {row['size']} {row['operation']}: {times}{''.join(missing)}"
