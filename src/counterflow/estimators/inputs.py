"""What estimators take as X: frames of any kind, arrays, and whatever becomes an array."""

from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import _check_sample_weight, validate_data

from counterflow.core.errors import ArgumentError, DataError
from counterflow.core.random import derive_seed
from counterflow.tables import Backend, Schema, TableCodec, backend_of

__all__ = [
    "checked_table",
    "checked_weights",
    "codec_for",
    "columns_from_plain",
    "columns_to_plain",
    "seed_from",
    "table_names",
]


def checked_table(
    estimator: BaseEstimator, X: Any, *, reset: bool, fewest: int = 1, missing: bool = False, strict: bool = True
) -> Any:
    """Check X as scikit-learn does, and leave a frame a frame.

    Args:
        estimator: Whose ``n_features_in_`` and ``feature_names_in_`` are set or compared.
        X: A frame of any kind, an array, or nested lists.
        reset: ``True`` in ``fit``.
        fewest: The fewest rows it may have.
        missing: May values be missing?
        strict: Must a frame have the columns that fit saw, in their order? If not, they are found by name.

    Returns:
        X as a frame of the kind it was, or as a two-dimensional array.

    Raises:
        DataError: X is no table, or not like the one that fit saw, or has NaN, infinite numbers or too few rows.
    """
    try:
        if _kind_of(X) == "numpy":
            finite = "allow-nan" if missing else True
            return validate_data(
                estimator, X, reset=reset, dtype=None, ensure_all_finite=finite, ensure_min_samples=fewest
            )
        if strict:
            validate_data(estimator, X, reset=reset, skip_check_array=True)
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from error
    _check_rows(X, fewest)
    return X


def _kind_of(X: Any) -> Backend:
    """The kind of frame; what is none becomes an array."""
    try:
        return backend_of(X)
    except DataError:
        return "numpy"


def _check_rows(frame: Any, fewest: int) -> None:
    rows = frame.shape[0]
    if rows < fewest:
        raise DataError(f"the table must have at least {fewest} rows, got n_samples={rows}. Collect more data.")


def table_names(X: Any) -> tuple[str, ...] | None:
    """The names of the columns of a frame; ``None`` for an array, whose columns have none.

    Example:
        >>> table_names(np.zeros((2, 3))) is None
        True
    """
    if backend_of(X) == "numpy":
        return None
    return tuple(str(name) for name in (X.column_names if backend_of(X) == "pyarrow" else X.columns))


def columns_to_plain(estimator: BaseEstimator) -> dict[str, Any]:
    """The columns that ``fit`` saw, as plain data."""
    names = getattr(estimator, "feature_names_in_", None)
    return {
        "number": getattr(estimator, "n_features_in_", None),
        "names": None if names is None else np.asarray(names).tolist(),
    }


def columns_from_plain(estimator: Any, columns: dict[str, Any]) -> None:
    """Give a loaded estimator the columns that :func:`columns_to_plain` wrote.

    Example:
        >>> estimator = BaseEstimator()
        >>> columns_from_plain(estimator, {"number": 1, "names": ["age"]})
        >>> columns_to_plain(estimator)
        {'number': 1, 'names': ['age']}
    """
    estimator.n_features_in_ = columns["number"]
    if columns["names"] is not None:
        estimator.feature_names_in_ = np.array(columns["names"], dtype=object)


def codec_for(schema: Schema, X: Any) -> TableCodec:
    """The codec that reads X: by name in a frame, by position in an array.

    A schema that was read off an array (columns x0, x1, ...) also reads a frame by position.

    Raises:
        DataError: An array has another number of columns than the schema.

    Example:
        >>> from counterflow.tables import Column
        >>> codec_for(Schema((Column("age"),)), np.zeros((1, 1))).schema.names
        ('x0',)
    """
    nameless = tuple(f"x{place}" for place in range(len(schema)))
    names = table_names(X)
    if names is not None and (schema.names != nameless or len(names) != len(schema)):
        return TableCodec(schema)
    if names is None and X.shape[1] != len(schema):
        raise DataError(
            f"X has {X.shape[1]} columns, but the schema has {len(schema)}. Give those of the schema alone."
        )
    names = nameless if names is None else names
    columns = [replace(column, name=name) for column, name in zip(schema.columns, names, strict=True)]
    return TableCodec(replace(schema, columns=columns, target=None))


def checked_weights(weights: Any, X: Any) -> np.ndarray | None:
    """One weight of at least 0 per row as float64, or ``None``.

    Raises:
        DataError: They are not one for each row, negative or not finite, or all zero.
    """
    if weights is None:
        return None
    rows = np.empty((X.shape[0], 1))
    try:
        checked = _check_sample_weight(weights, rows, dtype=np.float64, ensure_non_negative=True)
    except (ValueError, TypeError) as error:
        raise DataError(str(error)) from error
    if not checked.any():
        raise DataError("sample_weight is zero for every row. Give at least two rows a weight above zero.")
    return checked


def seed_from(random_state: Any, use: str) -> int | None:
    """A seed of its own for each use of a random state: an int, numpy's generators, or ``None`` for a fresh one.

    Raises:
        ArgumentError: It is none of these.

    Example:
        >>> seed_from(0, "fit") == seed_from(0, "fit"), seed_from(0, "fit") == seed_from(0, "sample")
        (True, False)
    """
    match random_state:
        case None:
            return None
        case int() | np.integer() if not isinstance(random_state, bool):
            return derive_seed(int(random_state), use)
        case np.random.RandomState():
            return derive_seed(int(random_state.randint(2**31 - 1)), use)
        case np.random.Generator():
            return derive_seed(int(random_state.integers(2**31 - 1)), use)
    raise ArgumentError(
        "random_state must be None, an int or a random generator of numpy, "
        f"got {random_state!r}. Pass a seed such as 0."
    )
