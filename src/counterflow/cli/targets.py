"""What the target of a table is: classes to decide among, or a number to predict."""

import math
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from counterflow.core.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import counterflow.models
    import counterflow.tables

__all__ = ["Target", "read_target"]

_MOST_CLASSES = 20


@dataclass(frozen=True)
class Target:
    """The target of a table.

    Args:
        name: Its column.
        values: Its value in each row.
        number: Whether it is a number to predict, and not a class.
    """

    name: str
    values: list[Any]
    number: bool

    @property
    def sentence(self) -> str:
        """How often each class occurs, or where the numbers lie."""
        if self.number:
            low, middle, high = np.quantile(np.array(self.values, dtype=np.float64), [0, 0.5, 1])
            return f"{self.name}: numbers from {low:.6g} to {high:.6g}, half of them below {middle:.6g}"
        counts = Counter(self.values)
        shares = (f"{label!r} {counts[label] / len(self.values):.1%}" for label in sorted(counts, key=str))
        return f"{self.name}: {', '.join(shares)}"

    def schema(self, schema: "counterflow.tables.Schema") -> "counterflow.tables.Schema":
        """A schema that has no classes where a number is predicted."""
        return replace(schema, classes=()) if self.number else schema

    def read_by(self, model: "counterflow.models.AdaptedModel") -> "Target":
        """The target as a model takes it: whole numbers are classes to one, and values to another.

        Raises:
            ArgumentError: The model predicts values and the target holds none, or the other way round.
        """
        if model.regression:
            if not all(map(_is_number, self.values)):
                text = next(value for value in self.values if not _is_number(value))
                raise ArgumentError(
                    f"{model.name} predicts a value, and the target {self.name!r} holds {text!r}. Name another "
                    "--target, or a model that decides classes."
                )
            return Target(self.name, self.values, number=True)
        if not self.number:
            return self
        if set(self.values) <= set(model.classes or ()):
            return Target(self.name, self.values, number=False)
        raise ArgumentError(
            f"{model.name} decides classes, and the target {self.name!r} holds numbers to predict, such as "
            f"{self.values[0]!r}. Name another --target, or a model that predicts values."
        )


def read_target(frame: Any, schema: "counterflow.tables.Schema", table: Path, *, regression: bool) -> Target:
    """The target of a table's rows.

    Args:
        frame: The rows.
        schema: Which names it.
        table: Where the rows came from, for a sentence.
        regression: Whether whole numbers are numbers to predict, however few there are.

    Returns:
        A number to predict where there are fractions or more than 20 numbers; else classes, at most 20.

    Raises:
        DataError: A value is missing or infinite, all are the same, or it is neither classes nor a number.
    """
    from counterflow.tables import Table

    name = str(schema.target)
    values = Table(frame).labels(name)
    if None in values:
        raise DataError(f"'{table}': the target {name!r} is missing in row {values.index(None)}. Drop such rows.")
    known = set(values)
    if len(known) == 1:
        raise DataError(f"'{table}': the target {name!r} has one class only, {values[0]!r}: nothing to tell apart.")
    texts = [value for value in values if not _is_number(value)]
    if regression and texts:
        raise DataError(
            f"'{table}': the target {name!r} holds {texts[0]!r}, which is no number. Leave out --regression."
        )
    if not texts and not all(map(math.isfinite, values)):
        raise DataError(f"'{table}': the target {name!r} holds infinite numbers. Correct them, or drop such rows.")
    if texts and len(known) > _MOST_CLASSES:
        raise DataError(
            f"'{table}': the target {name!r} has {len(known)} different values that are no numbers, such as "
            f"{texts[0]!r}. It must hold at most {_MOST_CLASSES} classes, or numbers to predict."
        )
    return Target(name, values, regression or (not texts and _reads_as_numbers(known)))


def _reads_as_numbers(known: set[Any]) -> bool:
    return len(known) > _MOST_CLASSES or any(value % 1 for value in known)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
