"""``counterflow density``: learn the density of a table, score rows, make rows up."""

from pathlib import Path
from typing import Annotated, Any

import typer

from counterflow.cli.parsing import as_codes, as_names, check_file, check_folder
from counterflow.cli.screen import show, tell, working

__all__ = ["density"]

density = typer.Typer(help="The density of a table: fit, score, sample.", no_args_is_help=True, rich_markup_mode=None)

_TABLES = (".csv", ".csv.gz", ".parquet", ".json")


@density.command("fit")
def fit(
    table: Annotated[Path, typer.Argument(help="The rows: CSV (also .gz) or Parquet.")],
    *,
    out: Annotated[Path, typer.Option(help="The folder to save to.")],
    flow: Annotated[
        str, typer.Option(help="The recipe: spline_coupling, maf, realnvp, linear, ...")
    ] = "spline_coupling",
    ignore: Annotated[list[str] | None, typer.Option(help="Columns to leave out, such as identifiers.")] = None,
    codes: Annotated[list[str] | None, typer.Option(help="Special codes that are no numbers: --codes=-7,-8.")] = None,
    missing: Annotated[str, typer.Option(help="Missing values: error, atom or drop.")] = "error",
    seed: Annotated[int, typer.Option(help="The seed of everything.")] = 0,
) -> None:
    """Learn the density of the rows of a table."""
    from counterflow.tables import read_table

    check_folder(out)
    frame = read_table(table)
    from counterflow.estimators import FlowDensity

    schema = _schema(frame, ignore=as_names(ignore), codes=as_codes(codes), missing=missing)
    tell(f"Training a {flow} flow on {frame.shape[0]:,} rows of {len(schema)} columns.")
    learned = FlowDensity(flow, schema=schema, progress=True, random_state=seed).fit(frame)
    learned.save(out)
    show(f"Mean log-density of the rows: {learned.score(_complete(learned, frame)):.3f} nats, in the data's own units.")
    show(f"{learned.report_.outcome.sentence} Saved to '{out}'.")


@density.command("score")
def score(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow density fit' saved.")],
    table: Annotated[Path, typer.Argument(help="The rows to score.")],
    *,
    out: Annotated[Path, typer.Option(help="The rows with their log-density: .csv, .parquet or .json.")],
) -> None:
    """Score rows: the natural log-density of each, in the data's own units."""
    check_file(out, _TABLES)
    from counterflow.cli.rows import read_rows, with_columns
    from counterflow.estimators import FlowDensity
    from counterflow.tables import write_table

    learned = FlowDensity.load(folder)
    frame = read_rows(table, learned.schema_)
    with working(f"Scoring {frame.shape[0]:,} rows."):
        scores = learned.score_samples(frame)
    write_table(with_columns(frame, {"cf_log_density": scores.tolist()}), out)
    show(f"Mean log-density: {scores.mean():.3f} nats. Wrote '{out}', column cf_log_density.")


@density.command("sample")
def sample(
    folder: Annotated[Path, typer.Argument(help="What 'counterflow density fit' saved.")],
    *,
    out: Annotated[Path, typer.Option(help="The rows: .csv, .parquet or .json.")],
    number: Annotated[int, typer.Option("-n", "--number", help="How many rows.")] = 1000,
    seed: Annotated[int, typer.Option(help="Another seed, other rows.")] = 0,
) -> None:
    """Make rows up that the density finds likely."""
    check_file(out, _TABLES)
    from counterflow.estimators import FlowDensity
    from counterflow.tables import write_table

    rows = FlowDensity.load(folder).sample(number, random_state=seed)
    write_table(rows, out)
    show(f"Wrote {number:,} made-up rows to '{out}'.")


def _schema(frame: Any, *, ignore: list[str], codes: list[float] | None, missing: str) -> Any:
    """The columns of a table of which all are features."""
    from counterflow.tables import Schema

    return Schema.infer(frame, codes=codes, ignore=ignore, missing=missing)


def _complete(learned: Any, frame: Any) -> Any:
    """The rows that have all values that a score needs."""
    from counterflow.tables import TableCodec, take_rows

    schema = learned.schema_
    return take_rows(frame, ~TableCodec(schema).missing_rows(frame)) if schema.missing == "drop" else frame
