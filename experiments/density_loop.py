"""One timed training loop for all libraries: the learning rate falls to zero by the clock, not by the epoch."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from experiments.density_data import DataSet

__all__ = ["Contestant", "Plan", "Record", "judge", "log_densities", "mean_and_error", "rate_at", "train"]

CHUNK = 1000
WATCHED = 2000
WARM_UP = 200


class Contestant(Protocol):
    """A flow of some library, with Adam and clipping built in."""

    parameters: int

    def step(self, x: np.ndarray, rate: float) -> None:
        """Take one step of Adam on the mean negative log-density."""
        ...

    def log_density(self, x: np.ndarray) -> np.ndarray:
        """Log-densities of rows, without gradients."""
        ...

    def snapshot(self) -> object:
        """A copy of all weights."""
        ...

    def restore(self, weights: object) -> None:
        """Put a former snapshot back."""
        ...

    def save(self, path: Path) -> None:
        """Write the weights to a file."""
        ...


@dataclass(frozen=True)
class Plan:
    """How every library trains.

    Args:
        seconds: Wall-clock time from before the flow is built, compilation and validation included.
        batch: Rows of a batch.
        rate: The largest learning rate.
        augment: Turn patches into their mirror images.
        seed: Where batches, noise and initial weights come from.
        every: Seconds between two looks at the validation rows.
    """

    seconds: float
    batch: int = 512
    rate: float = 1e-3
    augment: bool = True
    seed: int = 0
    every: float = 10.0


@dataclass
class Record:
    """What happened: settings, the validation log-density by seconds, and the results at the end."""

    about: dict
    history: list[dict] = field(default_factory=list)
    result: dict = field(default_factory=dict)

    def write(self, path: Path) -> None:
        """Write it as JSON, all or nothing."""
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = ",\n  ".join(json.dumps(row) for row in self.history)
        head, result = json.dumps(self.about, indent=1), json.dumps(self.result, indent=1)
        text = f'{{"about": {head},\n"result": {result},\n"history": [\n  {rows}]}}\n'
        scratch = path.with_suffix(".tmp")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)


def rate_at(share: float, step: int, *, peak: float) -> float:
    """The learning rate: a linear rise over the first steps, and half a cosine over the whole time.

    Args:
        share: The share of the time that has passed.
        step: The number of steps taken.
        peak: The largest rate.
    """
    return peak * min(1.0, (step + 1) / WARM_UP) * (1 + math.cos(math.pi * min(share, 1.0))) / 2


def mean_log_density(contestant: Contestant, z: np.ndarray, log_det: float) -> tuple[float, float]:
    """The mean log-density in nats and its standard error."""
    return mean_and_error(log_densities(contestant, z) + log_det)


def log_densities(contestant: Contestant, z: np.ndarray) -> np.ndarray:
    """The log-density of every row, a thousand rows at a time."""
    parts = [contestant.log_density(z[start : start + CHUNK]) for start in range(0, len(z), CHUNK)]
    return np.concatenate(parts).astype(np.float64)


def mean_and_error(values: np.ndarray) -> tuple[float, float]:
    """The mean and its standard error."""
    return float(values.mean()), float(values.std() / math.sqrt(len(values)))


def train(
    build: Callable[[], Contestant],
    data: DataSet,
    *,
    plan: Plan,
    about: dict,
    out: Path,
    weights: Path | None = None,
    judge_further: Callable[[Contestant], dict] | None = None,
) -> Record:
    """Build and train one contestant until its time is up, judge it, and keep the record in ``out`` all along.

    The weights with the best validation log-density are the ones that are judged; the test rows are looked at once.
    """
    batches = data.batches(plan.batch, np.random.default_rng(plan.seed), augment=plan.augment)
    watched = data.points(data.validation, np.random.default_rng(1))[:WATCHED]
    record = Record(about | {"plan": asdict(plan)})
    clock = _Clock(plan.seconds)
    contestant = build()
    record.about["parameters"] = contestant.parameters
    best, best_weights, steps, last = -math.inf, contestant.snapshot(), 0, 0.0
    while clock.share < 1:
        contestant.step(next(batches), rate_at(clock.share, steps, peak=plan.rate))
        steps += 1
        if clock.seconds - last < plan.every and clock.share < 1:
            continue
        value, _ = mean_log_density(contestant, watched, data.log_det)
        record.history.append({"seconds": round(clock.seconds, 2), "steps": steps, "validation": round(value, 4)})
        say(f"{about['library']} {about['dataset']} {clock.seconds:7.1f} s {steps:7d} steps {value:9.3f} nats")
        if value > best:
            best, best_weights = value, contestant.snapshot()
            if weights is not None:
                contestant.save(weights)
        record.write(out)
        last = clock.seconds
    spent = {"wall_seconds": clock.seconds, "cpu_seconds": clock.cpu_seconds, "steps": steps}
    contestant.restore(best_weights)
    record.result = spent | judge(contestant, data)
    record.write(out)
    if judge_further is not None:
        record.result |= judge_further(contestant)
        record.write(out)
    return record


def judge(contestant: Contestant, data: DataSet) -> dict:
    """Log-densities of all held-out rows in nats, each with its standard error."""
    held = data.points(data.validation, np.random.default_rng(1))
    test = data.points(data.test, np.random.default_rng(2))
    validation, test = (mean_log_density(contestant, z, data.log_det) for z in (held, test))
    return {"test": test[0], "test_error": test[1], "validation": validation[0], "validation_error": validation[1]}


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


class _Clock:
    """Wall-clock and processor time since it was made."""

    def __init__(self, limit: float) -> None:
        self._limit, self._start, self._cpu = limit, time.perf_counter(), time.process_time()

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def cpu_seconds(self) -> float:
        return time.process_time() - self._cpu

    @property
    def share(self) -> float:
        return self.seconds / self._limit
