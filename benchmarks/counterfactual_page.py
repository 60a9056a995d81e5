"""The comparison of counterfactual methods as a table for the documentation."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks.results_folder import latest

__all__ = ["PAGE", "measured", "write_measured"]

PAGE = Path(__file__).resolve().parents[1] / "docs" / "explanation" / "compared.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"

FIRST = {
    "coverage": "rows with a valid answer",
    "witness_share": "witness share",
    "plausible_share": "plausible share",
    "actionability": "rules kept",
    "changed_features": "columns changed",
    "proximity_gower": "Gower",
    "proximity_l2": "L2",
    "proximity_mad": "MAD",
    "lof_median": "LOF median",
    "isolation_forest_median": "isolation forest",
}
"""Of the first answer to each row: the figure, and what it is called."""

ALL = {"validity": "valid of all", "diversity": "diversity of all"}
"""Of all answers to each row."""


def write_measured(results: dict[str, Any] | None = None, page: Path = PAGE) -> Path:
    """Put the tables of the newest results between the marks of the page."""
    figures = results or latest("counterfactuals")
    if figures is None:
        raise FileNotFoundError("there are no results: run python -m benchmarks counterfactuals")
    text = page.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    page.write_text(f"{before}{BEGIN}\n\n{measured(figures)}\n\n{END}{after}", encoding="utf-8")
    return page


def measured(results: dict[str, Any]) -> str:
    """One table for each data set: methods in rows, figures in columns, means over seeds with half their intervals."""
    return "\n\n".join(_table(name, methods) for name, methods in results["figures"].items())


def _table(name: str, methods: dict[str, list[dict[str, Any]]]) -> str:
    heads = ["method", *FIRST.values(), *ALL.values(), "s a row", "rows a seed"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for method, seeds in methods.items():
        cells = [_cell([seed["first"].get(key) for seed in seeds]) for key in FIRST]
        cells += [_cell([seed["all"].get(key) for seed in seeds]) for key in ALL]
        cells += [_cell([seed["seconds_per_row"] for seed in seeds]), str(seeds[0]["rows"])]
        lines.append(f"| {method.replace('dice-', 'dice-ml ')} | {' | '.join(cells)} |")
    return f"**{name}**\n\n" + "\n".join(lines)


def _cell(values: Sequence[float | None]) -> str:
    known = np.array([value for value in values if value is not None])
    if not len(known):
        return "–"
    form = "{:.3f}" if np.abs(known).mean() < 0.1 else "{:.2f}"
    if len(known) == 1:
        return form.format(known[0])
    half = student.ppf(0.975, len(known) - 1) * known.std(ddof=1) / len(known) ** 0.5
    return f"{form.format(known.mean())} ± {form.format(half)}"
