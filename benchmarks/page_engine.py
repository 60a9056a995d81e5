"""The part of the page about the engine: ours against every peer, wins and losses alike."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.page_text import missing_notes, table, taken
from benchmarks.timing import FEW, quartiles

__all__ = ["EVEN", "Comparison", "best", "compare", "engine_parts"]

EVEN = 0.03
"""Ratios this close to 1 are called even."""

TITLES = {"train step": "Training step", "log_prob": "Log-densities", "sample": "Samples"}

METHOD = """## How it is measured

All build the same flow: as many layers, conditioners with two hidden layers of the same width and {activation}, splines
of {bins} bins on [-{bound:g}, {bound:g}], {dtype}, and nothing between the layers but a permutation. That the numbers
of trained parameters agree is shown below. All see the same rows, are trained by the fused Adam of their framework
with the same learning rate, and give densities and samples without gradients, in evaluation mode; that these are
finite, and of the right shape, is checked each time.

Each contestant has a process of its own, with the interpreter and the packages it needs, pinned to {threads} of the
cores with {threads} threads. They take turns: while one runs, all others wait for a message. A turn is a burst of
calls that lasts about {seconds:g} s (one call, if it takes longer), and counts as its median; each has {rounds} turns,
another one going first each time. A figure is the median of the turns. † marks medians of fewer than {few}: whose
single call takes more than {slow:g} s has {least}. Each flow begins in a fresh fork of its contestant's process, so
that the first call is the first; it includes the compiling of what is compiled, with nothing kept from before, and
stands apart. Peak memory is how much the resident memory of the process rose above what it was with all libraries
imported and nothing built, over building, the first calls and one more call.

