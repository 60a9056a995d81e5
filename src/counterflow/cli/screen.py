"""What a person sees: sentences about the work on stderr, results on stdout."""

import sys
import threading
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager

__all__ = ["METRICS", "metrics_text", "show", "table_text", "tell", "working"]

Metric = float | int | bool | str

METRICS = {
    "witness_share": "of the valid answers, plausible to a flow that the search never saw",
    "witness_informative": "whether the witness is fit to judge on this table",
    "validity": "of the answers, the model answers as desired",
    "plausible_share": "of the valid answers, as plausible as asked",
    "coverage": "of the rows, at least one valid answer",
    "actionability": "of the answers, every rule kept",
    "changed_features": "columns changed on average",
    "proximity_l1": "mean sum of numeric changes, standard units",
    "proximity_l2": "mean length of numeric changes, standard units",
    "proximity_mixed": "mean distance, numbers and categories together",
    "diversity": "mean distance between the answers to one row",
    "repaired_share": "of the answers, found in place of one that only a stand-in accepted",
    "copied_share": "of the answers, equal to a training row",
    "log_density_median": "median log-density of the valid answers",
    "answers": "answers searched for",
    "valid_answers": "of them valid",
    "seconds": "for all answers together",
}
"""What the command line shows of the metrics, in this order."""


def tell(sentence: str) -> None:
    """Say on stderr what is being done."""
    print(sentence, file=sys.stderr, flush=True)


def show(text: str = "") -> None:
    """Print a result on stdout."""
    print(text, flush=True)


@contextmanager
def working(sentence: str) -> Generator[None]:
    """Say what is being done, and on a terminal for how long already."""
    tell(sentence)
    if not sys.stderr.isatty():
        yield
        return
    done, began = threading.Event(), time.monotonic()
    clock = threading.Thread(target=_count_seconds, args=(done, began), daemon=True)
    clock.start()
    try:
        yield
    finally:
        done.set()
        clock.join()


def _count_seconds(done: threading.Event, began: float) -> None:
    while not done.wait(1.0):
        print(f"\r{time.monotonic() - began:4.0f} s ", end="", file=sys.stderr, flush=True)
    print("\r        \r", end="", file=sys.stderr, flush=True)


def table_text(rows: Sequence[Sequence[str]], *, header: Sequence[str] = ()) -> str:
    """Rows of text in aligned columns.

    Example:
        >>> print(table_text([("income", "800"), ("age", "28")], header=("column", "value")))
        column  value
        income  800
        age     28
    """
    lines = [tuple(header), *map(tuple, rows)] if header else [tuple(row) for row in rows]
    if not lines:
        return ""
    widths = [max(len(cell) for cell in cells) for cells in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def metrics_text(metrics: Mapping[str, Metric]) -> str:
    """The metrics as a table, the witness share first.

    Example:
        >>> print(metrics_text({"validity": 1.0, "witness_share": 0.9125, "answers": 12000}))
        witness share  0.912   of the valid answers, plausible to a flow that the search never saw
        validity       1.000   of the answers, the model answers as desired
        answers        12,000  answers searched for
    """
    return table_text(
        [(key.replace("_", " "), _number(metrics[key]), words) for key, words in METRICS.items() if key in metrics]
    )


def _number(value: Metric) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else "-" if value != value else f"{value:.3f}"
