"""Times of things that take turns: what disturbs the machine disturbs all of them alike."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["FEW", "USUAL", "Plan", "Times", "Turns", "quartiles", "take_turns"]

FEW = 10
"""Medians of fewer rounds than this are marked wherever they are shown."""


@dataclass(frozen=True)
class Plan:
    """How long a comparison may take.

    Args:
        seconds: For all rounds of a comparison together; slow ones take longer, for the sake of ``least``.
        least: So many rounds at least, unless one round alone takes ``endless`` seconds: then two.
        most: So many rounds at most.
        endless: What is too long to be repeated often.
    """

    seconds: float = 4.0
    least: int = 5
    most: int = 200
    endless: float = 15.0

    def rounds(self, pace: float) -> int:
        """How many rounds, if one takes ``pace`` seconds."""
        least = 2 if pace > self.endless else self.least
        return int(min(max(self.seconds / pace, least), self.most))


USUAL = Plan()
"""Five rounds at least, and about four seconds."""


@dataclass(frozen=True)
class Times:
    """The seconds of one contestant: the very first call, and one call in each round."""

    first: float
    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)


@dataclass(frozen=True)
class Turns:
    """The times of all contestants, round by round."""

    times: Mapping[str, Times]

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return min(len(times.rounds) for times in self.times.values())

    def ratio(self, over: str, under: str) -> float:
        """The ratio of two contestants' medians."""
        return self.times[over].median / self.times[under].median

    def round_ratios(self, over: str, under: str) -> list[float]:
        """The ratio of two contestants in each round."""
        pairs = zip(self.times[over].rounds, self.times[under].rounds, strict=True)
        return [a / b for a, b in pairs]


def take_turns(calls: Mapping[str, Callable[[], object]], plan: Plan = USUAL) -> Turns:
    """Time every call once in every round, another one going first each time.

    The first call of each is kept aside; where there is time a second one warms it up. Garbage is collected between
    comparisons and not within.

    Args:
        calls: What to time, by name.
        plan: How many rounds.

    Returns:
        The times.
    """
    names = list(calls)
    with _no_collection():
        first = {name: _seconds(calls[name]) for name in names}
        if sum(first.values()) < plan.seconds:
            pace = sum(_seconds(calls[name]) for name in names)
        else:
            pace = sum(first.values())
        times: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(plan.rounds(pace)):
            start = turn % len(names)
            for name in names[start:] + names[:start]:
                times[name].append(_seconds(calls[name]))
    return Turns({name: Times(first[name], tuple(times[name])) for name in names})


def quartiles(values: tuple[float, ...] | list[float]) -> tuple[float, float]:
    """The first and the third quartile."""
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, high


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


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