A *ratio* is the median of the fastest peer over ours: above 1 we are faster, within {even:.0%} of 1 it is called even.
Beside it stands the middle half of the ratios turn by turn. The first compares the best of ours with the best of all
peers, however they run; the second what runs eagerly on PyTorch, ours and theirs.
"""


class Comparison:
    """The best of ours and the best peer in a row, among those that may be compared.

    Args:
        ours: The name of our fastest contestant.
        peer: The name of the fastest peer.
        ratio: The peer's median over ours.
        spread: The quartiles of that ratio, turn by turn.
    """

    def __init__(self, ours: str, peer: str, *, row: Mapping[str, Any]) -> None:
        self.ours, self.peer = ours, peer
        mine, theirs = row["times"][ours], row["times"][peer]
        self.ratio: float = theirs["median_ms"] / mine["median_ms"]
        pairs = zip(theirs["rounds_ms"], mine["rounds_ms"], strict=False)
        self.spread = quartiles([a / b for a, b in pairs])

    @property
    def verdict(self) -> str:
        """Who is faster, in a word."""
        if abs(self.ratio - 1) <= EVEN:
            return "even"
        return "faster" if self.ratio > 1 else "slower"


def compare(
    row: Mapping[str, Any], contestants: Mapping[str, Mapping[str, Any]], *, eager: bool = False
) -> Comparison | None:
    """Compare the best of ours with the best peer.

    Args:
        row: The times of one operation of one case.
        contestants: What is known about each contestant.
        eager: Only those that run eagerly.

    Returns:
        The comparison; ``None`` if there is nothing to compare.
    """

    def may(name: str) -> bool:
        return not eager or contestants[name]["way"] == "eager"

    ours = best(row, lambda name: contestants[name]["ours"] and may(name))
    peer = best(row, lambda name: not contestants[name]["ours"] and may(name))
    return Comparison(ours, peer, row=row) if ours and peer else None


def best(row: Mapping[str, Any], which: Callable[[str], bool]) -> str | None:
    """The fastest among some contestants; ``None`` if none of them has a time."""
    medians = {name: figures["median_ms"] for name, figures in row["times"].items() if which(name)}
    return min(medians, key=lambda name: medians[name]) if medians else None


def engine_parts(result: Mapping[str, Any]) -> list[str]:
    """Everything about the engine."""
    rows, contestants = result["rows"], result["contestants"]
    operations = list(dict.fromkeys(row["operation"] for row in rows))
    plan = result["settings"]["plan"]
    method = METHOD.format(few=FEW, even=EVEN, **{**plan, **result["settings"]})
    sizes = [[label, *map(str, size.values())] for label, size in result["sizes"].items()]
    return [
        taken(result),
        _summary(rows, contestants, eager=False),
        _summary(rows, contestants, eager=True),
        *[_operation([row for row in rows if row["operation"] == name], contestants) for name in operations],
        missing_notes(rows),
        method,
        table(["size", "features", "hidden width", "layers", "rows"], sizes),
        _contestants(result),
        "## Trained parameters\n",
        _parameters(rows, contestants),
        f"## First calls\n\nSeconds of the first {operations[0]} of all, compiling included.\n",
        _figures(
            [row for row in rows if row["operation"] == operations[0]],
            contestants,
            lambda figures: f"{figures['first_s']:.2f}",
        ),
        "## Peak memory\n\nMegabytes above those of the libraries themselves.\n",
        _figures(rows, contestants, lambda figures: f"{figures['peak_mb']:.0f}"),
    ]


def _summary(rows: Sequence[Mapping[str, Any]], contestants: Mapping[str, Any], *, eager: bool) -> str:
    """Wins and losses alike, in one sentence and a list of the losses."""
    compared = [(row, found) for row in rows if (found := compare(row, contestants, eager=eager))]
    what = "Eager against eager on PyTorch" if eager else "Our best against the best of all peers"
    if not compared:
        return f"{what}: no peer took part, so nothing is compared.\n"
    verdicts = [found.verdict for _, found in compared]
    lost = [
        f"{row['family']} {row['size']} {row['operation']} ({found.ratio:.2f}, {found.peer})"
        for row, found in compared
        if found.verdict == "slower"
    ]
    sentence = (
        f"{what}: counterflow is faster in {verdicts.count('faster')}, even in {verdicts.count('even')} and slower in "
        f"{len(lost)} of {len(compared)}."
    )
    return sentence + (f" Slower: {', '.join(lost)}." if lost else "") + "\n"


def _operation(rows: Sequence[Mapping[str, Any]], contestants: Mapping[str, Any]) -> str:
    names = [name for name in contestants if any(name in row["times"] for row in rows)]
    header = ["family", "size", *names, "best of ours / of all peers", "", "eager ours / eager peers", ""]
    lines = [
        [
            row["family"],
            row["size"],
            *(_time(row, name) for name in names),
            *_judgment(compare(row, contestants)),
            *_judgment(compare(row, contestants, eager=True)),
        ]
        for row in rows
    ]
    return f"## {TITLES[rows[0]['operation']]}\n\nMilliseconds.\n\n{table(header, lines)}"


def _time(row: Mapping[str, Any], name: str) -> str:
    figures = row["times"].get(name)
    if figures is None:
        return "–"
    return f"{figures['median_ms']:.2f}" + ("†" if len(figures["rounds_ms"]) < FEW else "")


def _judgment(found: Comparison | None) -> list[str]:
    """The ratio and its spread, and the verdict in a word; blank without peers."""
    if found is None:
        return ["", ""]
    low, high = found.spread
    return [f"{found.ratio:.2f} ({low:.2f} to {high:.2f})", found.verdict]


def _contestants(result: Mapping[str, Any]) -> str:
    lines = [
        f"- {name}: {about['library']} {about['version']} on Python {about['python']}; {about['note']}"
        f"{_raced_at(result, name)}."
        for name, about in result["contestants"].items()
    ]
    lines += [f"- {name} did not take part: {reason}." for name, reason in result["absent"].items()]
    return "\n".join(lines) + "\n"


def _raced_at(result: Mapping[str, Any], name: str) -> str:
    """At which sizes a contestant raced, where these are not all."""
    labels = list(dict.fromkeys(row["size"] for row in result["rows"] if name in row["times"]))
    return "" if len(labels) == len(result["sizes"]) else f"; raced at {', '.join(labels) or 'no size'} only"


def _parameters(rows: Sequence[Mapping[str, Any]], contestants: Mapping[str, Any]) -> str:
    counts: dict[tuple[str, str], dict[str, int]] = {}
    for row in rows:
        counts.setdefault((row["family"], row["size"]), {}).update(row["parameters"])
    lines = [
        [family, size, *(f"{found[name]:,}" if name in found else "–" for name in contestants)]
        for (family, size), found in counts.items()
    ]
    return table(["family", "size", *contestants], lines)


def _figures(
    rows: Sequence[Mapping[str, Any]], contestants: Mapping[str, Any], show: Callable[[Mapping[str, Any]], str]
) -> str:
    lines = [
        [
            row["family"],
            row["size"],
            row["operation"],
            *(show(row["times"][name]) if name in row["times"] else "–" for name in contestants),
        ]
        for row in rows
    ]
    return table(["family", "size", "operation", *contestants], lines)
