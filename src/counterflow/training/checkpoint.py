"""What a run needs to go on exactly where it stood: taken after every finished epoch, written to a folder."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from counterflow.core.errors import PersistenceError
from counterflow.persistence import join_parts, load_folder, save_folder
from counterflow.training.report import EpochRecord

__all__ = ["Checkpoint", "Progress", "SavedRun", "saved_seed"]

_KIND = "training checkpoint"
_SECONDS_BETWEEN_WRITES = 5.0


@dataclass
class Progress:
    """How far a run has come; everything but the numbers in tensors.

    Args:
        seed: The seed of all its randomness.
        history: One record for each finished epoch.
        losses: The loss that early stopping and schedules watch, for each of them.
        best_loss: The lowest of these.
        best_epoch: Where it was reached, from 1; 0 if nowhere.
        rollbacks: How often the run diverged.
    """

    seed: int
    history: list[EpochRecord] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    best_loss: float = math.inf
    best_epoch: int = 0
    rollbacks: int = 0

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return len(self.history)


class SavedRun(NamedTuple):
    """The state after a finished epoch: how far the run was, and the tensors of each of its parts."""

    progress: Progress
    parts: dict[str, dict[str, Tensor]]


class Checkpoint:
    """A folder that follows a run.

    Args:
        folder: Where; ``None`` to keep nothing.
        identity: A hash of what makes the run this run; a checkpoint of another one is refused.
    """

    def __init__(self, folder: str | Path | None, identity: str) -> None:
        self.folder = folder
        self._identity = identity
        self._pending: tuple[dict[str, object], dict[str, Tensor]] | None = None
        self._written_at = time.perf_counter()

    def keep(self, progress: Progress, parts: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take the state after an epoch; it is written now if the last write is some seconds ago, else later.

        Args:
            progress: How far the run is.
            parts: Its tensors; they must be copies, for training goes on.
        """
        config = {
            "identity": self._identity,
            "seed": progress.seed,
            "best_epoch": progress.best_epoch,
            "rollbacks": progress.rollbacks,
        }
        numbers = {"history": _table(progress.history), "losses": _table(progress.losses)}
        self._pending = config, join_parts({**parts, "progress": numbers})
        if time.perf_counter() - self._written_at > _SECONDS_BETWEEN_WRITES:
            self.write()

    def write(self) -> None:
        """Write the state of the last finished epoch, if it is not on the disk yet."""
        if self.folder is None or self._pending is None:
            return
        config, tensors = self._pending
        save_folder(self.folder, _KIND, config=config, tensors=tensors)
        self._pending = None
        self._written_at = time.perf_counter()

    def read(self) -> SavedRun | None:
        """The state saved in the folder; ``None`` if there is no folder yet.

        Raises:
            PersistenceError: The folder is damaged, or belongs to a run with other data or settings.
        """
        if self.folder is None or not Path(self.folder).exists():
            return None
        saved = load_folder(self.folder, _KIND)
        if saved.config["identity"] != self._identity:
            raise PersistenceError(
                f"The checkpoint '{self.folder}' is of another run: its data, module or settings differ. "
                "Resume with the same ones, or pass resume=False to start again."
            )
        parts = {name: saved.part(name) for name in ("weights", "best", "optimizer", "generator")}
        return SavedRun(_progress(saved.config, saved.part("progress")), parts)


def saved_seed(folder: str | Path | None) -> int | None:
    """The seed of the run that a checkpoint folder belongs to; ``None`` if there is no folder yet."""
    if folder is None or not Path(folder).exists():
        return None
    return load_folder(folder, _KIND).config["seed"]


def _progress(config: dict[str, Any], numbers: dict[str, Tensor]) -> Progress:
    losses = numbers["losses"].tolist()
    history = [EpochRecord(int(epoch), *rest) for epoch, *rest in numbers["history"].tolist()]
    best_epoch = config["best_epoch"]
    best_loss = losses[best_epoch - 1] if best_epoch else math.inf
    return Progress(config["seed"], history, losses, best_loss, best_epoch, config["rollbacks"])


def _table(rows: list[EpochRecord] | list[float]) -> Tensor:
    """Numbers as they are, NaN included, which JSON could not hold."""
    return torch.tensor(rows, dtype=torch.float64)
