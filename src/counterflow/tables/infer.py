"""Read a schema off a table: kinds, bounds, decimals, atoms."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from counterflow.core.errors import DataError, SchemaError
from counterflow.tables.atoms import find_codes, find_inflation
from counterflow.tables.column import Atom, Column, Kind
from counterflow.tables.hints import did_you_mean, listed
from counterflow.tables.schema import Schema
from counterflow.tables.table import Table

__all__ = ["infer_schema"]

Codes = Sequence[int | float] | Mapping[str, Sequence[int | float]] | None
PAIRS = ({0.0, 1.0}, {1.0, 2.0}, {-1.0, 1.0})
MANY_CLASSES = 20
MANY_CATEGORIES = 50
MOST_DECIMALS = 12


def infer_schema(
    frame: Any,
    target: str | None = None,
    *,
    codes: Codes = None,
    protected: Sequence[str] = (),
    ignore: Sequence[str] = (),
    missing: str = "error",
) -> Schema:
    """Read a schema off a table.

    Text, true/false and categoricals are categorical (binary with two categories; ordered categoricals of pandas are
    ordinal). Numbers that take two values 0/1, 1/2 or -1/1 are binary; whole numbers are integer, also in a float
    column; the rest is continuous. ``lower`` and ``upper`` are the smallest and largest ordinary value, ``decimals``
    as many as the values have. Atoms: see :func:`find_codes` and :func:`find_inflation`. A first column without a name
    that counts the rows is no feature. Nothing is guessed to be protected: name it.

    Args:
        frame: A frame of any kind.
        target: The column to be predicted; not a feature. Text, true/false and at most 20 whole numbers are classes.
        codes: Special codes, for all numeric columns (``[-7, -8, -9]``) or by column; ``None`` looks for some, an
            empty list finds none.
        protected: Protected attributes: immutable unless a constraint frees them.
        ignore: Columns that are no features (identifiers): carried through untouched.
        missing: What a missing value is, see :class:`Schema`.

    Returns:
        The schema.

    Raises:
        DataError: The table is empty, misses values without a policy, or has a column that is no feature.
        SchemaError: A name is none of the table's.

    Example:
        >>> schema = infer_schema(np.array([[0.25, 3.0], [1.5, 7.0], [2.0, 9.0]]))
        >>> [str(column.kind) for column in schema.columns], schema["x0"].decimals
        (['continuous', 'integer'], 2)
    """
    table = Table(frame)
    if len(table) == 0:
        raise DataError("the table holds no rows: a schema is read off at least one.")
    named = [target] if target is not None else []
    _check_names(table, [*named, *protected, *ignore, *(codes if isinstance(codes, Mapping) else ())])
    features = [name for name in table.names if name not in (target, *ignore) and not _counts_rows(table, name)]
    columns = tuple(_column(table, name, codes, missing) for name in features)
    classes = () if target is None else _classes(table, target)
    schema = Schema(columns, target=target, classes=classes, missing=missing)
    return schema.edit({name: {"protected": True} for name in protected})


def _check_names(table: Table, names: list[str]) -> None:
    for name in names:
        if name not in table.names:
            raise SchemaError(f"the table has no column {name!r}.{did_you_mean(name, table.names)}")


def _counts_rows(table: Table, name: str) -> bool:
    """Whether this is the row index that a frame was saved with: nameless, 0, 1, 2 ... or 1, 2, 3 ..."""
    if name != table.names[0] or not (name == "" or name.startswith("Unnamed:")) or len(table) < 2:
        return False
    return table.dtype(name).startswith("Int") and bool((np.diff(table.numbers(name)) == 1).all())


def _column(table: Table, name: str, codes: Codes, missing: str) -> Column:
    dtype = _type_of(table, name)
    if dtype in ("Datetime", "Date", "Time", "Duration", "List", "Struct", "Array", "Binary"):
        raise DataError(
            f"column {name!r} is of type {dtype}, which is no feature. Turn it into numbers (such as days since a "
            "date), drop it, or name it in ignore=."
        )
    if dtype in ("String", "Boolean", "Categorical", "Enum"):
        return _labeled(table, name, missing)
    if dtype == "Object" and not all(_is_number(value) for value in table.labels(name)):
        return _labeled(table, name, missing)
    return _numeric(table, name, codes, missing)


def _type_of(table: Table, name: str) -> str:
    """The type of a column; dates that pandas keeps as objects are dates."""
    dtype = table.dtype(name)
    dates = dtype == "Object" and any(hasattr(value, "isoformat") for value in table.labels(name))
    return "Date" if dates else dtype


def _is_number(value: Any) -> bool:
    return value is None or (hasattr(value, "__float__") and not isinstance(value, bool))


def _labeled(table: Table, name: str, missing: str) -> Column:
    labels = table.labels(name)
    seen = set(labels)
    _refuse_missing(name, labels.count(None), missing)
    declared = table.declared_categories(name)
    known: list[Any] = _sorted(seen - {None}) if declared is None else declared
    _refuse_identifier(name, len(known), len(labels))
    kind = Kind.ORDINAL if table.is_ordered(name) else Kind.BINARY if len(known) == 2 else Kind.CATEGORICAL
    if None in seen and missing == "atom":
        known, kind = [*known, None], Kind.CATEGORICAL
    return Column(name, kind, categories=tuple(known), dtype=table.dtype(name))


def _sorted(values: set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return sorted(values, key=lambda value: (type(value).__name__, str(value)))


def _refuse_missing(name: str, count: int, missing: str) -> None:
    if count and missing == "error":
        raise DataError(
            f"column {name!r} has {count} missing values. Fill them, or say what they are: missing='atom' (a value of "
            "its own) or missing='drop' (leave such rows out of training)."
        )


def _refuse_identifier(name: str, categories: int, rows: int) -> None:
    if categories == 0:
        raise DataError(f"column {name!r} is empty. Drop it, or name it in ignore=.")
    if categories > MANY_CATEGORIES and (categories > rows / 2 or categories > 20 * MANY_CATEGORIES):
        raise DataError(
            f"column {name!r} holds {categories} different texts in {rows} rows: that is an identifier, no category. "
            "Drop it, or name it in ignore=."
        )


def _numeric(table: Table, name: str, codes: Codes, missing: str) -> Column:
    numbers = table.numbers(name)
    gone = np.isnan(numbers)
    _refuse_missing(name, int(gone.sum()), missing)
    if np.isinf(numbers).any():
        raise DataError(f"column {name!r} holds infinite numbers. Replace these values.")
    if gone.all():
        raise DataError(f"column {name!r} is empty. Drop it, or name it in ignore=.")
    dtype = table.dtype(name)
    atoms = (Atom(math.nan),) if gone.any() and missing == "atom" else ()
    present = numbers[~gone]
    if set(np.unique(present[:1000])) in PAIRS and set(np.unique(present)) in PAIRS and not atoms:
        return Column(name, Kind.BINARY, categories=_as_stored(np.unique(present), dtype), dtype=dtype)
    found = _codes(name, present, codes)
    return _on_a_line(name, present, dtype, (*(Atom(code) for code in found), *atoms))


def _as_stored(values: np.ndarray, dtype: str) -> tuple[Any, ...]:
    return tuple(float(value) if dtype.startswith("Float") else int(value) for value in values)


def _codes(name: str, numbers: np.ndarray, codes: Codes) -> list[float]:
    if codes is None:
        return find_codes(numbers)
    return [float(code) for code in (codes.get(name, ()) if isinstance(codes, Mapping) else codes)]


def _on_a_line(name: str, numbers: np.ndarray, dtype: str, codes: tuple[Atom, ...]) -> Column:
    """A continuous or integer column, with its bounds, decimals and inflation read off the ordinary values."""
    ordinary = numbers[~np.isin(numbers, [code.value for code in codes])]
    if not ordinary.size:
        raise DataError(f"column {name!r} holds nothing but codes {listed([a.value for a in codes])}. Drop it.")
    whole = bool((ordinary % 1 == 0).all())
    inflation = tuple(Atom(value, "inflation") for value in find_inflation(ordinary, whole=whole))
    return Column(
        name,
        Kind.INTEGER if whole else Kind.CONTINUOUS,
        lower=_shortest(ordinary.min(), whole=whole),
        upper=_shortest(ordinary.max(), whole=whole),
        atoms=(*codes, *inflation),
        dtype=dtype,
        decimals=None if whole else _decimals(ordinary, dtype),
    )


def _shortest(value: float, *, whole: bool) -> int | float:
    return int(value) if whole else float(value)


def _decimals(values: np.ndarray, dtype: str) -> int | None:
    """How many decimals the values have; ``None`` if more than 12 (they are measured, not rounded)."""
    values = np.unique(values)
    stored = values.astype(np.float32 if dtype == "Float32" else np.float64)
    for decimals in range(MOST_DECIMALS + 1):
        if (np.round(values, decimals).astype(stored.dtype) == stored).all():
            return decimals
    return None


def _classes(table: Table, target: str) -> tuple[Any, ...]:
    """The classes of a target, or none if it is a number to be predicted."""
    labels = table.labels(target)
    if None in labels:
        raise DataError(f"the target {target!r} has {labels.count(None)} missing values. Drop these rows.")
    seen = _sorted(set(labels))
    if len(seen) == 1:
        raise DataError(f"the target {target!r} has one class only, {seen[0]!r}: there is nothing to tell apart.")
    numeric = not any(isinstance(label, str | bool) for label in seen)
    if numeric and (len(seen) > MANY_CLASSES or any(label % 1 for label in seen)):
        return ()
    return tuple(seen)
