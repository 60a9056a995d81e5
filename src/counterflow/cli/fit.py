"""``counterflow fit``: learn what is needed to explain a model of a table."""

import json
import shutil
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import numpy as np
import typer

from counterflow.cli.parsing import as_codes, as_names, check_folder
from counterflow.cli.screen import show, table_text, tell
from counterflow.core.errors import ArgumentError, DataError, PersistenceError

if TYPE_CHECKING:
    import counterflow.estimators
    import counterflow.models
    import counterflow.tables
    from counterflow.cli.user_models import UsersModel

__all__ = ["fit"]

_CHECKPOINT = "fit-checkpoint"
_HELD_OUT = 0.2
_MOST_CLASSES = 20


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
    """Learn from a table how to explain a model: densities of its classes, a judge, and thresholds."""
    from counterflow.cli.user_models import open_model
    from counterflow.tables import read_table

    began = time.monotonic()
    check_folder(out)
    wishes = _Wishes(codes, ignore, features, protected, missing)
    if schema is not None and (said := wishes.first()):
        raise ArgumentError(f"--{said} is for a schema that is inferred: say it in '{schema}' instead.")
    frame = read_table(table)
    columns = _infer(frame, target, wishes) if schema is None else _read(schema, target)
    frame = _without_dropped(frame, columns)
    labels = _labels(frame, columns, table)
    tell(f"Read {len(labels):,} rows of '{table}': {len(columns)} features, target '{target}'.")
    users = open_model(model, columns, frame=frame, output=model_output, classes=model_classes)
    own, words = _train_own(columns, frame, labels, seed) if users is None else (users.model, "")
    explainer = _learn(own, columns, frame, labels, out=out, seed=seed, resume=resume)
    record = {"table": str(table), "rows": len(labels), "target": target, "seed": seed}
    _save(explainer, out, record, users)
    _show_findings(explainer, labels, words or _agreement(explainer, frame, labels))
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


def _labels(frame: Any, schema: "counterflow.tables.Schema", table: Path) -> list[Any]:
    """The classes of the rows, after a look at whether they are classes."""
    from counterflow.tables import Table

    target = str(schema.target)
    labels = Table(frame).labels(target)
    if None in labels:
        raise DataError(f"'{table}': the target {target!r} is missing in row {labels.index(None)}. Drop such rows.")
    known = set(labels)
    if len(known) == 1:
        raise DataError(f"'{table}': the target {target!r} has one class only, {labels[0]!r}: nothing to tell apart.")
    if len(known) > _MOST_CLASSES or any(isinstance(label, float) and label % 1 for label in known):
        raise DataError(
            f"'{table}': the target {target!r} has {len(known)} values: that is a number to predict, and the command "
            "line explains classes only, so far. Cut it into classes, such as low and high."
        )
    return labels


def _train_own(
    schema: "counterflow.tables.Schema", frame: Any, labels: list[Any], seed: int
) -> tuple["counterflow.models.TableClassifier", str]:
    """A logistic regression on four fifths of the rows, and how good it is on the rest."""
    from counterflow.models import TableClassifier
    from counterflow.tables import take_rows

    train, test = _split(labels, seed)
    tell(f"No --model was given: training a logistic regression on {len(train):,} of the rows.")
    classifier = TableClassifier.fit(schema, take_rows(frame, train), [labels[row] for row in train])
    decided = classifier.predict(take_rows(frame, test)).tolist()
    right = float(np.mean([label == labels[row] for label, row in zip(decided, test, strict=True)]))
    label, count = Counter(labels[row] for row in test).most_common(1)[0]
    return classifier, (
        f"Model: a logistic regression that counterflow trained itself on {len(train):,} rows. It decides "
        f"{right:.1%} of the other {len(test):,} rows right; always saying {label!r} would {count / len(test):.1%}."
    )


