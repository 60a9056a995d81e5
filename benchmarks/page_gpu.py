"""The part of the page about a GPU: the engine's table there, and the share of what the GPU can do."""

from collections.abc import Mapping
from typing import Any

from benchmarks.page_engine import best, compare
from benchmarks.page_text import missing_notes, table, taken

__all__ = ["gpu_parts"]

TEXT = """The engine on {gpu}; matrix products of float32 in {matmul} for everybody. What the GPU does at the most,
measured in the same run with large products and a large copy: {ceilings} (TFLOP/s; GB/s). *Share* is the part of the
matrix ceiling that the fastest of ours reaches in matrix products alone. These flows are small: a GPU waits for
launches, not for arithmetic, and one CUDA graph for a whole step is what helps. The last column but one sets our best
beside the best of all peers, the last beside the best peer that runs eagerly on PyTorch. Milliseconds.
"""


def gpu_parts(result: Mapping[str, Any]) -> list[str]:
    """Everything about the GPU."""
    rows, contestants, ceilings = result["rows"], result["contestants"], result["ceilings"]
    matmul = result["settings"]["matmul"]
    text = TEXT.format(gpu=result["gpu"], matmul=matmul, ceilings=", ".join(f"{k} {v:g}" for k, v in ceilings.items()))
    names = [name for name in contestants if any(name in row["times"] for row in rows)]
    header = ["operation", "family", "size", *names, "share", "best of all peers / ours", "eager PyTorch peers / ours"]
    lines = [_line(row, names, result) for row in rows]
    sizes = [[label, *map(str, size.values())] for label, size in result["sizes"].items()]
    return [
        "## On a GPU\n",
        taken(result),
        text,
        *([result["note"] + "\n"] if result.get("note") else []),
        table(header, lines),
        missing_notes(rows),
        table(["size", "features", "hidden width", "layers", "rows"], sizes),
    ]


def _line(row: Mapping[str, Any], names: list[str], result: Mapping[str, Any]) -> list[str]:
    contestants, times = result["contestants"], row["times"]
    medians = [f"{times[name]['median_ms']:.2f}" if name in times else "–" for name in names]
    overall = compare(row, contestants)
    ours = best(row, lambda name: contestants[name]["ours"])
    eager = best(row, lambda name: contestants[name]["way"] == "eager" and not contestants[name]["ours"])
    ratio = times[eager]["median_ms"] / times[ours]["median_ms"] if ours and eager else None
    return [
        row["operation"],
        row["family"],
        row["size"],
        *medians,
        "–" if ours is None else _share(row, times[ours]["median_ms"], result),
        "–" if overall is None else f"{overall.ratio:.2f}",
        "–" if ratio is None else f"{ratio:.1f}",
    ]


def _share(row: Mapping[str, Any], milliseconds: float, result: Mapping[str, Any]) -> str:
    gigaflops = result["work"][f"{row['family']} {row['size']}"][row["operation"]]
    return f"{gigaflops / milliseconds / result['ceilings'][result['settings']['matmul']]:.2%}"
