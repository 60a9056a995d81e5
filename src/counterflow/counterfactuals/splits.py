"""Which rows teach what: the search, its judge, and the thresholds of both."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from counterflow.core.errors import DataError

__all__ = ["CROSS_FITTED_BELOW", "Roles", "assign_roles"]

CROSS_FITTED_BELOW = 5000
"""With fewer rows than this, each half of the table trains one side and calibrates the other."""

_SHARES = (0.4, 0.4)
_LEAST = 20


@dataclass(frozen=True)
class Roles:
    """Positions of rows: those that train the search's flows and the witness, and those that calibrate each.

    The search's training rows and the witness's are always disjoint, and no row calibrates a flow that it trained.
    From 5,000 rows on, a third part (a fifth of the table) calibrates both, and both are compared on it. Below, the
    parts are two halves that change places: cross-fitted, so that no row is idle.
    """

    search: Int[np.ndarray, " s"]
    witness: Int[np.ndarray, " w"]
    search_calibration: Int[np.ndarray, " a"]
    witness_calibration: Int[np.ndarray, " b"]

    @property
    def cross_fitted(self) -> bool:
        """Whether each half calibrates the other side."""
        return self.search_calibration is self.witness

    def sizes(self) -> dict[str, int | bool]:
        """The sizes, for reports."""
        return {
            "search_training": len(self.search),
            "witness_training": len(self.witness),
            "search_calibration": len(self.search_calibration),
            "witness_calibration": len(self.witness_calibration),
            "cross_fitted": self.cross_fitted,
        }


def assign_roles(labels: Int[np.ndarray, " rows"], *, seed: int) -> Roles:
    """Deal rows out at random, class by class, so that every part has its share of every class.

    Args:
        labels: Class index of each row.
        seed: Where the order comes from.

    Returns:
        The positions.

    Raises:
        DataError: If a class has fewer than 20 rows: too few to train, to judge and to calibrate.

    Example:
        >>> roles = assign_roles(np.arange(6000) % 2, seed=0)
        >>> roles.sizes()["search_training"], roles.sizes()["search_calibration"], roles.cross_fitted
        (2400, 1200, False)
    """
    generator = np.random.default_rng(seed)
    cross_fitted = len(labels) < CROSS_FITTED_BELOW
    first, second = (0.5, 0.5) if cross_fitted else _SHARES
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        if len(rows) < _LEAST:
            raise DataError(
                f"class number {label} has {len(rows)} rows; a density of each class needs at least {_LEAST}. "
                "Give more rows, or merge rare classes."
            )
        cuts = (round(first * len(rows)), round((first + second) * len(rows)))
        for part, piece in zip(parts, np.split(rows, cuts), strict=True):
            part.append(piece)
    search, witness, rest = (generator.permutation(np.concatenate(part)) for part in parts)
    if cross_fitted:
        return Roles(search, witness, witness, search)
    return Roles(search, witness, rest, rest)
