"""Checks of what a model answers: the right shape, finite, and as it was stated."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import CounterflowError, ModelError

__all__ = ["ask", "check_labels", "check_probabilities", "check_values", "label_array", "one_hot"]

SUM_TOLERANCE = 1e-3


def ask(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a piece of a user's model; what it raises becomes a :class:`ModelError` with its words."""
    try:
        return function(*arguments)
    except CounterflowError:
        raise
    except Exception as error:
        raise ModelError(_sentence(name, error)) from error


def _sentence(name: str, error: Exception) -> str:
    if type(error).__name__ == "NotFittedError":
        return f"{name} is not fitted. Call its fit on the training rows before explaining it."
    words = " ".join(str(error).split())
    return f"{name} failed on the table, with {type(error).__name__}: {words or 'no message'}"


def check_probabilities(name: str, answer: Any, *, rows: int, classes: int) -> Float[np.ndarray, "n K"]:
    """Probabilities as (n, K) float64; a single column is that of the second of two classes.

    Raises:
        ModelError: If the shape, the range or the sums are not those of probabilities.
    """
    table = _numbers(name, answer)
    if classes == 2 and table.shape in ((rows,), (rows, 1)):
        table = table.reshape(rows, 1)
        table = np.concatenate([1.0 - table, table], axis=1)
    if table.shape != (rows, classes):
        raise ModelError(
            f"{name} must answer ({rows}, {classes}) for {rows} rows and {classes} classes, got {table.shape}. "
            "State the classes in the order of its columns."
        )
    _check_finite(name, table)
    sums = table.sum(axis=1)
    if rows and (table.min() < -SUM_TOLERANCE or np.abs(sums - 1.0).max() > SUM_TOLERANCE):
        worst = int(np.abs(sums - 1.0).argmax())
        raise ModelError(
            f"{name} was said to answer probabilities, but row {worst} holds {np.round(table[worst], 4).tolist()}, "
            "which are none. If it answers logits, state output='logits'."
        )
    return table


def check_values(name: str, answer: Any, *, rows: int) -> Float[np.ndarray, "n"]:
    """Values of a regressor as (n,) float64.

    Raises:
        ModelError: If there is not one finite number per row.
    """
    values = _numbers(name, answer)
    if values.shape not in ((rows,), (rows, 1)):
        raise ModelError(f"{name} must answer one value per row, shape ({rows},), got {values.shape}.")
    _check_finite(name, values)
    return values.reshape(rows)


def check_labels(name: str, answer: Any, *, rows: int, classes: tuple[Any, ...]) -> np.ndarray:
    """Labels (n,) that are all among the classes.

    Raises:
        ModelError: If there is not one label per row, or one is unknown.
    """
    labels = np.asarray(answer)
    if labels.shape == (rows, 1):
        labels = labels.reshape(rows)
    if labels.shape != (rows,):
        raise ModelError(f"{name} must answer one label per row, shape ({rows},), got {labels.shape}.")
    for label in dict.fromkeys(labels.tolist()):
        if label not in classes:
            raise ModelError(f"{name} answers the label {label!r}, which is none of its classes {list(classes)}.")
    return labels


def label_array(classes: tuple[Any, ...]) -> np.ndarray:
    """The classes as an array that keeps each label as it is."""
    if len({type(label) for label in classes}) == 1 and not isinstance(classes[0], tuple | list):
        return np.array(classes)
    array = np.empty(len(classes), dtype=object)
    array[:] = classes
    return array


def one_hot(labels: np.ndarray, classes: tuple[Any, ...]) -> Float[np.ndarray, "n K"]:
    """1 for the predicted class and 0 elsewhere."""
    return np.array([[float(label == known) for known in classes] for label in labels.tolist()]).reshape(
        len(labels), len(classes)
    )


def _numbers(name: str, answer: Any) -> np.ndarray:
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return np.asarray(answer, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ModelError(f"{name} must answer numbers, got {type(answer).__name__} ({error}).") from error


def _check_finite(name: str, table: np.ndarray) -> None:
    if not np.isfinite(table).all():
        row = int(np.argwhere(~np.isfinite(table))[0][0])
        raise ModelError(f"{name} answers NaN or infinity for row {row}. Check its scaling and its weights.")
