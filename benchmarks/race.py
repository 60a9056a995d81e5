"""Contestants take turns: their workers are started once, and race case by case, operation by operation."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.cases import Case
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
        tell: Called with a line about each one that cannot take part.
    """

    def __init__(self, names: Sequence[str], *, threads: int, tell: Tell = print) -> None:
        self.workers: dict[str, Worker] = {}
        self.absent: dict[str, str] = {}
        self._shared = tempfile.TemporaryDirectory(prefix="counterflow-bench-", ignore_cleanup_errors=True)
        for name in names:
            try:
                self.workers[name] = Worker(CONTESTANTS[name], threads=threads, shared=Path(self._shared.name))
            except Failure as failure:
                self.absent[name] = str(failure)
                tell(f"{name} does not take part: {failure}")

    def describe(self) -> dict[str, Any]:
        """Versions and notes of all, ours marked as such, and why some do not take part."""
        about = {name: {**worker.about, "ours": worker.contestant.ours} for name, worker in self.workers.items()}
        return {"contestants": about, "absent": self.absent}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker in self.workers.values():
            worker.close()
        self._shared.cleanup()


class Entrant:
    """A contestant in one case; its flow is built when it is first needed, and again if it was lost."""

    def __init__(self, worker: Worker, case: Case, plan: Plan) -> None:
        self._worker, self._case, self._plan = worker, case, plan
        self._built = False
        self.parameters: int | None = None

    def ask(self, do: str, **what: Any) -> dict[str, Any]:
        """Ask its worker about the flow of this case."""
        try:
            if not self._built:
                size = asdict(self._case.size)
                built = self._worker.ask("build", patience=self._plan.patience, family=self._case.family, size=size)
                self._built, self.parameters = True, built["parameters"]
            return self._worker.ask(do, patience=self._plan.patience, **what)
        except Failure as failure:
            self._built = self._built and not failure.gone
            raise

    def close(self) -> None:
        """End the process of this case."""
        if self._built:
            self._worker.ask("close")
            self._built = False


class OperationRacer:
    """One operation of an entrant, as a racer."""

    def __init__(self, entrant: Entrant, operation: str) -> None:
        self._entrant, self._operation = entrant, operation

    def burst(self, calls: int) -> Sequence[float]:
        """Let the worker time itself."""
        return self._entrant.ask("burst", operation=self._operation, calls=calls)["seconds"]


def race(
    field: Field,
    case: Case,
    operations: Sequence[str],
    *,
    plan: Plan,
    skip: Skip | None = None,
    tell: Tell = print,
) -> list[dict[str, Any]]:
    """Time all operations of one case.

    Args:
        field: Who takes part.
        case: A family at a size.
        operations: Which operations, in this order.
        plan: How many rounds.
        skip: Says of a contestant, a case and an operation why it is left out, if it is.
        tell: Called with a line for each operation.

    Returns:
        A row for each operation, as plain data.
    """
    entrants = {name: Entrant(worker, case, plan) for name, worker in field.workers.items()}
    rows = []
    for operation in operations:
        reasons = {name: _left_out(field, name, case, operation, skip) for name in entrants}
        racing = {name: entrant for name, entrant in entrants.items() if reasons[name] is None}
        rows.append(_race_once(racing, case, operation, plan=plan))
        rows[-1]["missing"].update({name: reason for name, reason in reasons.items() if reason is not None})
        tell(_line(rows[-1]))
    for entrant in entrants.values():
        entrant.close()
    return rows


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
    """What one more call needs; and a look at whether all that is computed is right."""
    memory = entrant.ask("memory", operation=operation)
    entrant.ask("check")
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
