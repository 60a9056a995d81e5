"""One page that says it all, for somebody who decides: a loan officer, a doctor."""

from collections import Counter
from importlib.resources import files
from pathlib import Path

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.persistence import atomic_write
from counterflow.plotting.html.elements import Markup, element, paragraph
from counterflow.plotting.html.gallery import gallery
from counterflow.plotting.html.meaning import meaning, provenance
from counterflow.plotting.html.question import question
from counterflow.plotting.html.rows import rows as row_cards
from counterflow.plotting.html.summary import statuses, summary
from counterflow.plotting.words import named

__all__ = ["report"]

_CONTENTS = {
    "asked": "What was asked",
    "results": "Results",
    "status": "How the rows ended",
    "pictures": "Pictures",
    "rows": "Row by row",
    "meaning": "What this says",
    "provenance": "Provenance",
}


def report(answer: CounterfactualAnswer, path: str | Path, *, title: str | None = None, rows: int = 50) -> Path:
    """Write one self-contained HTML file that a person can read: question, results, pictures, rows, and limits.

    Nothing in it is fetched from anywhere. The same answer gives the same file. It is written aside and renamed, so
    that an older report stays whole if the disk is full.

    Args:
        answer: The answers.
        path: The file to write; its folder must exist.
        title: The heading; ``None`` names the desired decision.
        rows: How many answers are listed one by one, at least 0; the numbers and pictures count all.

    Returns:
        The path written.

    Raises:
        ArgumentError: The answer is empty, or ``rows`` is negative.
        PersistenceError: The file could not be written; what was there before is unchanged.
    """
    if rows < 0:
        raise ArgumentError(f"rows must be at least 0, got {rows}.")
    if not len(answer):
        raise ArgumentError("the answer is empty: there is nothing to report. Ask about at least one row.")
    return atomic_write(path, _page(answer, _title(answer) if title is None else title, rows))


def _title(answer: CounterfactualAnswer) -> str:
    wishes = Counter(named(label) for label in answer.desired)
    decision = "prediction" if isinstance(answer.desired[0], tuple) else "decision"
    return f"What would change the model's {decision}{f' to {next(iter(wishes))}' if len(wishes) == 1 else ''}"


def _page(answer: CounterfactualAnswer, title: str, rows: int) -> str:
    css = Markup(files("counterflow.plotting.html").joinpath("report.css").read_text(encoding="utf-8"))
    head = element(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        element("title", title),
        element("style", css),
    )
    body = element("body", _header(title), _main(answer, rows), _footer())
    return f"<!DOCTYPE html>\n{element('html', head, body, attributes={'lang': 'en'})}\n"


def _header(title: str) -> Markup:
    links = [element("li", element("a", name, attributes={"href": f"#{anchor}"})) for anchor, name in _CONTENTS.items()]
    contents = element("nav", element("ul", *links), attributes={"aria-label": "Contents"})
    tagline = (
        "Counterfactual explanations: what the model would decide for rows like these, and how plausible they are."
    )
    return element("header", element("h1", title), paragraph(tagline, kind="small"), contents)


def _main(answer: CounterfactualAnswer, rows: int) -> Markup:
    return element(
        "main",
        question(answer),
        summary(answer),
        statuses(answer),
        gallery(answer),
        row_cards(answer, most=rows),
        meaning(answer),
        provenance(answer),
    )


def _footer() -> Markup:
    return element("footer", paragraph("Made by counterflow. This page holds everything it shows; nothing is fetched."))
