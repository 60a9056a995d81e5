"""The part of the page about hidden Markov models."""

from collections.abc import Mapping
from typing import Any

from benchmarks.page_text import table, taken

__all__ = ["hmm_parts"]

PEERS = {
    "filter": ("hmmlearn filter", "hmmlearn filter, scaled"),
    "E-step": ("hmmlearn E-step",),
    "Viterbi": ("hmmlearn Viterbi",),
}

ABOUT = """Milliseconds of the processor for one sequence whose log-densities are given; hmmlearn's inner functions are
C++. Its scaled filter underflows where densities are far apart; ours does not, nor does its filter in logarithms. A
ratio above 1 says that ours is faster.
"""


def hmm_parts(result: Mapping[str, Any]) -> list[str]:
    """Scans beside hmmlearn's, and a million observations."""
    lines = [
        [str(row["states"]), f"{row['rows']:,}", ours, f"{mine:,.4g}", peer, f"{theirs:,.4g}", f"{theirs / mine:.2f}"]
        for row in result["scans"]
        for ours, mine, peer, theirs in _pairs(row["milliseconds"])
    ]
    header = ["states", "rows", "ours", "ms", "beside", "ms", "ratio"]
    million = [
        [name, f"{figures['seconds']:.1f}", f"{figures['more_memory_mb']:,}"]
        for name, figures in result["million"].items()
    ]
    said = "A million observations in one go, emissions of three states being spline flows of two layers:\n"
    return [
        "## Hidden Markov models\n",
        ABOUT,
        taken(result),
        table(header, lines),
        said,
        table(["what", "seconds of the processor", "megabytes at the peak beyond those before"], million),
    ]


def _pairs(times: Mapping[str, float]) -> list[tuple[str, float, str, float]]:
    return [(ours, times[ours], peer, times[peer]) for ours, peers in PEERS.items() for peer in peers if peer in times]
