"""The rows that a density learns from, and the schema that it reads off them."""

from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError, DataError
from counterflow.estimators.inputs import checked_table, checked_weights, codec_for, table_names
from counterflow.tables import Column, Kind, Schema, TableCodec, take_rows

__all__ = ["density_schema", "training_rows"]

FEWEST_ROWS = 2
ROWS_AT_A_BOUND = 3


def training_rows(
    estimator: Any, X: Any, *, schema: Any, sample_weight: Any = None
) -> tuple[Any, TableCodec, Float[np.ndarray, " rows"] | None]:
    """Find the rows that count, the codec that reads them, and their weights.

    Rows of weight zero are left out, and so are rows with missing values where the schema says ``missing="drop"``.

    Args:
        estimator: Whose ``n_features_in_`` and ``feature_names_in_`` are set.
        X: What the user gave to ``fit``.
        schema: What the user said of its columns; ``None`` infers it.
        sample_weight: How much each row counts; ``None`` is all alike.

    Returns:
        ``(X, codec, weights)``.

    Raises:
        ArgumentError: ``schema`` is none.
        DataError: X or the weights cannot be used, or fewer than two rows are left.
    """
    if not isinstance(schema, Schema | None):
        raise ArgumentError(f"schema must be a Schema or None, got {type(schema).__name__}. See Schema.infer.")
    missing = schema is not None and schema.missing != "error"
    X = checked_table(estimator, X, reset=True, fewest=FEWEST_ROWS, missing=missing, strict=schema is None)
    weights = checked_weights(sample_weight, X)
    codec = codec_for(density_schema(X) if schema is None else schema, X)
    counts = _that_count(X, codec, weights)
    if schema is not None and table_names(X) is not None:
        estimator.n_features_in_ = len(codec.schema)
        estimator.feature_names_in_ = np.array(codec.schema.names, dtype=object)
    return take_rows(X, counts), codec, None if weights is None else weights[counts]


def _that_count(X: Any, codec: TableCodec, weights: np.ndarray | None) -> np.ndarray:
    counts = np.ones(X.shape[0], dtype=bool) if weights is None else weights > 0
    if codec.schema.missing == "drop":
        counts &= ~codec.missing_rows(X)
    if counts.sum() < FEWEST_ROWS:
        raise DataError(
            f"only n_samples={counts.sum()} of {len(counts)} rows have a weight and no missing value, and a density "
            f"needs {FEWEST_ROWS}. Give more rows."
        )
    return counts


def density_schema(X: Any) -> Schema:
    """Infer a schema, and forget the largest or smallest value of a column where it is that of one or two rows alone.

    A density goes on beyond such a value, and made-up rows clamped to it would repeat the extremes of real persons. A
    value that three rows reach is taken for a real bound. Besides, a column without negative numbers has none drawn, a
    column with a mass on one value keeps its bounds, and a whole number fits its type.

    Args:
        X: A frame of any kind or an array.

    Returns:
        The schema.

    Raises:
        DataError: The table is empty, misses values, or has a column that is no feature.

    Example:
        >>> schema = density_schema(np.array([[0.5, -1.5], [2.5, 3.5], [7.5, 0.0]]))
        >>> [(column.lower, column.upper) for column in schema.columns]
        [(0, None), (None, None)]
    """
    schema = Schema.infer(X)
    numbers = TableCodec(schema).to_numbers(X)
    return replace(schema, columns=[_opened(column, numbers[:, k]) for k, column in enumerate(schema.columns)])


def _opened(column: Column, values: np.ndarray) -> Column:
    if column.labeled or any(atom.kind == "inflation" for atom in column.atoms):
        return column
    smallest, largest = _type_limits(column)
    smallest = 0 if column.lower is not None and column.lower >= 0 else smallest
    lower, upper = ((values == bound).sum() >= ROWS_AT_A_BOUND for bound in (column.lower, column.upper))
    return replace(column, lower=column.lower if lower else smallest, upper=column.upper if upper else largest)


def _type_limits(column: Column) -> tuple[int | None, int | None]:
    """The numbers that a column of whole numbers can hold; ``None`` for no limit worth a name."""
    kind = (column.dtype or "").lower()
    if column.kind is not Kind.INTEGER or kind not in ("int8", "int16", "int32", "uint8", "uint16", "uint32"):
        return None, None
    return int(np.iinfo(kind).min), int(np.iinfo(kind).max)
