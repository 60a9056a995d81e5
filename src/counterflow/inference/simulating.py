"""Running a simulator: in batches, on several processes, resumable, and with failures counted."""

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ModelError, ShapeError
from counterflow.core.random import derive_seed, make_generator
from counterflow.inference.priors import as_prior
from counterflow.inference.simulation_store import BatchStore, RanBatch
from counterflow.inference.simulations import Simulations, Simulator

__all__ = ["simulate"]


@dataclass(frozen=True)
class _Job:
    """What a process needs for any batch."""

    simulator: Simulator
    seed: int
    missing: bool

    def run(self, number: int, theta: Tensor) -> RanBatch:
        """Simulate one batch; if that raises, row by row, so that only those rows fail that must."""
        generator = make_generator(derive_seed(self.seed, "batch", str(number)))
        try:
            return self._judged(self._asked(theta, generator))
        except ShapeError:
            raise
        except Exception:
            return self._row_by_row(number, theta)

    def _row_by_row(self, number: int, theta: Tensor) -> RanBatch:
        rows: dict[int, Tensor] = {}
        reasons: Counter[str] = Counter()
        for row in range(len(theta)):
            generator = make_generator(derive_seed(self.seed, "row", str(number), str(row)))
            try:
                rows[row] = self._asked(theta[row : row + 1], generator)[0]
            except ShapeError:
                raise
            except Exception as error:  # whatever a user's simulator raises is a failure of this row
                reasons[f"{type(error).__name__}: {error}"] += 1
        if not rows:
            return RanBatch(None, torch.ones(len(theta), dtype=torch.bool), dict(reasons))
        blank = torch.full_like(next(iter(rows.values())), torch.nan)
        ran = self._judged(torch.stack([rows.get(row, blank) for row in range(len(theta))]))
        raised = torch.tensor([row not in rows for row in range(len(theta))])
        further = int((ran.failed & ~raised).sum())
        return ran._replace(reasons={**dict(reasons), **({"data not finite": further} if further else {})})

    def _asked(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        x = torch.as_tensor(self.simulator(theta, generator))
        if x.dim() == 0 or len(x) != len(theta):
            raise ShapeError(
                f"simulator must give one row of data for each of {len(theta)} rows of parameters, got shape "
                f"{tuple(x.shape)}. A function of one parameter vector becomes a simulator by one_by_one."
            )
        x = x if x.is_floating_point() else x.to(theta.dtype)
        return x.unsqueeze(1) if x.dim() == 1 else x

    def _judged(self, x: Tensor) -> RanBatch:
        """A row fails if it holds an infinite number, or a NaN where none is allowed, or nothing but NaN."""
        flat = x.flatten(1)
        failed = flat.isinf().any(1) | (flat.isnan().all(1) if self.missing else flat.isnan().any(1))
        return RanBatch(x, failed, {"data not finite": int(failed.sum())} if failed.any() else {})


def simulate(
    simulator: Simulator,
    prior: object,
    *,
    count: int,
    workers: int = 1,
    batch_size: int = 1000,
    missing: bool = False,
    folder: str | Path | None = None,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Simulations:
    """Draw parameters from a prior and simulate data with each.

    Every batch has a random stream of its own, so that the result is the same for any number of workers, and whether
    the run was interrupted or not.

    Args:
        simulator: ``simulator(theta, generator) -> x``, from parameters ``(rows, parameters)`` to data
            ``(rows, *shape)``, with all its randomness from the generator; :func:`one_by_one` makes one of a numpy
            function. For several workers it must be importable (a function of a module, not a lambda).
        prior: A prior, or a law of ``torch.distributions``.
        count: How many runs.
        workers: How many processes; 1 runs here.
        batch_size: Runs in one call of the simulator.
        missing: Whether NaN in the data marks a missing value; otherwise it marks a failed run.
        folder: Where finished batches are kept; a second call with the same folder goes on where the first was cut off.
        generator: Where randomness comes from. With a folder that holds a run already, its seed is used.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        What succeeded, and what failed.

    Raises:
        ModelError: If all runs failed, with the most frequent reason.
        ShapeError: If the simulator does not give one row for each row of parameters.
        PersistenceError: If the folder holds a run with other settings or another prior.
        ArgumentError: If a setting is out of its range, or the simulator cannot be sent to other processes.

    Example:
        >>> from torch.distributions import Normal
        >>> from counterflow.inference import IndependentPrior
        >>> noisy = lambda theta, generator: theta + torch.randn(theta.shape, generator=generator)
        >>> found = simulate(noisy, IndependentPrior([Normal(0.0, 1.0)]), count=50)
        >>> found.theta.shape, found.says
        (torch.Size([50, 1]), 'All 50 simulations succeeded.')
    """
    for value, name in ((count, "count"), (workers, "workers"), (batch_size, "batch_size")):
        check_count(value, name)
    generator = make_generator(generator)
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    store = BatchStore(folder, {"count": count, "batch_size": batch_size, "missing": missing}, seed)
    theta = as_prior(prior).sample(count, generator=make_generator(derive_seed(store.seed, "prior")))
    store.check(theta)
    batches = dict(enumerate(theta.split(batch_size)))
    ran = {number: batch for number in batches if (batch := store.load(number)) is not None}
    rest = {number: batch for number, batch in batches.items() if number not in ran}
    job = _Job(simulator, store.seed, missing)
    with _progress_bar(count, count - sum(map(len, rest.values())), shown=progress) as advance:
        for number, batch in _run_all(job, rest, workers):
            store.save(number, batch)
            ran[number] = batch
            advance(len(batches[number]))
    return _collected(theta, [ran[number] for number in batches])


def _run_all(job: _Job, batches: dict[int, Tensor], workers: int) -> Iterator[tuple[int, RanBatch]]:
    """Give batches as they are ready."""
    if workers == 1 or len(batches) < 2:
        for number, theta in batches.items():
            yield number, job.run(number, theta)
        return
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            tasks = {pool.submit(job.run, number, theta): number for number, theta in batches.items()}
            for task in as_completed(tasks):
                yield tasks[task], task.result()
        except Exception as error:
            if not _cannot_be_sent(error):
                raise
            pool.shutdown(wait=False, cancel_futures=True)
            raise ArgumentError(
                f"simulator must be importable by other processes when workers={workers}, got {job.simulator!r} "
                f"({error}). Define it in a module, or use workers=1."
            ) from error


def _cannot_be_sent(error: Exception) -> bool:
    """Whether a task could not be sent to another process; what simulators raise there is counted, not raised."""
    return isinstance(error, AttributeError | TypeError) or type(error).__name__ == "PicklingError"


def _collected(theta: Tensor, batches: list[RanBatch]) -> Simulations:
    failed = torch.cat([batch.failed for batch in batches])
    reasons: Counter[str] = Counter()
    for batch in batches:
        reasons.update(batch.reasons)
    if failed.all():
        raise ModelError(
            f"simulator failed on all of {len(theta)} parameters, most often with: {reasons.most_common(1)[0][0]}. "
            "Try it on one parameter vector that you know to work."
        )
    kept = [batch.x[~batch.failed] for batch in batches if batch.x is not None]
    shapes = {tuple(part.shape[1:]) for part in kept}
    if len(shapes) > 1:
        raise ShapeError(f"simulator must give data of one shape, got {sorted(shapes)}. Pad the shorter with NaN.")
    return Simulations(theta[~failed], torch.cat(kept), theta[failed] if failed.any() else None, reasons)


@contextmanager
def _progress_bar(total: int, done: int, *, shown: bool) -> Iterator[Callable[[int], object]]:
    """A bar on an interactive terminal that appears once two seconds have passed."""
    if not shown:
        yield lambda rows: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=total, initial=done, desc="simulating", unit="run", delay=2.0, disable=None) as bar:
        yield bar.update
