"""The numbers: the witness share first, then what the model says, and how each row ended."""

import math
from collections import Counter

from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.html.elements import Markup, element, join, paragraph, section, table
from counterflow.plotting.words import share_text

__all__ = ["METRICS", "metric_text", "statuses", "summary"]

Metric = float | int | bool | str

METRICS = {
    "witness_share": "share of valid answers that the witness, too, finds plausible",
    "witness_informative": "whether the witness is fit to judge",
    "validity": "share of answers for which the model answers as desired",
    "plausible_share": "share of valid answers that reach the asked plausibility under the search's own densities",
    "coverage": "share of rows with at least one valid answer",
    "actionability": "share of answers that keep every rule, by an independent check",
    "sparsity": "mean share of columns changed",
    "changed_features": "mean number of columns changed",
    "proximity_l1": "mean sum of numeric changes, standard units",
    "proximity_l2": "mean Euclidean length of numeric changes, standard units",
    "proximity_mixed": "mean distance of numeric and categorical changes together",
    "diversity": "mean distance between the answers to one row",
    "log_density_median": "median log-density of the valid answers",
    "log_density_mean": "mean log-density of the valid answers",
    "log_density_space": "what the log-densities are measured in",
    "answers": "answers that were searched for",
    "repaired_share": "share of answers found in the place of one to which a stand-in had led the search",
    "copied_share": "share of answers that equal a training row",
    "valid_answers": "answers for which the model answers as desired",
    "seconds": "seconds that all answers took together",
}


def summary(answer: CounterfactualAnswer) -> Markup:
    """The section of numbers."""
    metrics = answer.metrics()
    report = answer.witness_report
    if not metrics["answers"]:
        text = "Nothing was searched for: the model answers as desired for every row already."
        return section("Results", paragraph(text, kind="lead"), anchor="results")
    verdict = share_text(float(metrics["witness_share"])) if report.informative else "not informative"
    witness = element(
        "div",
        element("h3", "Witness share"),
        paragraph(verdict, kind="figure" if report.informative else "figure weak"),
        paragraph("of the valid answers are plausible to a second density that the search never saw."
                  if report.informative else _weak(metrics)),
        paragraph(report.sentence, kind="small"),
        attributes={"class": "tile witness" + ("" if report.informative else " note"), "role": "group"},
    )  # fmt: skip
    tiles = element("div", *[_tile(*tile) for tile in _tiles(metrics)], attributes={"class": "tiles"})
    return section("Results", witness, tiles, _all_metrics(metrics), anchor="results")


def _weak(metrics: dict[str, Metric]) -> str:
    return (
        f"No share is claimed: the witness is too weak a judge on this table. (It accepts "
        f"{share_text(float(metrics['witness_share']))} of the valid answers, which is no evidence.)"
    )


def _tiles(metrics: dict[str, Metric]) -> list[tuple[str, str, str]]:
    """Name, figure and meaning of each tile."""
    valid, answers = int(metrics["valid_answers"]), int(metrics["answers"])
    validity, plausible, kept = (float(metrics[key]) for key in ("validity", "plausible_share", "actionability"))
    return [
        ("Valid", share_text(validity), f"{valid:,} of {answers:,}: the model itself answers as desired"),
        ("Plausible", share_text(plausible), "of the valid are plausible as asked to the search's own densities"),
        ("Rules kept", share_text(kept), "of the answers keep every rule, by an independent check"),
        ("Changes", metric_text(metrics["changed_features"]), "columns on average, of the valid"),
        ("Distance", metric_text(metrics["proximity_l2"]), "standard units on average, of the valid"),
    ]


def _tile(name: str, figure: str, meaning: str) -> Markup:
    parts = element("h3", name), paragraph(figure, kind="figure"), paragraph(meaning)
    return element("div", *parts, attributes={"class": "tile", "role": "group"})


def metric_text(value: Metric) -> str:
    """A metric as text.

    Example:
        >>> metric_text(0.98276), metric_text(float("nan")), metric_text(True), metric_text(12000)
        ('0.983', '–', 'yes', '12,000')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int):
        return f"{value:,}"
    return "–" if math.isnan(value) else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _all_metrics(metrics: dict[str, Metric]) -> Markup:
    rows = [(key, metric_text(value), METRICS.get(key, "")) for key, value in metrics.items()]
    shown = table(("metric", "value", "meaning"), rows, caption="All metrics", numeric=(1,))
    return element("details", element("summary", "All metrics"), shown)


def statuses(answer: CounterfactualAnswer) -> Markup:
    """How the rows ended: a count and a sentence for each status that occurred."""
    counts = Counter(answer.status)
    rows = [(join([_badge(status)]), f"{counts[status]:,}", status.sentence) for status in RowStatus if counts[status]]
    shown = table(("how it ended", "answers", "what that means"), rows, caption="How the rows ended", numeric=(1,))
    return section("How the rows ended", shown, anchor="status")


def _badge(status: RowStatus) -> Markup:
    return element("span", status.value.replace("_", " "), attributes={"class": f"badge {status.value}"})
