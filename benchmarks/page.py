"""The page about speed, made of the JSON files and of nothing else."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.page_continuous import continuous_parts
from benchmarks.page_engine import engine_parts
from benchmarks.page_gpu import gpu_parts
from benchmarks.page_growth import growth_parts, memory_parts
from benchmarks.page_hmm import hmm_parts
from benchmarks.page_text import table, taken
from benchmarks.results_folder import RESULTS, latest
from counterflow.persistence import atomic_write

__all__ = ["PAGE", "make_page", "write_page"]

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "speed.md"

INTRODUCTION = """# Speed

How long a training step, log-densities and samples take, here and in other libraries; how times and memory grow with
features and layers; and how fast tables go through. `make bench` measures it anew, and `python -m benchmarks table`
writes this page from the files in `benchmarks/results`, and from nothing else.
"""

KINDS = ("engine", "gpu", "growth", "memory", "continuous", "hmm", "tables")

Result = Mapping[str, Any]


def write_page(path: Path = PAGE, folder: Path = RESULTS) -> Path:
    """Write the page of the newest figures."""
    atomic_write(path, make_page({kind: found for kind in KINDS if (found := latest(kind, folder)) is not None}))
    return path


def make_page(results: Mapping[str, Result]) -> str:
    """The page as Markdown; what has not been measured is left out.

    Args:
        results: The figures by kind.

    Returns:
        The text.
    """
    parts = [INTRODUCTION]
    if not results:
        parts.append("Nothing has been measured in this checkout yet.\n")
    makers = {
        "engine": engine_parts,
        "gpu": gpu_parts,
        "growth": growth_parts,
        "memory": memory_parts,
        "continuous": continuous_parts,
        "hmm": hmm_parts,
        "tables": _tables_parts,
    }
    for kind, make in makers.items():
        if kind in results:
            parts += make(results[kind])
    return "\n".join(parts)


def _tables_parts(result: Result) -> list[str]:
    settings, explaining = result["settings"], result["explaining"]
    lines = [
        [name, f"{rate['rows_per_second']:,.0f}", " to ".join(f"{end:,.0f}" for end in rate["quartiles"])]
        for name, rate in result["rates"].items()
    ]
    lines.append(["explaining", f"{explaining['rows_per_second']:,.1f}", ""])
    text = (
        f"The made-up loan table has 6 columns of mixed kinds; {settings['encoded']:,} rows were encoded "
        f"and decoded. Learning the densities for an explainer from {settings['fitted']:,} rows took "
        f"{explaining['fit_seconds']:.1f} s. {explaining['explained']:,} refused rows were then explained at once, "
        f"{settings['repeats']} times; the model approved {explaining['valid_share']:.1%} of the answers, and "
        f"{explaining['plausible_share']:.1%} were plausible.\n"
    )
    header = ["work", "rows a second", "middle half of the rounds"]
    return ["## Tables\n", text, taken(result), table(header, lines)]
