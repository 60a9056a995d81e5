"""``counterflow audit``: recourse by group."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterflow.cli.parsing import as_constraints, as_seconds, as_wish, check_file
from counterflow.cli.screen import show, table_text, tell, working

if TYPE_CHECKING:
    import counterflow.counterfactuals.auditing

__all__ = ["audit", "audit_text"]

Names = list[str] | None
_SHARES = ("already", "no_answer", "plausible", "witness")


def audit(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow fit' saved.")],
    rows: Annotated[Path, typer.Argument(help="The rows to audit: CSV (also .gz) or Parquet, of all groups.")],
    *,
    groups: Annotated[str, typer.Option(help="The column that makes the groups; the model need not read it.")],
    desired: Annotated[
        str, typer.Option(help="The class that the model shall decide, or of a regressor the interval low:high.")
    ],
    out: Annotated[Path | None, typer.Option(help="The figures as .json, or a page to read as .html.")] = None,
    method: Annotated[str | None, typer.Option(help="How to search; the folder's own method by default.")] = None,
    lock: Annotated[Names, typer.Option(help="Columns that stay as they are: age,sex.")] = None,
    increase_only: Annotated[Names, typer.Option(help="Columns that may only go up.")] = None,
    decrease_only: Annotated[Names, typer.Option(help="Columns that may only go down.")] = None,
    max_changes: Annotated[int | None, typer.Option(help="At most so many columns change.")] = None,
    min_plausibility: Annotated[float, typer.Option(help="The conformal p-value an answer must reach.")] = 0.1,
    confidence: Annotated[float, typer.Option(help="Of every interval.")] = 0.95,
    deadline: Annotated[str | None, typer.Option(help="Stop after this time: 30s, 2m.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that was fitted, module:attribute.")] = None,
) -> None:
    """Compare the cost of recourse, the rows without an answer and plausibility by group, with intervals."""
    from counterflow.counterfactuals import audit as compare

    check_file(out, (".json", ".html"))
    explainer, frame, labels = _load(folder, rows, groups, model)
    if method is not None:
        explainer.set_params(method=method)
    constraints = as_constraints(
        explainer.schema_,
        lock=lock,
        increase_only=increase_only,
        decrease_only=decrease_only,
        free=None,
        ranges=None,
        allow=None,
        max_changes=max_changes,
    )
    with working(f"Searching for an answer to each of {len(labels):,} rows."):
        answer = explainer.explain(
            frame,
            as_wish(desired, explainer.model_),
            constraints=constraints,
            min_plausibility=min_plausibility,
            deadline=as_seconds(deadline),
        )
    found = compare(answer, labels, column=groups, confidence=confidence)
    show(audit_text(found))
    tell("It describes this model on these rows: a gap is no proof of discrimination, and no gap no proof of fairness.")
    if out is not None:
        _write(found, out)
        show(f"Wrote '{out}'.")


def _load(folder: Path, rows: Path, groups: str, model: str | None) -> tuple[Any, Any, list[Any]]:
    """The explainer, the rows, and the group of each."""
    from counterflow.cli.rows import read_rows
    from counterflow.cli.user_models import load_explainer
    from counterflow.tables import Table

    explainer = load_explainer(folder, model)
    frame = read_rows(rows, explainer.schema_)
    return explainer, frame, Table(frame).labels(groups)


def audit_text(found: "counterflow.counterfactuals.auditing.Audit") -> str:
    """The figures of all groups as a table: each value with the ends of its interval."""
    from counterflow.counterfactuals.auditing import FIGURES

    names = [key for key in FIGURES if key != "cost_mean"]
    lines = [
        (group.group, f"{group.rows:,}", *(_cell(name, getattr(group, name)) for name in names))
        for group in found.groups
    ]
    return table_text(lines, header=(found.column, "rows", *(name.replace("_", " ") for name in names)))


def _cell(name: str, interval: Any) -> str:
    if interval.value != interval.value:
        return "-"
    form = "{:.1%}" if name in _SHARES else "{:.2f}"
    value, low, high = (form.format(end) for end in interval)
    return f"{value} [{low}, {high}]"


def _write(found: "counterflow.counterfactuals.auditing.Audit", path: Path) -> None:
    from counterflow.persistence import atomic_write

    if path.name.lower().endswith(".html"):
        from counterflow.plotting import audit_report

        audit_report(found, path)
    else:
        atomic_write(path, json.dumps(found.to_dict(), indent=2, allow_nan=False) + "\n")
