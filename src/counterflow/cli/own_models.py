"""The model that ``counterflow fit`` trains where none is given, and how good a model is."""

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from counterflow.cli.screen import tell

if TYPE_CHECKING:
    import counterflow.cli.targets
    import counterflow.models
    import counterflow.tables

__all__ = ["agreement", "r_squared", "split_rows", "train_own"]

_HELD_OUT = 0.2


def train_own(
    schema: "counterflow.tables.Schema", frame: Any, target: "counterflow.cli.targets.Target", *, seed: int
) -> tuple["counterflow.models.TableClassifier | counterflow.models.TableRegressor", str]:
    """A linear model of four fifths of the rows, and how good it is on the rest.

    Args:
        schema: The columns.
        frame: The rows.
        target: Classes, for a logistic regression, or numbers, for a ridge regression.
        seed: Which rows are held out.

    Returns:
        The model, and a sentence.
    """
    from counterflow.models import TableClassifier, TableRegressor
    from counterflow.tables import take_rows

    train, test = split_rows([0] * len(target.values) if target.number else target.values, seed)
    kind, name = (TableRegressor, "ridge") if target.number else (TableClassifier, "logistic")
    tell(f"No --model was given: training a {name} regression on {len(train):,} of the rows.")
    model = kind.fit(schema, take_rows(frame, train), [target.values[row] for row in train])
    predicted, true = model.predict(take_rows(frame, test)), [target.values[row] for row in test]
    quality = _value_quality(predicted, true) if target.number else _class_quality(predicted, true)
    return model, f"Model: a {name} regression that counterflow trained itself on {len(train):,} rows. {quality}"


def agreement(model: "counterflow.models.AdaptedModel", frame: Any, target: "counterflow.cli.targets.Target") -> str:
    """How well a user's model agrees with the target, in a sentence."""
    predicted = model.predict(frame)
    if target.number:
        share = f"{r_squared(predicted, target.values):.1%}"
        return f"Model: {model.name}. It explains {share} of the target's variance in these rows (R^2)."
    return (
        f"Model: {model.name}. It agrees with the target in {_share_right(predicted, target.values):.1%} of these rows."
    )


def split_rows(labels: list[Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
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


def r_squared(predicted: np.ndarray, true: list[Any]) -> float:
    """The share of the variance that predictions explain: 1 for a perfect model, 0 for one that says the mean.

    Example:
        >>> r_squared(np.array([1.0, 2.0, 4.0]), [1.0, 2.0, 3.0])
        0.5
    """
    values = np.array(true, dtype=np.float64)
    return float(1 - np.square(values - predicted).sum() / np.square(values - values.mean()).sum())


def _value_quality(predicted: np.ndarray, true: list[Any]) -> str:
    typical = float(np.sqrt(np.mean(np.square(np.array(true, dtype=np.float64) - predicted))))
    return (
        f"It explains {r_squared(predicted, true):.1%} of the variance of the other {len(true):,} rows (R^2), and errs "
        f"by {typical:.4g} there (root mean square)."
    )


def _class_quality(predicted: np.ndarray, true: list[Any]) -> str:
    label, count = Counter(true).most_common(1)[0]
    return (
        f"It decides {_share_right(predicted, true):.1%} of the other {len(true):,} rows right; always saying "
        f"{label!r} would {count / len(true):.1%}."
    )


def _share_right(predicted: np.ndarray, true: list[Any]) -> float:
    return float(np.mean([label == wish for label, wish in zip(predicted.tolist(), true, strict=True)]))
