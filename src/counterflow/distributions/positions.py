"""Which numbers of a point are meant."""

from collections.abc import Sequence

from torch import Tensor

from counterflow.core.errors import ArgumentError

__all__ = ["Index", "positions"]

Index = int | slice | Sequence[int] | Tensor


def positions(index: Index, features: int) -> list[int]:
    """Read an index as positions, counted from the end where negative.

    Args:
        index: One position, several different ones, or a slice.
        features: How many numbers a point has.

    Raises:
        ArgumentError: If a position is beyond the point, or named twice.

    Example:
        >>> positions(-1, 3), positions(slice(2), 3), positions([2, 0], 3)
        ([2], [0, 1], [2, 0])
    """
    every = list(range(features))
    if isinstance(index, slice):
        return every[index]
    places = [index] if isinstance(index, int) else [int(place) for place in index]
    if any(not -features <= place < features for place in places) or len({p % features for p in places}) < len(places):
        raise ArgumentError(f"index must name different numbers from 0 to {features - 1}, got {places}.")
    return [every[place] for place in places]
