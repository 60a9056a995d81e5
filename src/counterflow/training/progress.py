"""Loggers: what may look on while a run trains."""

import json
import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from counterflow.training.report import EpochRecord
from counterflow.training.settings import TrainingSettings

__all__ = ["JsonLinesLog", "Logger", "progress_bar"]


Logger = Callable[[EpochRecord], object]
"""Anything that can be called with the record of each epoch; one that returns ``False`` stops the run there."""


class JsonLinesLog:
    r"""Append one line of JSON to a file after every epoch.

    Args:
        path: The file; lines that it holds already are kept.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     log = JsonLinesLog(Path(folder, "log.jsonl"))
        ...     log(EpochRecord(1, 2.5, float("nan"), 1e-3, 0.1))
        ...     Path(folder, "log.jsonl").read_text()
        '{"epoch": 1, "train": 2.5, "validation": null, "learning_rate": 0.001, "seconds": 0.1}\n'
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)

    def __call__(self, record: EpochRecord) -> None:
        """Append the record; what is not finite becomes ``null``."""
        plain = {key: value if math.isfinite(value) else None for key, value in record._asdict().items()}
        with self._path.open("a") as file:
            file.write(json.dumps(plain) + "\n")


@contextmanager
def progress_bar(settings: TrainingSettings, done: int) -> Generator[Logger]:
    """A bar on an interactive terminal that appears once two seconds have passed, as a logger."""
    if not settings.progress:
        yield lambda record: None
        return
    from tqdm.auto import tqdm

    with tqdm(total=settings.max_epochs, initial=done, desc="training", unit="epoch", delay=2.0, disable=None) as bar:

        def advance(record: EpochRecord) -> None:
            bar.set_postfix(train=f"{record.train:.4g}", validation=f"{record.validation:.4g}", refresh=False)
            bar.update()

        yield advance
