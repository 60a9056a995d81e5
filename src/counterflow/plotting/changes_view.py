"""The changes of one answer as a reader sees them: texts in the table's own units, and lengths in standard units."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.counterfactuals.wording import changes_of_row
from counterflow.tables import Column, format_number

__all__ = ["Change", "changes_of", "standard_steps", "value_text"]


class Change(NamedTuple):
    """One changed value.

    Args:
        name: The column.
        before: The value as it was, as text.
        after: The new value, as text.
        difference: The signed difference with its unit; empty for categories and codes.
        step: The difference in standard units; NaN for categories and codes.
    """

    name: str
    before: str
    after: str
    difference: str
    step: float


def changes_of(answer: CounterfactualAnswer, position: int) -> list[Change]:
    """The changes of one answer, the longest first, categories and codes at the end.

    Args:
        answer: The answers.
        position: Which of them.

    Returns:
        One record for each changed column.
    """
    schema, scale = answer.schema, answer.evidence.scale
    rows = changes_of_row(schema, answer.factual_numbers[position], answer.numbers[position])
    changes = [
        Change(
            name,
            value_text(schema[name], before),
            value_text(schema[name], after),
            _difference_text(schema[name], difference),
            difference / scale[schema.index(name)],
        )
        for name, before, after, difference in rows
    ]
    return sorted(changes, key=lambda change: (np.isnan(change.step), -abs(np.nan_to_num(change.step))))


def standard_steps(
    answer: CounterfactualAnswer,
) -> tuple[Bool[np.ndarray, "answers columns"], Float[np.ndarray, "answers columns"]]:
    """What every answer changes in every column.

    Args:
        answer: The answers.

    Returns:
        Which values differ, and by how many standard units: 0 where nothing changed, NaN where the change has no length
        (a category, or a special code left or reached).
    """
    before, after = answer.factual_numbers, answer.numbers
    changed = (before != after) & ~(np.isnan(before) & np.isnan(after))
    steps = np.where(changed, (after - before) / answer.evidence.scale, 0.0)
    for place, column in enumerate(answer.schema.columns):
        lengthless = np.array(
            [not _measurable(column, *pair) for pair in zip(before[:, place], after[:, place], strict=True)],
            dtype=np.bool_,
        )
        steps[changed[:, place] & lengthless, place] = np.nan
    return changed, steps


def _measurable(column: Column, before: float, after: float) -> bool:
    if not column.numeric or column.labeled:
        return False
    codes = [column.code_of(value) for value in (before, after)]
    return all(code is None or code.kind == "inflation" for code in codes)


def value_text(column: Column, value: Any) -> str:
    """A value as people write it, with its unit.

    Args:
        column: Its column.
        value: As it stands in the user's table; ``None`` is missing.

    Example:
        >>> value_text(Column("income", unit="EUR"), 12500.0)
        '12,500 EUR'
    """
    if value is None or value != value:
        return "missing"
    if isinstance(value, bool | str | np.bool_) or column.labeled:
        return str(value)
    code = column.code_of(float(value))
    if code is not None and code.kind == "code":
        return f"code {format_number(value)}"
    return _with_unit(column, format_number(value, column.decimals))


def _difference_text(column: Column, difference: float) -> str:
    if np.isnan(difference):
        return ""
    sign = "+" if difference > 0 else "−"
    number = f"{sign}{format_number(abs(difference), column.decimals)}"
    return _with_unit(column, number)


def _with_unit(column: Column, number: str) -> str:
    if column.unit is None:
        return number
    return f"{number}%" if column.unit == "%" else f"{number} {column.unit}"
