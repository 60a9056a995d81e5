"""Answers as a table that holds all that is needed to check them again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from counterflow.cli.parsing import as_wish
from counterflow.cli.rows import read_rows, with_columns
from counterflow.core.errors import DataError

if TYPE_CHECKING:
    import counterflow.counterfactuals
    import counterflow.models
    import counterflow.tables

__all__ = ["COLUMNS", "Claims", "answer_table", "check_no_collision", "read_claims"]

COLUMNS = {
    "cf_factual": "position of the row that was asked about, from 0",
    "cf_rank": "which of its answers this is, from 0",
    "cf_status": "how the search ended",
    "cf_desired": "the class asked for, or of a regressor the interval low:high",
    "cf_predicted": "what the model decides, or the value that it predicts",
    "cf_valid": "that is as desired",
    "cf_plausible": "as plausible as asked",
    "cf_plausibility": "conformal p-value among real rows of the desired class",
    "cf_witness": "plausible to a flow that the search never saw",
    "cf_log_density": "natural log-density under the desired class",
    "cf_distance": "length of the change in standard units",
    "cf_probability": "the model's probability of the desired class",
    "cf_kept": "every rule is kept",
    "cf_repaired": "found in place of a row that a stand-in accepted and the model refused",
    "cf_changed_from": "JSON: the former value of every changed column",
    "cf_question": "JSON: what was asked",
}
"""The columns that ``explain`` adds to the user's."""

_FLAGS = ("valid", "plausible", "witness", "kept")
_ASKED = ("constraints", "min_plausibility", "probability")


@dataclass(frozen=True)
class Claims:
    """Answers as a file tells them.

    Args:
        frame: The answers, with all columns of the file.
        numbers: The answers in the codec's form.
        factuals: The rows they started from.
        factual: The position of each answer's factual.
        desired: The class asked for each, or the interval of a regressor's value.
        repaired: Whether each was found in place of one that only a stand-in accepted.
        settings: What was asked: constraints, min_plausibility, probability.
        flags: What the file says of each answer, such as whether it is valid.
    """

    frame: Any
    numbers: np.ndarray
    factuals: np.ndarray
    factual: np.ndarray
    desired: list[Any]
    repaired: np.ndarray
    settings: Mapping[str, Any]
    flags: Mapping[str, np.ndarray]


def check_no_collision(frame: Any, path: Path) -> None:
    """Refuse rows that have one of our columns already.

    Raises:
        DataError: They have.
    """
    from counterflow.tables import Table

    if taken := [name for name in Table(frame).names if name in COLUMNS]:
        raise DataError(f"'{path}' has a column {taken[0]!r}, which the answers need. Rename or drop it.")


def answer_table(answer: "counterflow.counterfactuals.CounterfactualAnswer") -> Any:
    """The user's columns, then what is known of each answer (:data:`COLUMNS`)."""
    question = json.dumps({key: answer.settings[key] for key in _ASKED})
    values: dict[str, list[Any]] = {
        "cf_factual": answer.index.factual.tolist(),
        "cf_rank": answer.index.rank.tolist(),
        "cf_status": [status.value for status in answer.status],
        "cf_desired": [_wish_text(wish) for wish in answer.desired],
        "cf_predicted": list(answer.predicted),
        "cf_changed_from": _former_values(answer),
        "cf_question": [question] * len(answer),
    }
    for name in COLUMNS.keys() - values.keys():
        values[name] = getattr(answer, name.removeprefix("cf_")).tolist()
    return with_columns(answer.frame, {name: values[name] for name in COLUMNS})


def _former_values(answer: "counterflow.counterfactuals.CounterfactualAnswer") -> list[str]:
    from counterflow.counterfactuals.wording import changes_of_row

    pairs = zip(answer.factual_numbers, answer.numbers, strict=True)
    changes = [changes_of_row(answer.schema, before, after) for before, after in pairs]
    return [json.dumps({name: old for name, old, *_ in row}, ensure_ascii=False) for row in changes]


