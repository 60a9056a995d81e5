"""``counterflow fit``: learn what is needed to explain a model of a table."""

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from counterflow.cli.findings import show_findings
from counterflow.cli.own_models import agreement, train_own
from counterflow.cli.parsing import METHOD_NAMES, as_codes, as_names, check_folder
from counterflow.cli.screen import show, tell
from counterflow.cli.targets import Target, read_target
from counterflow.core.errors import ArgumentError, DataError, PersistenceError

if TYPE_CHECKING:
    import counterflow.estimators
    import counterflow.models
    import counterflow.tables
    from counterflow.cli.user_models import UsersModel

__all__ = ["CHECKPOINT", "clear", "fit"]

CHECKPOINT = "fit-checkpoint"
"""The folder in the folder of what is fitted that follows the training."""


def fit(
    table: Annotated[Path, typer.Argument(help="The training rows: CSV (also .gz) or Parquet.")],
    *,
    target: Annotated[str, typer.Option(help="The column that the model predicts.")],
    out: Annotated[Path, typer.Option(help="The folder to save to.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="Your model: .onnx, .json, .txt, .cbm or module:attribute. Without it counterflow trains one."
        ),
    ] = None,
    model_output: Annotated[
        str | None, typer.Option(help="What a file answers that does not say so: logits, probabilities or value.")
    ] = None,
    model_classes: Annotated[
        list[str] | None, typer.Option(help="The names of a file's classes, in its own order: no,yes.")
    ] = None,
    regression: Annotated[
        bool, typer.Option("--regression", help="The target is a number to predict, however few values it has.")
    ] = False,
    method: Annotated[
        str, typer.Option(help=f"How to search: {', '.join(METHOD_NAMES)}. dicoflex learns now what it needs.")
    ] = "ppcef",
    schema: Annotated[Path | None, typer.Option(help="The columns, as YAML. Without it they are inferred.")] = None,
    codes: Annotated[
        list[str] | None, typer.Option(help="Special codes that are no numbers: --codes=-7,-8,-9; 'none' for none.")
    ] = None,
    ignore: Annotated[list[str] | None, typer.Option(help="Columns that are no features, such as identifiers.")] = None,
    features: Annotated[list[str] | None, typer.Option(help="The columns that are features, all others not.")] = None,
    protected: Annotated[list[str] | None, typer.Option(help="Columns that no answer may change: sex,race.")] = None,
    missing: Annotated[str, typer.Option(help="Missing values: error, atom (a value of its own) or drop.")] = "error",
    seed: Annotated[int, typer.Option(help="The seed of everything.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on after Ctrl-C, to the same result.")] = False,
) -> None:
    """Learn from a table how to explain a model: densities of its classes or values, a judge, and thresholds."""
    from counterflow.estimators.methods import check_method
    from counterflow.tables import read_table

    began = time.monotonic()
    check_folder(out)
    check_method(method)
    wishes = _Wishes(codes, ignore, features, protected, missing)
    if schema is not None and (said := wishes.first()):
        raise ArgumentError(f"--{said} is for a schema that is inferred: say it in '{schema}' instead.")
    frame = read_table(table)
    columns = _infer(frame, target, wishes) if schema is None else _read(schema, target)
    frame = _without_dropped(frame, columns)
    aim = read_target(frame, columns, table, regression=regression)
    tell(f"Read {len(aim.values):,} rows of '{table}': {len(columns)} features, target '{target}'.")
    used = _model(model, aim, columns, frame, output=model_output, classes=model_classes, seed=seed)
    explainer = _learn(used, frame, out=out, method=method, seed=seed, resume=resume)
    record = {"table": str(table), "rows": len(aim.values), "target": target, "seed": seed}
    _save(explainer, out, record, used.users)
    show_findings(explainer, used.target, used.words)
    show(f"Saved to '{out}' in {time.monotonic() - began:.0f} s; '{out / 'schema.yaml'}' says how columns were read.")


class _Wishes(NamedTuple):
    """What was said of the columns on the command line."""

    codes: list[str] | None
    ignore: list[str] | None
    features: list[str] | None
    protected: list[str] | None
    missing: str

    def first(self) -> str | None:
        """The first thing that was said at all."""
        return next((name for name, value in self._asdict().items() if value and value != "error"), None)


def _infer(frame: Any, target: str, wishes: _Wishes) -> "counterflow.tables.Schema":
    from counterflow.tables import Schema

    return Schema.infer(
        frame,
        target,
        codes=as_codes(wishes.codes),
        ignore=[*as_names(wishes.ignore), *_all_but(frame, as_names(wishes.features), target)],
        protected=as_names(wishes.protected),
        missing=wishes.missing,
    )


