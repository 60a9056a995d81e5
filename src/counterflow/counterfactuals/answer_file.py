"""The values of an answer as JSON holds them, and back: numbers that are not finite as text, labels plain."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from counterflow.core.errors import PersistenceError

__all__ = ["FORMAT", "array_of", "plain_labels", "plain_numbers", "plain_rows", "read_answer", "rows_of"]

FORMAT = 2
"""Which form of the file this version writes and reads."""


def read_answer(path: Path) -> dict[str, Any]:
    """The contents of a file that holds an answer.

    Raises:
        PersistenceError: The file is missing, damaged, of another kind or of another version.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise PersistenceError(f"there is no file '{path}'. Check the path.") from error
    except (ValueError, OSError) as error:
        raise PersistenceError(f"'{path}' is damaged or no saved answer: it cannot be read as JSON.") from error
    if not isinstance(data, dict) or data.get("kind") != "counterfactual answer":
        raise PersistenceError(f"'{path}' holds no counterfactual answer: expected a file that to_json wrote.")
    if data.get("format") != FORMAT:
        raise PersistenceError(
            f"'{path}' has format {data.get('format')}, this version reads {FORMAT}: explain the rows again."
        )
    return data


def plain_numbers(values: np.ndarray) -> list[Any]:
    """Numbers for JSON: NaN and infinities as text, as JSON has none."""
    if values.dtype == np.bool_:
        return values.tolist()
    return [value if np.isfinite(value) else str(value) for value in values.tolist()]


def plain_rows(rows: np.ndarray) -> list[list[Any]]:
    """Rows for JSON."""
    return [plain_numbers(row) for row in rows]


def array_of(values: Sequence[Any]) -> np.ndarray:
    """What :func:`plain_numbers` wrote, as an array again."""
    if values and isinstance(values[0], bool):
        return np.array(values, dtype=np.bool_)
    return np.array([float(value) for value in values], dtype=np.float64)


def rows_of(rows: Sequence[Sequence[Any]], columns: int) -> np.ndarray:
    """What :func:`plain_rows` wrote, as an array again."""
    return np.array([[float(value) for value in row] for row in rows], dtype=np.float64).reshape(-1, columns)


def plain_labels(values: Sequence[Any]) -> list[Any]:
    """Labels for JSON: plain values as they are, anything else as text."""
    plain = (value.item() if isinstance(value, np.generic) else value for value in values)
    kept = str | int | float | bool | tuple | None
    return [value if isinstance(value, kept) else str(value) for value in plain]
