"""A module on its way through its epochs."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import FitOutcome
from counterflow.core.random import derive_seed, make_generator
from counterflow.training.checkpoint import Checkpoint, Progress, SavedRun
from counterflow.training.progress import Logger
from counterflow.training.report import EpochRecord, FitReport
from counterflow.training.schedules import SCHEDULES
from counterflow.training.settings import TrainingSettings
from counterflow.training.step import TrainingStep

__all__ = ["Run"]

_EXPLOSION = 100.0
"""A training loss that lies above the best by more than so many times its size counts as diverged."""

_ROLLBACKS = 3
"""So often a diverged run goes back to its best weights."""

_SLOWER = 0.2
"""The factor of the learning rate after each roll-back."""

_STEPS_BETWEEN_CHECKS = 256
"""Within an epoch the loss is looked at once in so many steps, for looking waits for the device."""


class Run:
    """The state of a training run, and what one epoch does to it; arguments as in :func:`optimise`.

    From the first line on the module's parameters live in one vector; :meth:`close` gives them back.
    """

    def __init__(
        self,
        module: nn.Module,
        loss: Callable[[nn.Module, Any], Tensor],
        deal: Callable[[torch.Generator], Iterable[Any]],
        *,
        validate: Callable[[nn.Module], Tensor] | None,
        settings: TrainingSettings,
        seed: int,
        trusted: bool,
    ) -> None:
        self.progress = Progress(seed)
        self._module, self._deal, self._validate, self._settings = module, deal, validate, settings
        self._step = TrainingStep(
            module,
            loss,
            compile=settings.compile,
            clip=settings.clip,
            weight_decay=settings.weight_decay,
            trusted=trusted,
        )
        self._weights = self._step.weights
        self._generator = make_generator(derive_seed(seed, "batches"), self._weights.vector.device)
        self._best = self._weights.snapshot()
        self._deadline = time.perf_counter() + (math.inf if settings.time_limit is None else settings.time_limit)

    def take_up(self, saved: SavedRun) -> None:
        """Go on from a saved state."""
        self.progress = saved.progress
        self._best = saved.parts["best"]
        self._weights.restore(saved.parts["weights"])
        self._generator.set_state(saved.parts["generator"]["state"])
        self._step.moments.restore(saved.parts["optimizer"])

    def until_done(self, checkpoint: Checkpoint, loggers: Sequence[Logger]) -> FitOutcome:
        """Train epoch by epoch until there is a reason to stop."""
        whole = True
        while True:
            if whole and checkpoint.folder is not None:
                checkpoint.keep(self.progress, self._parts())
            if (outcome := self._outcome()) is not None:
                return outcome
            whole = self._epoch()
            if any([logger(self.progress.history[-1]) is False for logger in loggers]):
                return FitOutcome.INTERRUPTED

    def close(self) -> None:
        """Leave the module with its best weights, in evaluation mode."""
        self._module.train()  # whatever evaluation mode caches is made anew from the best weights
        self._weights.restore(self._best)
        self._step.close()
        self._module.eval()

    def report(self, outcome: FitOutcome) -> FitReport:
        """What has happened so far."""
        done = self.progress
        best = done.best_loss if done.best_epoch else math.nan
        seconds = sum(record.seconds for record in done.history)
        return FitReport(best, done.best_epoch, done.epoch, seconds, outcome, tuple(done.history))

    def _outcome(self) -> FitOutcome | None:
        done, settings = self.progress, self._settings
        if done.rollbacks > _ROLLBACKS:
            return FitOutcome.DIVERGED
        if done.epoch - done.best_epoch >= settings.patience:
            return FitOutcome.CONVERGED
        if done.epoch >= settings.max_epochs:
            return FitOutcome.MAX_EPOCHS
        return FitOutcome.OUT_OF_TIME if time.perf_counter() > self._deadline else None

    def _epoch(self) -> bool:
        """Train for one epoch and judge it; say whether the time sufficed for all of it."""
        started = time.perf_counter()
        rate = self._learning_rate()
        train, whole = self._pass(rate)
        validation = self._held_out_loss()
        seconds = time.perf_counter() - started
        self.progress.history.append(EpochRecord(self.progress.epoch + 1, train, validation, rate, seconds))
        self._judge(train, train if self._validate is None else validation)
        self._step.consider_compiling(self._seconds_left(seconds))
        return whole

    def _pass(self, rate: float) -> tuple[float, bool]:
        """One pass over the batches: its mean loss, and whether it came to its end in time."""
        self._module.train()
        total = torch.zeros((), dtype=torch.float64, device=self._weights.vector.device)
        steps, whole = 0, True
        for batch in self._deal(self._generator):
            total += self._step(batch, rate)
            steps += 1
            whole = time.perf_counter() <= self._deadline
            if not whole or (steps % _STEPS_BETWEEN_CHECKS == 0 and not torch.isfinite(total)):
                break
        if not steps:
            raise ArgumentError(
                "batches must give at least one batch every epoch, got none: pass a list or a function."
            )
        return total.item() / steps, whole

    @torch.no_grad()
    def _held_out_loss(self) -> float:
        if self._validate is None:
            return math.nan
        self._module.eval()
        return float(self._validate(self._module))

    def _judge(self, train: float, watched: float) -> None:
        """Keep the weights if they are the best so far; undo the epoch if it diverged."""
        done = self.progress
        done.losses.append(watched)
        earlier = [record.train for record in done.history[:-1] if math.isfinite(record.train)]
        exploded = bool(earlier) and train > min(earlier) + _EXPLOSION * max(1.0, abs(min(earlier)))
        sound = math.isfinite(train) and math.isfinite(watched) and bool(self._weights.vector.isfinite().all())
        if exploded or not sound:
            self._roll_back()
        elif watched < done.best_loss:
            done.best_loss, done.best_epoch, self._best = watched, done.epoch, self._weights.snapshot()

    def _roll_back(self) -> None:
        self.progress.rollbacks += 1
        self._weights.restore(self._best)
        self._step.moments.reset()

    def _learning_rate(self) -> float:
        settings, done = self._settings, self.progress
        factor = SCHEDULES[settings.schedule](done.losses, max_epochs=settings.max_epochs, patience=settings.patience)
        return settings.learning_rate * factor * _SLOWER**done.rollbacks

    def _seconds_left(self, seconds: float) -> float:
        """What the rest of the run may take at this pace, if early stopping ends it half way."""
        epochs = (self._settings.max_epochs - self.progress.epoch) / 2
        return min(seconds * epochs, self._deadline - time.perf_counter())

    def _parts(self) -> dict[str, dict[str, Tensor]]:
        """Copies of all tensors that the rest of the run depends on."""
        return {
            "weights": self._weights.snapshot(),
            "best": self._best,
            "optimizer": self._step.moments.snapshot(),
            "generator": {"state": self._generator.get_state()},
        }