def _all_but(frame: Any, features: list[str], target: str) -> list[str]:
    """The columns that are neither the features named nor the target; none where no feature is named."""
    from counterflow.tables import Table
    from counterflow.tables.hints import did_you_mean

    names = Table(frame).names
    if wrong := [name for name in features if name not in names]:
        raise ArgumentError(f"--features: the table has no column {wrong[0]!r}.{did_you_mean(wrong[0], names)}")
    return [name for name in names if name not in (*features, target)] if features else []


def _read(path: Path, target: str) -> "counterflow.tables.Schema":
    """The schema of a file, for this target."""
    from dataclasses import replace

    from counterflow.tables import Schema

    schema = Schema.from_yaml(path)
    if target in schema.names:
        raise ArgumentError(f"'{path}' lists the target {target!r} among the columns. Remove it there.")
    return schema if schema.target == target else replace(schema, target=target, classes=())


def _without_dropped(frame: Any, schema: "counterflow.tables.Schema") -> Any:
    """Leave out the rows with missing values where the schema says so."""
    if schema.missing != "drop":
        return frame
    from counterflow.tables import TableCodec, take_rows

    gone = TableCodec(schema).missing_rows(frame)
    if gone.all():
        raise DataError("every row has a missing value. Use --missing atom, or fill them.")
    if gone.any():
        tell(f"Left out {int(gone.sum()):,} rows with missing values.")
    return take_rows(frame, ~gone)


class _Used(NamedTuple):
    """The model that is explained, and what it was compared with."""

    model: Any
    target: Target
    schema: "counterflow.tables.Schema"
    words: str
    users: "UsersModel | None"


def _model(
    spec: str | None,
    target: Target,
    schema: "counterflow.tables.Schema",
    frame: Any,
    *,
    output: str | None,
    classes: list[str] | None,
    seed: int,
) -> _Used:
    """The user's model, or one of our own; and how good it is."""
    from counterflow.cli.user_models import open_model
    from counterflow.models import adapt

    schema = target.schema(schema)
    users = open_model(spec, schema, frame=frame, output=output, classes=classes)
    if users is None:
        own, words = train_own(schema, frame, target, seed=seed)
        return _Used(own, target, schema, words, None)
    adapted = adapt(users.model, schema, like=frame)
    target = target.read_by(adapted)
    return _Used(adapted, target, target.schema(schema), agreement(adapted, frame, target), users)


def _learn(
    used: _Used, frame: Any, *, out: Path, method: str, seed: int, resume: bool
) -> "counterflow.estimators.CounterfactualExplainer":
    """Train what an explainer needs, with a checkpoint that follows."""
    from counterflow.cli.running import Stopped
    from counterflow.estimators import CounterfactualExplainer

    checkpoint = out / CHECKPOINT
    if checkpoint.exists() and not resume:
        shutil.rmtree(checkpoint)
    if resume and not checkpoint.exists():
        tell(f"'{out}' holds nothing to resume: starting from the beginning.")
    explainer = CounterfactualExplainer(used.model, schema=used.schema, method=method, random_state=seed)
    try:
        return explainer.fit(frame, used.target.values, tell=tell, progress=True, checkpoint=checkpoint, resume=resume)
    except KeyboardInterrupt:
        raise Stopped("interrupted. The same command with --resume goes on from here, to the same result.") from None
    except PersistenceError as error:
        if not resume:
            clear(checkpoint)
            raise
        raise PersistenceError(f"'{checkpoint}' is damaged or of another run: leave out --resume.") from error
    except Exception:
        clear(checkpoint)
        raise


def clear(checkpoint: Path) -> None:
    """Remove the checkpoint, and its folder if nothing else is in it."""
    shutil.rmtree(checkpoint, ignore_errors=True)
    if checkpoint.parent.is_dir() and not any(checkpoint.parent.iterdir()):
        checkpoint.parent.rmdir()


def _save(
    explainer: "counterflow.estimators.CounterfactualExplainer",
    out: Path,
    record: dict[str, Any],
    users: "UsersModel | None",
) -> None:
    """Save the explainer, and beside it what people read."""
    from counterflow.cli.user_models import RECORD
    from counterflow.persistence import atomic_write

    explainer.save(out)
    record["model"] = None if users is None else users.keep(out)
    record["model_fingerprint"] = explainer.model_.fingerprint
    atomic_write(out / RECORD, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    explainer.schema_.to_yaml(out / "schema.yaml")
    shutil.rmtree(out / CHECKPOINT, ignore_errors=True)
