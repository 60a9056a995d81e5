"""Changes and outcomes in words, claiming only what is so: what this model would decide for a row like this."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from counterflow.core.outcomes import RowStatus
from counterflow.tables import Column, Schema, describe_change

__all__ = ["changes_of_row", "interval_text", "joined", "plain_value", "sentence_of_row"]

Change = tuple[str, Any, Any, float]


def changes_of_row(
    schema: Schema, factual: Float[np.ndarray, " columns"], answer: Float[np.ndarray, " columns"]
) -> list[Change]:
    """Each changed column as ``(name, from, to, difference)``; the difference of labels and codes is NaN."""
    changes: list[Change] = []
    for column, before, after in zip(schema.columns, factual.tolist(), answer.tolist(), strict=True):
        if before == after or (np.isnan(before) and np.isnan(after)):
            continue
        atoms = (column.code_of(before), column.code_of(after))
        measurable = column.numeric and not column.labeled and not any(a and a.kind == "code" for a in atoms)
        difference = after - before if measurable else float("nan")
        changes.append((column.name, plain_value(column, before), plain_value(column, after), difference))
    return changes


def sentence_of_row(
    schema: Schema,
    factual: Float[np.ndarray, " columns"],
    answer: Float[np.ndarray, " columns"],
    desired: Any,
    status: RowStatus,
    *,
    probability: Sequence[float] | None = None,
) -> str:
    """One sentence for one answer."""
    decision = _decision(desired, probability)
    changed = [
        describe_change(column, plain_value(column, before), plain_value(column, after))
        for column, before, after in zip(schema.columns, factual.tolist(), answer.tolist(), strict=True)
        if before != after and not (np.isnan(before) and np.isnan(after))
    ]
    match status:
        case RowStatus.FOUND:
            return f"The model would {decision} for a row like this if {joined(changed)}."
        case RowStatus.VALID_NOT_PLAUSIBLE:
            return (
                f"The model would {decision} for a row like this if {joined(changed)}; "
                f"such a row would be unusual among rows of that {'value' if isinstance(desired, tuple) else 'class'}."
            )
        case RowStatus.ALREADY_DESIRED:
            return f"The model would {decision} for this row as it is."
        case _:
            return status.sentence


def interval_text(interval: Sequence[float | None]) -> str:
    """An interval in words.

    Example:
        >>> interval_text((200.0, None)), interval_text((None, 3.5)), interval_text((1.0, 2.0))
        ('at least 200', 'at most 3.5', 'between 1 and 2')
    """
    low, high = interval
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"between {low:g} and {high:g}"


def _decision(desired: Any, probability: Sequence[float] | None) -> str:
    """What the model is wished to do."""
    if isinstance(desired, tuple):
        return f"predict {interval_text(desired)}"
    if probability is None:
        return f"decide {_named(desired)}"
    low, high = probability
    if high >= 1:
        return f"give {_named(desired)} a probability of at least {low:g}"
    return f"give {_named(desired)} a probability between {low:g} and {high:g}"


def _named(label: Any) -> str:
    return f"'{label}'" if isinstance(label, str) else str(label)


def joined(parts: list[str]) -> str:
    """Fragments as a list in words."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def plain_value(column: Column, number: float) -> Any:
    """A number of the codec as the table's own value."""
    if np.isnan(number):
        return None
    if column.labeled:
        return column.categories[int(number)]
    return int(number) if number.is_integer() and (column.lattice or column.decimals == 0) else float(number)
