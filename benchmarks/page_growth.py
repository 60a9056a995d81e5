"""The parts of the page about growth: times over features and layers, compiling and memory over layers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.page_text import missing_notes, table, taken

__all__ = ["growth_parts", "memory_parts"]

Rows = Sequence[Mapping[str, Any]]
Show = Callable[[Mapping[str, Any]], float]

TIME = "milliseconds a call", lambda figures: figures["median_ms"]
FIRST = "seconds for the first call, compiling included", lambda figures: figures["first_s"]
MEMORY = "megabytes that a call needs beyond those between calls", lambda figures: figures["call_mb"]

PEAK = "megabytes at the peak, with what an allocator keeps between calls", lambda figures: figures["peak_mb"]


def growth_parts(result: Mapping[str, Any]) -> list[str]:
    """How times grow with features and with layers."""
    parts = ["## Growth\n", taken(result)]
    for name, sweep in result["sweeps"].items():
        figures = [TIME] if name == "features" else [TIME, FIRST, MEMORY]
        parts.append(f"### With the number of {name}\n\n{_said(sweep)}")
        parts += [_grown(sweep, what, show) for what, show in figures]
        parts.append(missing_notes(sweep["rows"]))
    return parts


def memory_parts(result: Mapping[str, Any]) -> list[str]:
    """What deep flows need in training."""
    parts = ["## Memory of deep flows in training\n", taken(result)]
    for sweep in result["sweeps"].values():
        parts.append(_said(sweep))
        parts += [_grown(sweep, what, show) for what, show in (MEMORY, PEAK, TIME)]
        parts.append(missing_notes(sweep["rows"]))
    return parts


def _said(sweep: Mapping[str, Any]) -> str:
    fixed = {name: value for name, value in sweep["size"].items() if name != sweep["grows"]}
    words = {"features": "features", "hidden": "hidden width", "layers": "layers", "batch": "rows"}
    return "All else stays: " + ", ".join(f"{words[name]} {value}" for name, value in fixed.items()) + ".\n"


def _grown(sweep: Mapping[str, Any], what: str, show: Show) -> str:
    """One line for each contestant, one column for each value, and the growth over the last step that all took."""
    values = list(dict.fromkeys(row["size"] for row in sweep["rows"]))
    kinds = list(dict.fromkeys((row["family"], row["operation"]) for row in sweep["rows"]))
    lines = []
    for family, operation in kinds:
        rows = [row for row in sweep["rows"] if (row["family"], row["operation"]) == (family, operation)]
        lines += [[family, operation, name, *_cells(rows, name, show)] for name in sweep["contestants"]]
    header = ["family", "operation", "contestant", *(f"{value} {sweep['grows']}" for value in values)]
    ratios = [f"{b} over {a}" for a, b in _pairs(sweep)]
    return f"In {what}:\n\n{table([*header, *ratios], [line + _ratios(sweep, line, show) for line in lines])}"


def _cells(rows: Rows, name: str, show: Show) -> list[str]:
    return [f"{show(row['times'][name]):.3g}" if name in row["times"] else "–" for row in rows]


def _pairs(sweep: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What is set in proportion: 20 layers to 5, 50 layers to 5; over features the two largest of all."""
    values = list(dict.fromkeys(row["size"] for row in sweep["rows"]))
    known = [("5", "20"), ("5", "50"), ("128", "512")]
    return [pair for pair in known if set(pair) <= set(values)]


def _ratios(sweep: Mapping[str, Any], line: Sequence[str], show: Show) -> list[str]:
    family, operation, name = line[:3]
    found = {
        row["size"]: show(row["times"][name])
        for row in sweep["rows"]
        if (row["family"], row["operation"]) == (family, operation) and name in row["times"]
    }
    return [f"{found[b] / found[a]:.1f}" if found.get(a) and b in found else "–" for a, b in _pairs(sweep)]
