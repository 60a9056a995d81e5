"""``counterflow explain``: rows in, counterfactuals out."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from counterflow.cli.changes import changes_text
from counterflow.cli.parsing import METHOD_NAMES, as_constraints, as_norm, as_range, as_seconds, as_wish, check_file
from counterflow.cli.screen import metrics_text, show, table_text, tell, working

if TYPE_CHECKING:
    import counterflow.counterfactuals

__all__ = ["explain", "show_answer"]

Names = list[str] | None


def explain(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow fit' saved.")],
    rows: Annotated[Path, typer.Argument(help="The rows to explain: CSV (also .gz) or Parquet.")],
    *,
    desired: Annotated[
        str, typer.Option(help="The class that the model shall decide, or of a regressor the interval low:high.")
    ],
    out: Annotated[Path, typer.Option(help="The answers: .parquet, .csv, or .json (everything, for replay).")],
    method: Annotated[
        str | None, typer.Option(help=f"How to search: {', '.join(METHOD_NAMES)}; else as fitted.")
    ] = None,
    count: Annotated[int, typer.Option(help="Answers for each row.")] = 1,
    lock: Annotated[Names, typer.Option(help="Columns that stay as they are: age,sex.")] = None,
    increase_only: Annotated[Names, typer.Option(help="Columns that may only go up.")] = None,
    decrease_only: Annotated[Names, typer.Option(help="Columns that may only go down.")] = None,
    range: Annotated[Names, typer.Option(help="income=0:5000; repeat it for more; an end may be left open.")] = None,
    allow: Annotated[Names, typer.Option(help="housing=own,rent: the categories a change may choose.")] = None,
    free: Annotated[Names, typer.Option(help="Protected columns that may change all the same.")] = None,
    max_changes: Annotated[int | None, typer.Option(help="At most so many columns change.")] = None,
    link: Annotated[Names, typer.Option(help="A rule between columns: 'debt <= 0.4 * income'.")] = None,
    cost: Annotated[Names, typer.Option(help="income=2: a change of income counts twice.")] = None,
    min_plausibility: Annotated[float, typer.Option(help="The conformal p-value an answer must reach.")] = 0.1,
    probability: Annotated[str | None, typer.Option(help="0.7:1: where the class's probability shall lie.")] = None,
    norm: Annotated[float | None, typer.Option(help="The exponent of the distance.")] = None,
    deadline: Annotated[str | None, typer.Option(help="Stop after this time: 30s, 2m.")] = None,
    model: Annotated[str | None, typer.Option(help="The model that was fitted, if the folder lacks it.")] = None,
    report: Annotated[Path | None, typer.Option(help="A page to read, .html.")] = None,
    answer: Annotated[Path | None, typer.Option(help="Everything as .json too, for replay.")] = None,
) -> None:
    """Find, for each row, the nearest plausible row for which the model decides, or predicts, as desired."""
    _check_outputs(out, report, answer)
    explainer, frame = _load(folder, rows, model)
    if method is not None:
        explainer.set_params(method=method)
    found = _ask(
        explainer,
        frame,
        as_wish(desired, explainer.model_),
        probability=_probability(probability),
        count=count,
        constraints=as_constraints(
            explainer.schema_, lock=lock, increase_only=increase_only, decrease_only=decrease_only, free=free,
            ranges=range, allow=allow, max_changes=max_changes, link=link, cost=cost,
        ),
        min_plausibility=min_plausibility,
        norm=as_norm(norm),
        deadline=as_seconds(deadline),
    )  # fmt: skip
    show_answer(found)
    for path in _write(found, out, report=report, answer=answer):
        show(f"Wrote '{path}'.")


def _check_outputs(out: Path, report: Path | None, answer: Path | None) -> None:
    check_file(out, (".parquet", ".csv", ".csv.gz", ".json"))
    check_file(answer, (".json",))
    check_file(report, (".html", ".htm"))
    if report is not None:
        import counterflow.plotting  # noqa: F401  (says at once what is missing)


def _load(folder: Path, rows: Path, model: str | None) -> tuple[Any, Any]:
    from counterflow.cli.answers import check_no_collision
    from counterflow.cli.rows import read_rows
    from counterflow.cli.user_models import load_explainer

    explainer = load_explainer(folder, model)
    frame = read_rows(rows, explainer.schema_)
    check_no_collision(frame, rows)
    return explainer, frame


def _probability(word: str | None) -> tuple[float, float] | None:
    if word is None:
        return None
    low, high = as_range(word, "--probability")
    return 0.0 if low is None else low, 1.0 if high is None else high


def _ask(
    explainer: Any, frame: Any, desired: Any, **question: Any
) -> "counterflow.counterfactuals.CounterfactualAnswer":
    from counterflow.tables import Table

    with working(f"Searching for {question['count']} answer(s) to each of {len(Table(frame)):,} rows."):
        return explainer.explain(frame, desired, **question)


def show_answer(answer: "counterflow.counterfactuals.CounterfactualAnswer", *, most: int = 5) -> None:
    """Print the changes of the first rows, how all ended, and the metrics."""
    show(changes_text(answer, most=most))
    counts = Counter(answer.status)
    show(table_text([(f"{count:,}", status.value, status.sentence) for status, count in counts.most_common()]) + "\n")
    metrics = answer.metrics()
    if not metrics["answers"]:
        tell("The model already decides as desired for every row: nothing was searched for.")
        return
    show(metrics_text(metrics))
    show(answer.witness_report.sentence)


def _write(
    found: "counterflow.counterfactuals.CounterfactualAnswer", out: Path, *, report: Path | None, answer: Path | None
) -> list[Path]:
    """Write all that was asked for, each file whole or not at all."""
    from counterflow.cli.answers import answer_table
    from counterflow.tables import write_table

    if out.name.lower().endswith(".json"):
        found.to_json(out)
    else:
        write_table(answer_table(found), out)
    if answer is not None:
        found.to_json(answer)
    if report is not None:
        from counterflow.plotting import report as write_report

        write_report(found, report)
    return [path for path in (out, answer, report) if path is not None]
