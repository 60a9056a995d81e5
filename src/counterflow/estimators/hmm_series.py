"""What FlowHMM takes as X and lengths: sequences one below the other, checked and standardized."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError
from counterflow.hmm.blocks import checked_lengths
from counterflow.hmm.cells import followed
from counterflow.hmm.model import observed

__all__ = ["MISSING", "Scale", "checked_series", "check_enough", "series_lengths"]

MISSING = ("error", "skip")

_ROWS_OF_A_STATE = 10
_FARTHEST = 1e100


@dataclass(frozen=True)
class Scale:
    """Mean and deviation of each column: what standard units are.

    Args:
        center: The means.
        deviation: The deviations.
    """

    center: Float[Tensor, " features"]
    deviation: Float[Tensor, " features"]

    @classmethod
    def of(cls, x: Float[Tensor, "rows features"]) -> "Scale":
        """Take them from the rows that were observed.

        Raises:
            DataError: A column is constant.
        """
        rows = x[observed(x)]
        deviation = rows.std(0, correction=0)
        flat = (deviation <= 1e-12 * rows.abs().amax(0)).nonzero()[:, 0].tolist()
        if flat:
            raise DataError(f"every column of X must vary, but column {flat[0]} is constant. Leave it out.")
        return cls(rows.mean(0), deviation)

    @property
    def log_volume(self) -> float:
        """The logarithm of the volume of a standard unit in the data's own units."""
        return float(self.deviation.log().sum())

    def standardized(self, x: Float[Tensor, "rows features"]) -> Float[Tensor, "rows features"]:
        """From the data's units to standard ones.

        Raises:
            DataError: A value is so far out that the square of its distance is infinite.
        """
        z = (x - self.center) / self.deviation
        far = (z.abs() > _FARTHEST).nonzero().tolist()
        if far:
            row, column = far[0]
            raise DataError(
                f"row {row} of X holds {x[row, column].item():.4g} in column {column}, more than {_FARTHEST:g} "
                "standard deviations from its mean, where no density can be computed. Correct the value, or make it "
                'NaN and pass missing="skip".'
            )
        return z

    def restored(self, z: Float[Tensor, "rows features"]) -> Float[Tensor, "rows features"]:
        """And back."""
        return z * self.deviation + self.center


def checked_series(estimator: BaseEstimator, X: Any, *, missing: Any, reset: bool) -> Float[Tensor, "rows features"]:
    """Check X as scikit-learn does.

    Args:
        estimator: Whose ``n_features_in_`` is set or compared.
        X: A table of numbers, a row for each observation.
        missing: ``"skip"`` lets rows hold NaN.
        reset: ``True`` in ``fit``.

    Returns:
        The observations in double precision; a row that holds NaN holds nothing else.

    Raises:
        DataError: X is no table of finite numbers, or not as wide as the one that ``fit`` saw.
        ArgumentError: ``missing`` is no choice.
    """
    if missing not in MISSING:
        raise ArgumentError(f"missing must be 'error' or 'skip', got {missing!r}. Choose one of these.")
    try:
        finite = "allow-nan" if missing == "skip" else True
        rows = validate_data(estimator, X, reset=reset, dtype=np.float64, ensure_all_finite=finite)
    except (ValueError, TypeError) as error:
        message = str(error)
        if "NaN" in message:  # what scikit-learn says behind the first line is about classifiers
            message = f'{message.splitlines()[0]} Pass missing="skip" for observations that were not made.'
        raise DataError(message) from error
    x = torch.from_numpy(np.array(rows))
    return torch.where(observed(x).unsqueeze(1), x, torch.nan)


def series_lengths(lengths: Any, rows: int) -> list[int]:
    """The lengths of the sequences, of any kind of whole numbers.

    Raises:
        DataError: They are no whole numbers of at least 1, or do not add up to the rows.

    Example:
        >>> series_lengths(np.array([2, 3]), 5), series_lengths(None, 5)
        ([2, 3], [5])
    """
    if lengths is None:
        return [rows]
    try:
        known = np.asarray(lengths)
    except ValueError as error:
        raise DataError(f"lengths must be a list of whole numbers: {error}. Give the rows of each sequence.") from error
    if known.ndim != 1 or known.dtype.kind not in "iu" or not known.size:
        raise DataError(f"lengths must be a list of whole numbers, got {lengths!r}. Give the rows of each sequence.")
    return checked_lengths(known.tolist(), rows)


def check_enough(x: Float[Tensor, "rows features"], lengths: list[int], *, states: int) -> None:
    """Check that there is something to learn a chain of states from.

    Raises:
        DataError: There are fewer than ten observations for each state, or none follows another.
    """
    made = observed(x)
    if int(made.sum()) < _ROWS_OF_A_STATE * states:
        raise DataError(
            f"{states} states need at least {_ROWS_OF_A_STATE * states} observations, got n_samples={int(made.sum())}. "
            "Give more, or ask for fewer states."
        )
    if not len(followed(lengths, made)):
        raise DataError(
            "no observation is followed by another in its sequence, so there are no transitions to learn. "
            "Check lengths, and missing values."
        )
