"""What a simulator gave: parameters with their data, and those on which it failed."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_finite
from counterflow.core.errors import DataError, ShapeError

__all__ = ["OneByOne", "Simulations", "Simulator", "one_by_one"]

Simulator = Callable[[Tensor, torch.Generator], Tensor]
"""``simulator(theta, generator) -> x``: parameters ``(rows, parameters)`` to data ``(rows, *shape)``."""


@dataclass(frozen=True, eq=False)
class Simulations:
    r"""Parameters and the data simulated with them; what failed is counted, not forgotten.

    Without the failures the parameters do not follow the prior any more, but

    .. math:: p(\theta \mid \text{success}) \propto p(\theta)\, P(\text{success} \mid \theta),

    and a posterior that is learned from the rest has this for its prior: :meth:`says` says so.

    Args:
        theta: ``(rows, parameters)``, those that succeeded.
        x: Their data, ``(rows, *shape)``; NaN marks a missing value where missing values were allowed.
        failed: The other parameters, ``(failures, parameters)``.
        reasons: How often the simulator failed in which way.

    Raises:
        ShapeError: If parameters and data differ in their number of rows.

    Example:
        >>> found = Simulations(torch.zeros(9, 2), torch.zeros(9, 3), failed=torch.ones(1, 2))
        >>> len(found), found.failure_rate
        (9, 0.1)
    """

    theta: Float[Tensor, "rows parameters"]
    x: Float[Tensor, "_ *shape"]
    failed: Float[Tensor, "failures _"] | None = None
    reasons: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if len(self.theta) != len(self.x) or self.theta.dim() != 2:
            raise ShapeError(
                f"theta must have shape (rows, parameters) with as many rows as x, got {tuple(self.theta.shape)} and "
                f"{tuple(self.x.shape)}. Give one row of data for each row of parameters."
            )

    def __len__(self) -> int:
        """How many succeeded."""
        return len(self.theta)

    @property
    def failures(self) -> int:
        """How many failed."""
        return 0 if self.failed is None else len(self.failed)

    @property
    def failure_rate(self) -> float:
        """The share of runs that failed."""
        return self.failures / max(1, len(self) + self.failures)

    @property
    def says(self) -> str:
        """How the simulations went, and what that means for a posterior that is learned from them."""
        if not self.failures:
            return f"All {len(self):,} simulations succeeded."
        reason, times = self.reasons.most_common(1)[0] if self.reasons else ("unknown", self.failures)
        return (
            f"{self.failures:,} of {len(self) + self.failures:,} simulations failed ({self.failure_rate:.1%}; most "
            f"often: {reason}, {times:,} times). A posterior learned from the others has for its prior p(theta | the "
            "simulation succeeds), not p(theta)."
        )

    @property
    def prior_note(self) -> str:
        """What became of the prior, for those who learn from the simulations; nothing if none failed."""
        return self.says if self.failures else ""

    def check(self, parameters: int) -> None:
        """Check that there is enough to learn from, of the parameters of a prior.

        Raises:
            DataError: If there are fewer than 10 simulations.
            ShapeError: If prior and simulations differ in their number of parameters.
            ArgumentError: If a parameter is NaN or infinite.
        """
        if len(self) < 10:
            raise DataError(f"simulations must hold at least 10 runs, got {len(self)}. Simulate more.")
        if self.theta.shape[1] != parameters:
            raise ShapeError(
                f"simulations and prior must have the same parameters, got {self.theta.shape[1]} and {parameters}. "
                "Pass the prior that the parameters were drawn from."
            )
        check_finite(self.theta, "theta")

    def join(self, other: "Simulations") -> "Simulations":
        """Put the simulations of two rounds together."""
        failed = [part.failed for part in (self, other) if part.failed is not None]
        return Simulations(
            torch.cat([self.theta, other.theta]),
            torch.cat([self.x, other.x]),
            torch.cat(failed) if failed else None,
            self.reasons + other.reasons,
        )


class OneByOne:
    """A simulator made of a function of one parameter vector; see :func:`one_by_one`."""

    def __init__(self, function: Callable[[np.ndarray, np.random.Generator], Any]) -> None:
        self.function = function

    def __call__(self, theta: Tensor, generator: torch.Generator) -> Tensor:
        """Simulate each row with a random stream of its own."""
        seeds = torch.randint(2**62, (len(theta),), generator=generator)
        rows = [
            torch.as_tensor(np.asarray(self.function(row.numpy(), np.random.default_rng(int(seed)))))
            for row, seed in zip(theta.cpu(), seeds, strict=True)
        ]
        return torch.stack(rows).to(theta.dtype)


def one_by_one(function: Callable[[np.ndarray, np.random.Generator], Any]) -> OneByOne:
    """Make a simulator of a numpy function that takes one parameter vector.

    Args:
        function: ``function(theta, rng)`` with theta ``(parameters,)`` and all randomness from ``rng``; it gives a
            number or an array, always of one shape.

    Example:
        >>> import torch
        >>> simulator = one_by_one(lambda theta, rng: theta.sum() + 0.0 * rng.normal())
        >>> simulator(torch.ones(2, 3), torch.Generator()).tolist()
        [3.0, 3.0]
    """
    return OneByOne(function)
