"""What a user's columns say: which attributes there are, and of which kind."""

from typing import Any

import torch

from counterflow.core.errors import DataError
from counterflow.latent.attributes import Attribute, Attributes, ClassAttribute, NumberAttribute
from counterflow.latent.columns import Value, named_columns, plain_values
from counterflow.tables.hints import listed

__all__ = ["learn_attributes"]

_THE_ONE = "class"
"""What an attribute is called that came without a name."""


def learn_attributes(values: Any) -> Attributes:
    """Read attributes off data.

    Whole numbers, words and truth values are classes; so are numbers that are all 0 or 1. Other floats are numbers.

    Args:
        values: A frame, or a dictionary from names to columns, one value for each row, ``None`` or NaN where one is
            not known; a column alone, whose attribute is then called ``"class"``; or ``None`` for no attributes.

    Returns:
        The attributes.

    Raises:
        DataError: A column mixes words and numbers, has one value only, or none.

    Example:
        >>> [type(a).__name__ for a in learn_attributes({"smile": [True, False], "age": [30.0, 41.5]}).members]
        ['ClassAttribute', 'NumberAttribute']
    """
    if values is None:
        return Attributes(())
    named = named_columns(values)
    named = {_THE_ONE: values} if named is None else named
    return Attributes(tuple(_learn(name, plain_values(column, name)) for name, column in named.items()))


def _learn(name: str, column: list[Value]) -> Attribute:
    known = [value for value in column if value is not None]
    distinct = set(known)
    words = [isinstance(value, str) for value in known]
    if len(distinct) < 2 or any(words) != all(words):
        raise DataError(
            f"{name!r} must be a column of two or more different values, all words or all numbers, got "
            f"{listed(sorted(distinct, key=str)) or 'none'}. Leave it out, or mend it."
        )
    if any(isinstance(value, float) for value in known) and not distinct <= {0, 1}:
        numbers = torch.tensor([float(value) for value in known], dtype=torch.float64)
        if not bool(numbers.isfinite().all()):
            raise DataError(f"{name!r} must hold finite numbers, got an infinite one. Use None where it is missing.")
        return NumberAttribute(name, float(numbers.mean()), float(numbers.std(correction=0)))
    classes = sorted({int(value) if isinstance(value, float) else value for value in distinct})  # type: ignore[type-var]
    return ClassAttribute(name, tuple(classes), tuple(known.count(value) / len(known) for value in classes))
