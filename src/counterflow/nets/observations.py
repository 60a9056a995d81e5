"""Observations as a network sees them: standardized, and with their gaps marked."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["ObservationReader"]


class ObservationReader(nn.Module):
    r"""Standardize data, and mark what is missing.

    .. math:: r = \left[ \frac{x - \mu}{\sigma},\; m \right], \quad m_i = 1 \text{ where } x_i \text{ is missing}

    A missing value becomes the mean, and a second set of features says where that happened. With trials, one mean and
    one deviation hold for all trials, and a trial that is missing as a whole is absent.

    Args:
        shape: The shape of one observation; with trials ``(trials, features)``, of which the first is only the most
            there were.
        missing: Whether values may be missing.
        trials: Whether an observation is a set of trials.

    Example:
        >>> reader = ObservationReader((2,), missing=True)
        >>> reader.learn(torch.tensor([[0.0, 1.0], [2.0, torch.nan]]))
        >>> reader(torch.tensor([[1.0, torch.nan]])).tolist()
        [[0.0, 0.0, 0.0, 1.0]]
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, shape: tuple[int, ...], *, missing: bool = False, trials: bool = False) -> None:
        super().__init__()
        if trials and len(shape) != 2:
            raise ShapeError(
                f"x must have shape (rows, trials, features) when trials=True, got rows of shape {shape}. "
                "Give each trial a vector of features."
            )
        self.shape, self.missing, self.trials = tuple(shape), missing, trials
        stored = self.shape[1:] if trials else self.shape
        self.register_buffer("mean", torch.zeros(stored))
        self.register_buffer("deviation", torch.ones(stored))

    @property
    def read_shape(self) -> tuple[int, ...]:
        """The shape of one observation as it is read: with a mark for each value if values may be missing."""
        if not self.missing:
            return self.shape
        axis = self._axis % len(self.shape)
        return tuple(2 * size if i == axis else size for i, size in enumerate(self.shape))

    @property
    def config(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {"shape": list(self.shape), "missing": self.missing, "trials": self.trials}

    def learn(self, x: Float[Tensor, "rows *shape"]) -> None:
        """Take mean and deviation from data; a constant value keeps deviation 1."""
        rows = x.reshape(-1, *self.mean.shape)
        rows = rows[~rows.flatten(1).isnan().all(1)]
        known = ~rows.isnan()
        count = known.sum(0).clamp(min=1)
        mean = torch.where(known, rows, 0.0).sum(0) / count
        variance = torch.where(known, (rows - mean).square(), 0.0).sum(0) / count
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(variance > 0, variance.sqrt(), 1.0))

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*out"]:
        """Read observations.

        Raises:
            ShapeError: If they have another shape.
            ArgumentError: If a value is infinite, or missing where none may be.
        """
        x = x.to(self.mean)
        self._check(x)
        z = (x - self.mean) / self.deviation
        gaps = z.isnan()
        z = torch.where(gaps, 0.0, z)
        return torch.cat([z, gaps.to(z)], dim=self._axis) if self.missing else z

    @property
    def _axis(self) -> int:
        """Where marks stand beside values: features of trials and vectors, channels of series and images."""
        return -1 if self.trials else -len(self.shape)

    def _check(self, x: Tensor) -> None:
        own = self.mean.shape if self.trials else torch.Size(self.shape)
        if x.shape[x.dim() - len(own) :] != own or (self.trials and x.dim() < 2):
            wanted = ("trials", *own) if self.trials else tuple(own)
            raise ShapeError(
                f"x must hold observations of shape ({', '.join(map(str, wanted))}), as in training, got "
                f"{tuple(x.shape)}. Give it the form that was learned from."
            )
        if x.isinf().any() or (x.isnan().any() and not self.missing):
            raise ArgumentError(
                "x must be finite, got an observation with "
                + ("infinite values. Say what they stand for." if x.isinf().any() else "missing values (NaN). ")
                + ("" if x.isinf().any() else "Simulate with missing=True, with gaps like these, to learn from them.")
            )
