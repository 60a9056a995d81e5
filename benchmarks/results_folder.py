"""The JSON files of what was measured."""

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import today
from counterflow.persistence import atomic_write

__all__ = ["RESULTS", "latest", "write_result"]

RESULTS = Path(__file__).parent / "results"


def write_result(kind: str, figures: dict[str, Any], *, machine: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write the figures of today, with the machine they were taken on.

    Args:
        kind: What was measured: ``"engine"``, ``"growth"``, ``"memory"``, ``"continuous"``, ``"tables"``,
            ``"hmm"`` or ``"counterfactuals"``.
        figures: Plain data.
        machine: What :func:`benchmarks.machine.describe_machine` said before the first of them was taken.
        folder: Where to.

    Returns:
        The file; one of the same day is replaced.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{kind}-{today()}.json"
    content = {"kind": kind, "date": today(), "machine": machine, **figures}
    atomic_write(path, json.dumps(content, indent=1, allow_nan=False) + "\n")
    return path


def latest(kind: str, folder: Path = RESULTS) -> dict[str, Any] | None:
    """The newest figures of a kind; ``None`` if there are none."""
    files = sorted(folder.glob(f"{kind}-????-??-??.json"))
    return json.loads(files[-1].read_text(encoding="utf-8")) if files else None
