"""An audit as one page to read."""

from importlib.resources import files
from pathlib import Path

from counterflow.counterfactuals.auditing import FIGURES, Audit
from counterflow.metrics import Interval
from counterflow.persistence import atomic_write
from counterflow.plotting._audit import SHARES, plot_audit
from counterflow.plotting.html.elements import Markup, element, paragraph, section, table
from counterflow.plotting.html.pictures import picture

__all__ = ["audit_report"]

_LIMITS = (
    "These figures describe one model, one set of rows, one set of rules and one search. A gap between groups may come "
    "from any of these. A gap is no proof of discrimination, and no gap is no proof of fairness. Costs are distances "
    "in standard units of the columns, not money or effort, and they are those of rows that have an answer: read them "
    "beside the share of rows without one. Plausible means: as dense as asked among held-out real rows of the desired "
    "class, whatever their group. Nothing here is a cause, legal advice or a notice."
)


def audit_report(audit: Audit, path: str | Path) -> Path:
    """Write one self-contained HTML file: a table of all groups, pictures with intervals, and what they do not say.

    Args:
        audit: What :func:`counterflow.counterfactuals.audit` measured.
        path: The file to write; its folder must exist.

    Returns:
        The path written.

    Raises:
        PersistenceError: The file could not be written; what was there before is unchanged.
    """
    title = f"Recourse by {audit.column}"
    css = Markup(files("counterflow.plotting.html").joinpath("report.css").read_text(encoding="utf-8"))
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = element("head", Markup(meta), element("title", title), element("style", css))
    main = element(
        "main", _figures(audit), _pictures(audit), section("What this says", paragraph(_LIMITS), anchor="meaning")
    )
    lead = f"Desired: {audit.desired}. All intervals have a confidence of {audit.confidence:.0%}."
    body = element("body", element("header", element("h1", title), paragraph(lead, kind="small")), main)
    return atomic_write(path, f"<!DOCTYPE html>\n{element('html', head, body, attributes={'lang': 'en'})}\n")


def _figures(audit: Audit) -> Markup:
    heads = [audit.column, "rows", "asked", *(name.replace("_", " ") for name in FIGURES)]
    rows = [
        [group.group, f"{group.rows:,}", f"{group.asked:,}", *(_cell(name, getattr(group, name)) for name in FIGURES)]
        for group in audit.groups
    ]
    defined = [element("li", element("b", name.replace("_", " ")), f": {words}") for name, words in FIGURES.items()]
    judge = "" if audit.witness_informative else "The witness is not informative here: its share says little."
    figures = table(heads, rows, caption="Figures by group", numeric=range(1, len(heads)))
    return section("Figures", figures, element("ul", *defined), paragraph(judge, kind="small"), anchor="figures")


def _cell(name: str, interval: Interval) -> str:
    if interval.value != interval.value:
        return "–"
    form = "{:.1%}" if name in SHARES else "{:.2f}"
    value, low, high = (form.format(end) for end in interval)
    return f"{value} ({low} to {high})"


def _pictures(audit: Audit) -> Markup:
    size = (8.0, 1.6 + 0.36 * len(audit.groups))
    drawn = [
        picture(
            lambda ax, name=name: plot_audit(audit, name, ax=ax),
            size=size,
            alt=f"{FIGURES[name]}, by {audit.column}, with intervals",
            caption=FIGURES[name],
        )
        for name in ("cost_median", "no_answer", "plausible", "already")
    ]
    return section("Pictures", *drawn, anchor="pictures")
