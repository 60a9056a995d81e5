"""A folder of finished batches of simulations, from which an interrupted run goes on."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from counterflow.core.errors import PersistenceError
from counterflow.persistence import fingerprint, load_folder, save_folder

__all__ = ["BatchStore", "RanBatch"]

_KIND = "simulations"


class RanBatch(NamedTuple):
    """One batch: the data of all rows, which of them failed, and why."""

    x: Tensor | None
    failed: Tensor
    reasons: dict[str, int]


class BatchStore:
    """A folder of finished batches; without a folder it keeps nothing."""

    def __init__(self, folder: str | Path | None, settings: dict[str, object], seed: int) -> None:
        self._path = None if folder is None else Path(folder)
        self._settings = settings
        self._held = None
        if self._path is not None and (self._path / "run").exists():
            self._held = load_folder(self._path / "run", _KIND).config
        self.seed = seed if self._held is None else int(self._held["seed"])

    def check(self, theta: Tensor) -> None:
        """Write down what this run is, or see that it is the one that the folder holds."""
        if self._path is None:
            return
        own = {**self._settings, "seed": self.seed, "theta": fingerprint(theta)}
        if self._held is None:
            save_folder(self._path / "run", _KIND, config=own)
        elif self._held != own:
            other = next(name for name in own if own[name] != self._held.get(name))
            raise PersistenceError(
                f"'{self._path}' holds simulations of another run: its {other} is {self._held.get(other)}, and "
                f"{own[other]} was asked for. Choose another folder, or remove this one."
            )

    def load(self, number: int) -> RanBatch | None:
        """A batch that was finished before."""
        path = self._place(number)
        if path is None or not path.exists():
            return None
        config, tensors = load_folder(path, _KIND)
        return RanBatch(tensors.get("x"), tensors["failed"], config["reasons"])

    def save(self, number: int, batch: RanBatch) -> None:
        """Keep a finished batch."""
        path = self._place(number)
        if path is not None:
            tensors = {"failed": batch.failed, **({} if batch.x is None else {"x": batch.x})}
            save_folder(path, _KIND, config={"reasons": batch.reasons}, tensors=tensors)

    def _place(self, number: int) -> Path | None:
        return None if self._path is None else self._path / f"batch-{number:05d}"
