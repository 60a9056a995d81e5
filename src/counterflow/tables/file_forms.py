"""Which form a table's file has, and what is wrong with one that cannot be read."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from counterflow.core.errors import DataError
from counterflow.tables.hints import listed

__all__ = ["by_suffix", "csv_sentence"]


def by_suffix(path: Path, known: Mapping[str, Callable[..., Any]], *, verb: str) -> Callable[..., Any]:
    """Choose what to do by the suffix of a file.

    Raises:
        DataError: Its suffix is none of those known.

    Example:
        >>> by_suffix(Path("a.CSV"), {".csv": len, ".csv.gz": max}, verb="read")
        <built-in function len>
    """
    name = path.name.lower()
    for suffix, action in known.items():
        if name.endswith(suffix):
            return action
    raise DataError(f"'{path}': counterflow cannot {verb} this kind of file. It takes {listed(list(known))}.")


def csv_sentence(path: Path, problem: str) -> str:
    """Say in one sentence why a CSV file cannot be read, from what pyarrow said."""
    if ragged := re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", problem):
        line, expected, got = ragged.groups()
        return f"'{path}', line {line}: expected {expected} fields as in the header, got {got}. Correct this line."
    if "Empty CSV" in problem:
        return f"'{path}' is empty: a table has a header line and at least one row."
    return f"'{path}' cannot be read as CSV: {problem.splitlines()[0]}. Check that it is one."