def _split(labels: list[Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Positions to train on and to test on, class by class."""
    generator = np.random.default_rng(seed)
    positions: dict[Any, list[int]] = {}
    for row, label in enumerate(labels):
        positions.setdefault(label, []).append(row)
    shuffled = [generator.permutation(rows) for rows in positions.values()]
    held = [max(1, round(_HELD_OUT * len(rows))) if len(rows) > 1 else 0 for rows in shuffled]
    test = [rows[:count] for rows, count in zip(shuffled, held, strict=True)]
    train = [rows[count:] for rows, count in zip(shuffled, held, strict=True)]
    return np.sort(np.concatenate(train)), np.sort(np.concatenate(test))


def _learn(
    model: Any,
    schema: "counterflow.tables.Schema",
    frame: Any,
    labels: list[Any],
    *,
    out: Path,
    seed: int,
    resume: bool,
) -> "counterflow.estimators.CounterfactualExplainer":
    """Train what an explainer needs, with a checkpoint that follows."""
    from counterflow.cli.running import Stopped
    from counterflow.estimators import CounterfactualExplainer

    checkpoint = out / _CHECKPOINT
    if checkpoint.exists() and not resume:
        shutil.rmtree(checkpoint)
    if resume and not checkpoint.exists():
        tell(f"'{out}' holds nothing to resume: starting from the beginning.")
    explainer = CounterfactualExplainer(model, schema=schema, random_state=seed)
    try:
        return explainer.fit(frame, labels, tell=tell, progress=True, checkpoint=checkpoint, resume=resume)
    except KeyboardInterrupt:
        raise Stopped("interrupted. The same command with --resume goes on from here, to the same result.") from None
    except PersistenceError as error:
        if not resume:
            _clear(checkpoint)
            raise
        raise PersistenceError(f"'{checkpoint}' is damaged or of another run: leave out --resume.") from error
    except Exception:
        _clear(checkpoint)
        raise


def _clear(checkpoint: Path) -> None:
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
    shutil.rmtree(out / _CHECKPOINT, ignore_errors=True)


def _agreement(explainer: "counterflow.estimators.CounterfactualExplainer", frame: Any, labels: list[Any]) -> str:
    decided = explainer.model_.predict(frame).tolist()
    right = float(np.mean([label == wish for label, wish in zip(decided, labels, strict=True)]))
    return f"Model: {explainer.model_.name}. It agrees with the target in {right:.1%} of these rows."


def _show_findings(explainer: "counterflow.estimators.CounterfactualExplainer", labels: list[Any], words: str) -> None:
    """What was found in the table, and how good the model and the witness are."""
    schema, counts = explainer.schema_, Counter(labels)
    shares = ", ".join(f"{label!r} {counts[label] / len(labels):.1%}" for label in sorted(counts, key=str))
    lines = [("Target", f"{schema.target}: {shares}"), ("Features", _kinds(schema))]
    lines += [(name, text) for name, text in _special(schema) if text]
    show(table_text(lines))
    show(words)
    show(explainer.background_.report.sentence)


def _kinds(schema: "counterflow.tables.Schema") -> str:
    counts = Counter(str(column.kind) for column in schema.columns)
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def _special(schema: "counterflow.tables.Schema") -> list[tuple[str, str]]:
    """The atoms and the protected columns, in a line each."""
    codes: dict[str, list[str]] = {}
    for column in schema.columns:
        values = ", ".join("missing" if a.missing else f"{a.value:g}" for a in column.atoms if a.kind == "code")
        if values:
            codes.setdefault(values, []).append(column.name)
    masses = [
        f"{column.name} = {atom.value:g}" for column in schema.columns for atom in column.atoms if atom.kind != "code"
    ]
    return [
        ("Codes (never rewritten)", "; ".join(f"{values} in {_several(names)}" for values, names in codes.items())),
        ("Values that stand out", ", ".join(masses)),
        ("Protected", ", ".join(column.name for column in schema.columns if column.protected)),
    ]


def _several(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} columns"
