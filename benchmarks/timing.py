"""Times of things that take turns: what disturbs the machine disturbs all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

__all__ = ["BRIEF", "FEW", "USUAL", "Failure", "Local", "Plan", "Racer", "Times", "Turns", "quartiles", "take_turns"]

FEW = 5
"""Medians of fewer rounds than this are marked wherever they are shown."""


class Failure(RuntimeError):
    """A contestant could not do what it was asked; the message is what results say of it.

    Args:
        message: Why.
        gone: Whether what it had built is lost.
    """

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Racer(Protocol):
    """Something that can be called often, and times itself."""

    def burst(self, calls: int) -> Sequence[float]:
        """Call it so often without a pause, and give the seconds of each call.

        Raises:
            Failure: It could not.
        """
        ...


@dataclass(frozen=True)
class Local:
    """A racer in this process.

    Args:
        call: What is timed.
        clock: What it is timed by: the clock on the wall, or ``time.process_time`` where one thread does all the work.
    """

    call: Callable[[], object]
    clock: Callable[[], float] = time.perf_counter

    def burst(self, calls: int) -> list[float]:
        """Time so many calls."""
        seconds = []
        for _ in range(calls):
            began = self.clock()
            self.call()
            seconds.append(self.clock() - began)
        return seconds


@dataclass(frozen=True)
class Plan:
    """How long a comparison may take.

    Args:
        seconds: How long a burst lasts: as many calls as fit, and one at least.
        rounds: How many bursts of each racer.
        least: How many of one whose single call takes more than ``slow`` seconds.
        slow: See ``least``.
        endless: One whose single call takes more seconds than this is timed once.
        patience: How many seconds a request may take before it is given up.
    """

    seconds: float = 0.1
    rounds: int = 9
    least: int = 3
    slow: float = 1.0
    endless: float = 15.0
    patience: float = 180.0

    def calls(self, pace: float) -> int:
        """How many calls are a burst, if one takes ``pace`` seconds."""
        return max(1, min(int(self.seconds / max(pace, 1e-9)), 500))

    def turns(self, pace: float) -> int:
        """How many bursts, if a call takes ``pace`` seconds."""
        if pace > self.endless:
            return 1
        return min(self.least, self.rounds) if pace > self.slow else self.rounds


USUAL = Plan()
"""Nine rounds of bursts of a tenth of a second."""

BRIEF = Plan(seconds=0.05, rounds=5, patience=120.0)
"""Five short rounds, where factors are to be seen and not per cents, or time is short."""


@dataclass(frozen=True)
class Times:
    """The seconds of one racer: the very first call, and the median of the burst in each round.

    Args:
        first: The first call, which compiles what is compiled.
        rounds: One number for each round.
        calls: How many calls were a burst.
    """

    first: float
    rounds: tuple[float, ...]
    calls: int = 1

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Turns:
    """The times of all racers, round by round, and why some have none."""

    times: Mapping[str, Times]
    failures: Mapping[str, Failure] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """How many rounds all had."""
        return min(len(times.rounds) for times in self.times.values())


@dataclass
class _Entry:
    racer: Racer
    first: float
    calls: int
    turns: int
    rounds: list[float] = field(default_factory=list)


def take_turns(racers: Mapping[str, Racer], plan: Plan = USUAL) -> Turns:
    """Time a burst of every racer in every round, another one going first each time.

    The first call of each is kept apart, two more warm it up. Slow racers leave after a few rounds; those that fail
    leave at once. Garbage is collected before and not within.

    Args:
        racers: Who races, by name.
        plan: How many rounds.

    Returns:
        The times, in the order of the racers.
    """
    failures: dict[str, Failure] = {}
    entries: dict[str, _Entry] = {}
    with _no_collection():
        for name, racer in racers.items():
            with _noting(name, failures):
                entries[name] = _enter(racer, plan)
        for turn in range(plan.rounds):
            for name in _rotated(list(entries), turn):
                entry = entries[name]
                if turn < entry.turns and name not in failures:
                    with _noting(name, failures):
                        entry.rounds.append(statistics.median(entry.racer.burst(entry.calls)))
    done = {name: entry for name, entry in entries.items() if name not in failures}
    return Turns({name: Times(e.first, tuple(e.rounds), e.calls) for name, e in done.items()}, failures)


def quartiles(values: Iterable[float]) -> tuple[float, float]:
    """The first and the third quartile; of a single value, that value twice."""
    known = list(values)
    if len(known) == 1:
        return known[0], known[0]
    low, _, high = statistics.quantiles(known, n=4, method="inclusive")
    return low, high


def _enter(racer: Racer, plan: Plan) -> _Entry:
    """The first call, and how long later ones take."""
    first = racer.burst(1)[0]
    pace = racer.burst(1)[0]
    if pace < plan.slow:
        pace = min(pace, racer.burst(1)[0])
    return _Entry(racer, first, plan.calls(pace), plan.turns(pace))


def _rotated(names: list[str], turn: int) -> list[str]:
    start = turn % len(names) if names else 0
    return names[start:] + names[:start]


@contextmanager
def _noting(name: str, failures: dict[str, Failure]) -> Iterator[None]:
    try:
        yield
    except Failure as failure:
        failures[name] = failure


@contextmanager
def _no_collection() -> Iterator[None]:
    gc.collect()
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
