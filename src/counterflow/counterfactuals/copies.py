"""Knowing a training row again without keeping it."""

import hashlib

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["RowHashes"]


class RowHashes:
    """The hashes of a table's rows: enough to recognize a copy, not enough to read a row.

    Args:
        hashes: Sorted 64-bit hashes.

    Example:
        >>> known = RowHashes.of(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
        >>> known.contains(torch.tensor([[3.0, 4.0], [3.0, 5.0]])).tolist()
        [True, False]
    """

    def __init__(self, hashes: Int[Tensor, " known"]) -> None:
        self.hashes = hashes

    @classmethod
    def of(cls, numbers: Float[Tensor, "rows columns"]) -> "RowHashes":
        """Take the hashes of rows."""
        return cls(torch.from_numpy(np.unique(_hash_rows(numbers))))

    def contains(self, numbers: Float[Tensor, "rows columns"]) -> Bool[Tensor, " rows"]:
        """Whether each row is one of those hashed."""
        known, asked = self.hashes.numpy(), _hash_rows(numbers)
        if not len(known):
            return torch.zeros(len(asked), dtype=torch.bool)
        place = np.searchsorted(known, asked).clip(max=len(known) - 1)
        return torch.from_numpy(known[place] == asked)


def _hash_rows(numbers: Tensor) -> np.ndarray:
    rows = np.ascontiguousarray(numbers.detach().double().numpy()) + 0.0
    digests = b"".join(hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in rows)
    return np.frombuffer(digests, dtype="<i8")
