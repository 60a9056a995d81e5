"""Small words for error messages: "did you mean", lists of names, the first bad row."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

__all__ = ["did_you_mean", "first_row", "listed"]


def did_you_mean(word: object, known: Iterable[object]) -> str:
    """Suggest the known name nearest to ``word``, as a sentence that starts with a blank; empty if none is near.

    Example:
        >>> did_you_mean("incme", ["income", "age"])
        " Did you mean 'income'?"
    """
    names = {str(name): name for name in known}
    near = difflib.get_close_matches(str(word), list(names), n=1, cutoff=0.6)
    return f" Did you mean {names[near[0]]!r}?" if near else ""


def listed(values: Sequence[object], limit: int = 8) -> str:
    """List values for a sentence, cut after ``limit``.

    Example:
        >>> listed(["a", "b", "c"], limit=2)
        "'a', 'b' and 1 more"
    """
    shown = ", ".join(repr(value) for value in values[:limit])
    return shown if len(values) <= limit else f"{shown} and {len(values) - limit} more"


def first_row(bad: np.ndarray) -> str:
    """Say how many rows are bad and which is the first (rows counted from 0, as the frame does).

    Example:
        >>> first_row(np.array([False, True, True]))
        '2 rows, the first is row 1'
    """
    count = int(bad.sum())
    where = int(bad.argmax())
    return f"row {where}" if count == 1 else f"{count} rows, the first is row {where}"
