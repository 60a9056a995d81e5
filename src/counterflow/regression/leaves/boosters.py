"""What the adapters of the three boosters share: models one for each target, kept as the bytes their library writes."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError

__all__ = ["AbstractBoosterLeaves"]


class AbstractBoosterLeaves(ABC):
    """Boosters of one library, one for each target or one for all, as leaves.

    Args:
        boosters: Fitted.
        columns: How many columns they read.
        categorical: The places of columns of categories.
    """

    kind: ClassVar[str]

    def __init__(self, boosters: list[Any], *, columns: int, categorical: tuple[int, ...] = ()) -> None:
        self.boosters, self.columns, self.categorical = boosters, columns, tuple(categorical)
        self.sizes = tuple(size for booster in boosters for size in self._sizes(booster))

    @classmethod
    def wrap(cls, model: Any, *, columns: int, categorical: tuple[int, ...] = ()) -> "AbstractBoosterLeaves":
        """Take a user's fitted model.

        Raises:
            ArgumentError: If it is not fitted, or reads another number of columns.
        """
        try:
            booster = cls._open(model)
            read = cls._reads_columns(booster)
        except Exception as error:
            raise ArgumentError(f"trees must be fitted, got a {type(model).__name__} that is not: {error}") from error
        if read != columns:
            raise ArgumentError(
                f"trees must be fitted on the same {columns} columns as the table, got a {type(model).__name__} that "
                f"reads {read}. Fit it on them, categories as their codes."
            )
        return cls([booster], columns=columns, categorical=categorical)

    def leaves(self, rows: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows trees"]:
        """The leaf of each row, tree by tree."""
        data = self._prepared(rows)
        return np.concatenate([self._leaves(booster, data) for booster in self.boosters], 1).astype(np.int64)

    def predict(self, rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows targets"]:
        """What the boosters predict, side by side."""
        data = self._prepared(rows)
        values = [np.asarray(self._predict(booster, data), dtype=np.float64) for booster in self.boosters]
        return np.concatenate([value.reshape(len(rows), -1) for value in values], 1)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings, and the bytes that the library itself writes."""
        config = {"kind": self.kind, "columns": self.columns, "categorical": list(self.categorical)}
        content = {f"booster_{i}": _to_tensor(self._to_bytes(booster)) for i, booster in enumerate(self.boosters)}
        return {**config, "boosters": len(self.boosters)}, content

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "AbstractBoosterLeaves":
        """Read what :meth:`to_parts` gave."""
        content = [tensors[f"booster_{i}"].numpy().tobytes() for i in range(config["boosters"])]
        boosters = [cls._from_bytes(part) for part in content]
        return cls(boosters, columns=config["columns"], categorical=tuple(config["categorical"]))

    @classmethod
    @abstractmethod
    def reads(cls, model: Any) -> bool:
        """Whether a model is of this library."""

    @classmethod
    @abstractmethod
    def _open(cls, model: Any) -> Any: ...

    @classmethod
    @abstractmethod
    def _reads_columns(cls, booster: Any) -> int: ...

    @classmethod
    @abstractmethod
    def _sizes(cls, booster: Any) -> list[int]: ...

    @abstractmethod
    def _prepared(self, rows: np.ndarray) -> Any: ...

    @classmethod
    @abstractmethod
    def _leaves(cls, booster: Any, data: Any) -> np.ndarray: ...

    @classmethod
    @abstractmethod
    def _predict(cls, booster: Any, data: Any) -> np.ndarray: ...

    @classmethod
    @abstractmethod
    def _to_bytes(cls, booster: Any) -> bytes: ...

    @classmethod
    @abstractmethod
    def _from_bytes(cls, content: bytes) -> Any: ...


def _to_tensor(content: bytes) -> Tensor:
    return torch.from_numpy(np.frombuffer(content, dtype=np.uint8).copy())
