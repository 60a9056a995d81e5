"""The part of the page about flows in continuous time."""

from collections.abc import Mapping
from typing import Any

from benchmarks.page_engine import Comparison, compare
from benchmarks.page_text import table, taken

__all__ = ["continuous_parts"]

OURS = "counterflow"

TEXT = """All solve the same equation: the same net with the same weights, {dtype}, absolute and relative tolerance
{tolerance:g}, by a method of order 5 of their own, eagerly and in one process. Milliseconds; the ratio is the median of
the fastest peer over ours.
"""


def continuous_parts(result: Mapping[str, Any]) -> list[str]:
    """Every row, ours and theirs, and who is faster."""
    rows = result["rows"]
    names = list(dict.fromkeys(name for row in rows for name in row["times"]))
    contestants = {name: {"way": "eager", "ours": name == OURS} for name in names}
    lines = [
        [
            row["size"],
            row["divergence"],
            row["operation"],
            *(f"{row['times'][name]['median_ms']:.1f}" if name in row["times"] else "–" for name in names),
            *_judgment(compare(row, contestants)),
        ]
        for row in rows
    ]
    header = ["size", "divergence", "operation", *names, "ratio", ""]
    return ["## Flows in continuous time\n", TEXT.format(**result["settings"]), taken(result), table(header, lines)]


def _judgment(found: Comparison | None) -> list[str]:
    return ["", ""] if found is None else [f"{found.ratio:.2f}", found.verdict]
