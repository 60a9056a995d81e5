"""The page about speed, made of the JSON files and of nothing else."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.libraries import OURS
from benchmarks.results_folder import RESULTS, latest
from benchmarks.timing import FEW
from counterflow.persistence import atomic_write

__all__ = ["PAGE", "best_peer", "make_page", "verdict", "write_page"]

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "speed.md"

EVEN = 0.03
"""Ratios this close to 1 are called even."""

INTRODUCTION = """# Speed

How long a training step, log-densities and samples take, here and in other libraries for PyTorch; and how fast tables
go through. `make bench` measures it anew, and `python -m benchmarks table` writes this page from the files in
`benchmarks/results`.
"""

METHOD = """## How it is measured

All build the same flow: as many layers, conditioners with two hidden layers of the same width and ReLU, splines of
{bins} bins on [-{bound:g}, {bound:g}], {dtype}, and nothing between the layers but a permutation. That the numbers of
trained parameters agree is shown below. All see the same rows with the same number of threads, run eagerly, and are
trained by the same fused Adam; log-densities and samples are computed without gradients, in evaluation mode. They
take turns within one process, call by call, another one first in each round. A figure is the median over the rounds;
garbage is collected between comparisons only, and the first call is kept apart.

A *ratio* is the median of the fastest peer over ours: above 1 we are faster, within {even:.0%} of 1 it is called even.
Beside it stands the middle half of the ratios of single rounds. † marks medians of fewer than {few} rounds.
"""


def write_page(path: Path = PAGE, folder: Path = RESULTS) -> Path:
    """Write the page of the newest figures."""
    atomic_write(path, make_page(latest("engine", folder), latest("tables", folder)))
    return path


def make_page(engine: Mapping[str, Any] | None, tables: Mapping[str, Any] | None) -> str:
    """The page as Markdown; what has not been measured is left out.

    Args:
        engine: The figures of the engine.
        tables: The figures of tables.

    Returns:
        The text.
    """
    parts = [INTRODUCTION]
    if engine is None and tables is None:
        parts.append("Nothing has been measured in this checkout yet.\n")
    if engine is not None:
        parts += _engine_parts(engine)
    if tables is not None:
        parts.append(_tables_part(tables))
    return "\n".join(parts)


def best_peer(row: Mapping[str, Any]) -> str | None:
    """The peer with the lowest median; ``None`` if no peer took part."""
    peers = {name: times["median_ms"] for name, times in row["times"].items() if name != OURS}
    return min(peers, key=lambda name: peers[name]) if peers else None


def verdict(row: Mapping[str, Any]) -> str:
    """Whether we are ``"faster"``, ``"even"`` or ``"slower"`` than the best peer."""
    ratio = _ratio(row)
    return "faster" if ratio > 1 + EVEN else "slower" if ratio < 1 / (1 + EVEN) else "even"


def _engine_parts(engine: Mapping[str, Any]) -> list[str]:
    settings = engine["settings"]
    rows = engine["rows"]
    sizes = _table(
        ["size", "features", "hidden width", "layers", "rows"],
        [[label, *map(str, size.values())] for label, size in engine["sizes"].items()],
    )
    notes = [f"- {name} {library['version']}: {library['note']}." for name, library in engine["libraries"].items()]
    operations = list(dict.fromkeys(row["operation"] for row in rows))
    return [
        _taken(engine),
        _summary(rows),
        *[_operation_part([row for row in rows if row["operation"] == name], name) for name in operations],
        METHOD.format(few=FEW, even=EVEN, **settings),
        sizes,
        "\n".join(notes) + "\n",
        _parameters_part(engine["parameters"]),
        _first_calls_part(rows),
    ]


def _taken(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return (
        f"Taken on {result['date']}: {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, "
        f"load {machine['load_before']} before the start; Python {machine['python']}, {versions}.\n"
    )


def _summary(rows: Sequence[Mapping[str, Any]]) -> str:
    """Wins and losses alike, in one sentence and a list of the losses."""
    compared = [row for row in rows if best_peer(row)]
    if not compared:
        return "No peer is installed here, so nothing is compared.\n"
    verdicts = [verdict(row) for row in compared]
    lost = [row for row, found in zip(compared, verdicts, strict=True) if found == "slower"]
    sentence = (
        f"Against the best peer of each row, counterflow is faster in {verdicts.count('faster')}, even in "
        f"{verdicts.count('even')} and slower in {len(lost)} of {len(compared)}."
    )
    names = [f"{row['family']} {row['size']} {row['operation']} ({_ratio(row):.2f})" for row in lost]
    return sentence + (f" Slower: {', '.join(names)}." if names else "") + "\n"


def _operation_part(rows: Sequence[Mapping[str, Any]], operation: str) -> str:
    libraries = list(rows[0]["times"])
    lines = [
        [
            row["family"],
            row["size"] + ("†" if row["rounds"] < FEW else ""),
            *(f"{row['times'][name]['median_ms']:.2f}" for name in libraries),
            *_judgment(row),
        ]
        for row in rows
    ]
    title = {"log_prob": "Log-densities", "sample": "Samples", "train step": "Training step"}[operation]
    header = ["family", "size", *(f"{name} (ms)" for name in libraries), "ratio", "middle half", ""]
    return f"## {title}\n\n{_table(header, lines)}"


def _judgment(row: Mapping[str, Any]) -> list[str]:
    """The ratio to the best peer, its spread, and the verdict in a word; blank without peers."""
    peer = best_peer(row)
    if peer is None:
        return ["", "", ""]
    low, high = row["ratios"][peer]["quartiles_of_rounds"]
    return [f"{_ratio(row):.2f}", f"{low:.2f} to {high:.2f}", verdict(row)]


def _parameters_part(counts: Sequence[Mapping[str, Any]]) -> str:
    libraries = list(counts[0]["counts"])
    lines = [[row["family"], row["size"], *(f"{row['counts'][name]:,}" for name in libraries)] for row in counts]
    return f"## Trained parameters\n\n{_table(['family', 'size', *libraries], lines)}"


def _first_calls_part(rows: Sequence[Mapping[str, Any]]) -> str:
    libraries = list(rows[0]["times"])
    lines = [
        [row["family"], row["size"], row["operation"], *(f"{row['times'][name]['first_ms']:.1f}" for name in libraries)]
        for row in rows
    ]
    header = ["family", "size", "operation", *(f"{name} (ms)" for name in libraries)]
    return f"## First calls\n\n{_table(header, lines)}"


def _tables_part(tables: Mapping[str, Any]) -> str:
    settings, explaining = tables["settings"], tables["explaining"]
    lines = [
        [name, f"{rate['rows_per_second']:,.0f}", " to ".join(f"{end:,.0f}" for end in rate["quartiles"])]
        for name, rate in tables["rates"].items()
    ]
    lines.append(["explaining", f"{explaining['rows_per_second']:,.1f}", ""])
    text = (
        f"## Tables\n\nThe made-up loan table has 6 columns of mixed kinds; {settings['encoded']:,} rows were encoded "
        f"and decoded. Learning the densities for an explainer from {settings['fitted']:,} rows took "
        f"{explaining['fit_seconds']:.1f} s. {explaining['explained']:,} refused rows were then explained at once, "
        f"{settings['repeats']} times; the model approved {explaining['valid_share']:.1%} of the answers, and "
        f"{explaining['plausible_share']:.1%} were plausible.\n"
    )
    header = ["work", "rows a second", "middle half of the rounds"]
    return "\n".join([text, _taken(tables), _table(header, lines)])


def _ratio(row: Mapping[str, Any]) -> float:
    return row["ratios"][best_peer(row)]["of_medians"]


def _table(header: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    ruled = [list(header), ["---"] * len(header), *map(list, lines)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in ruled) + "\n"
