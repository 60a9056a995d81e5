"""What all parts of the page about speed share: tables, and on what the figures were taken."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["missing_notes", "table", "taken"]


def table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    ruled = [list(header), ["---"] * len(header), *map(list, lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ruled) + "\n"


def taken(result: Mapping[str, Any]) -> str:
    """On what the figures of a result were taken, in a sentence."""
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Taken on {result['date']}: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"load {machine['load_before']} before the start; Python {machine['python']}, {versions}.\n"
    )


def missing_notes(rows: Iterable[Mapping[str, Any]]) -> str:
    """Who has no figure where, and why: a line for each contestant and reason."""
    places: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, reason in row["missing"].items():
            places.setdefault((name, reason), []).append(f"{row['family']} {row['size']} {row['operation']}")
    lines = [f"- {name} {reason}: {', '.join(where)}." for (name, reason), where in places.items() if _news(reason)]
    return "\n".join(lines) + "\n" if lines else ""


def _news(reason: str) -> bool:
    """What the list of contestants says once need not be said for each row."""
    return not reason.startswith(("has no", "slow to compile"))
