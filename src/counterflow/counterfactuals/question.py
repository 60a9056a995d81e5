"""What is asked of every row."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from counterflow.core.errors import ArgumentError
from counterflow.tables import Constraints

__all__ = ["Question"]


@dataclass(frozen=True)
class Question:
    """What is asked of every row.

    Args:
        desired: For each row, the class that the model shall decide; of a regressor the interval ``(low, high)`` that
            its value shall lie in, ``None`` for an open end.
        probability: The range in which that class's probability shall lie; ``None`` for the model's own decision.
        count: How many answers each row gets.
        constraints: What may not change, beyond the schema.
        min_plausibility: The conformal p-value an answer must reach, in [0, 1).
        norm: The exponent of the distance; ``None`` for the method's own.
        deadline: Seconds for the whole call; ``None`` for no limit.
        allow_training_rows: Whether an answer may equal a training row.

    Raises:
        ArgumentError: A setting is outside its range.
    """

    desired: Sequence[Any]
    probability: tuple[float, float] | None = None
    count: int = 1
    constraints: Constraints | None = None
    min_plausibility: float = 0.1
    norm: float | None = None
    deadline: float | None = None
    allow_training_rows: bool = False

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ArgumentError(f"count must be at least 1, got {self.count}.")
        if not 0 <= self.min_plausibility < 1:
            raise ArgumentError(f"min_plausibility must lie in [0, 1), got {self.min_plausibility}.")
        if self.norm is not None and not 0 < self.norm < math.inf:
            raise ArgumentError(f"norm must be a finite number above 0, got {self.norm}.")
        if self.probability is not None:
            low, high = self.probability
            if not 0 <= low < high <= 1:
                raise ArgumentError(f"probability must be (low, high) with 0 <= low < high <= 1, got ({low}, {high}).")

    def to_dict(self) -> dict[str, Any]:
        """The settings, without the wishes, as plain data."""
        settings = {
            "probability": None if self.probability is None else list(self.probability),
            "count": self.count,
            "constraints": self.constraints.to_dict() if self.constraints else {},
            "min_plausibility": self.min_plausibility,
            "norm": self.norm,
            "deadline": self.deadline,
            "allow_training_rows": self.allow_training_rows,
        }
        return {name: _plain(value) for name, value in settings.items()}


def _plain(value: Any) -> Any:
    """Numbers of numpy as those of Python, which JSON can hold."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value