def _wish_text(wish: Any) -> Any:
    """An interval as ``low:high`` with points, as "10:20" would be read back as a time of day; a class as it is."""
    return ":".join("" if end is None else repr(float(end)) for end in wish) if isinstance(wish, tuple) else wish


def read_claims(path: Path, schema: "counterflow.tables.Schema", model: "counterflow.models.AdaptedModel") -> Claims:
    """Read a table or a JSON file that ``explain`` wrote.

    Args:
        path: The file.
        schema: The columns.
        model: The model that the answers speak of.

    Raises:
        ArgumentError: The answers ask for what this kind of model does not give.
        DataError: The table is none that ``explain`` wrote, or does not fit the schema.
        PersistenceError: The JSON file is damaged.
    """
    if path.name.lower().endswith(".json"):
        return _claims_of_json(path, schema, model)
    from counterflow.tables import Table, TableCodec

    frame = read_rows(path, schema)
    table = Table(frame)
    if missing := [name for name in COLUMNS if name not in table.names]:
        raise DataError(f"'{path}' has no column {missing[0]!r}: give a table that 'counterflow explain' wrote.")
    numbers = TableCodec(schema).to_numbers(frame)
    return Claims(
        frame=frame,
        numbers=numbers,
        factuals=_factuals(path, schema, numbers, table.labels("cf_changed_from")),
        factual=np.array(table.labels("cf_factual"), dtype=np.int64),
        desired=[as_wish(str(wish), model, option=f"'{path}', cf_desired") for wish in table.labels("cf_desired")],
        repaired=np.array(table.labels("cf_repaired"), dtype=np.bool_),
        settings=_settings(path, table.labels("cf_question")),
        flags={name: np.array(table.labels(f"cf_{name}"), dtype=np.bool_) for name in _FLAGS},
    )


def _claims_of_json(
    path: Path, schema: "counterflow.tables.Schema", model: "counterflow.models.AdaptedModel"
) -> Claims:
    from counterflow.counterfactuals import CounterfactualAnswer

    answer = CounterfactualAnswer.from_json(path)
    if answer.schema.names != schema.names:
        raise DataError(f"'{path}' has other columns than the folder. Give answers that were made with this folder.")
    return Claims(
        frame=answer.frame,
        numbers=answer.numbers,
        factuals=answer.factual_numbers,
        factual=answer.index.factual,
        desired=[as_wish(str(_wish_text(wish)), model, option=f"'{path}', desired") for wish in answer.desired],
        repaired=answer.repaired,
        settings={key: answer.settings[key] for key in _ASKED},
        flags={name: getattr(answer, name) for name in _FLAGS},
    )


def _settings(path: Path, questions: list[Any]) -> dict[str, Any]:
    if len(set(questions)) != 1:
        raise DataError(f"'{path}' holds answers to several questions. Evaluate them one by one.")
    settings = _parsed(path, questions[0], 0)
    if not set(_ASKED) <= settings.keys():
        raise DataError(f"'{path}', row 0: 'cf_question' is not what 'counterflow explain' wrote.")
    return settings


def _factuals(
    path: Path, schema: "counterflow.tables.Schema", numbers: np.ndarray, changed_from: list[Any]
) -> np.ndarray:
    """The answers with every changed value set back."""
    factuals = numbers.copy()
    for row, text in enumerate(changed_from):
        for name, value in _parsed(path, text, row).items():
            if name not in schema.names or not _known(schema[name], value):
                raise DataError(
                    f"'{path}', row {row}: 'cf_changed_from' has {name!r}: {value!r}, which the schema lacks."
                )
            column = schema[name]
            known = column.categories.index(value) if column.labeled else np.nan if value is None else float(value)
            factuals[row, schema.index(name)] = known
    return factuals


def _known(column: "counterflow.tables.Column", value: Any) -> bool:
    return value in column.categories if column.labeled else isinstance(value, int | float | None)


def _parsed(path: Path, text: Any, row: int) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (TypeError, ValueError):
        value = None
    if not isinstance(value, dict):
        raise DataError(
            f"'{path}', row {row}: a JSON column was changed. Give a table as 'counterflow explain' wrote it."
        )
    return value
