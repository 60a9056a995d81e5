"""What is wished of the model's answer for each row: a class, a range of its probability, or an interval of values."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.objectives import probability_gap, range_gap, score_gap

__all__ = ["Goal", "ValueGoal", "Wish"]


@runtime_checkable
class Wish(Protocol):
    """A wish for every row of a batch; ``output`` is what the model says: logits, or one column of values."""

    @property
    def target(self) -> Int[Tensor, " rows"]:
        """The class (or the bin of values) that guides come from."""
        ...

    def of_rows(self, rows: Int[Tensor, " some"]) -> "Wish":
        """The wishes of some rows."""
        ...

    def met(self, output: Float[Tensor, "rows outputs"]) -> Bool[Tensor, " rows"]:
        """Whether the output is as wished."""
        ...

    def gap(
        self, output: Float[Tensor, "rows outputs"], *, margin: float, scale: str = "log-odds"
    ) -> Float[Tensor, " rows"]:
        """How far the output is from the wish plus a margin; at most zero where it is met with the margin."""
        ...

    def labels(self, output: Float[Tensor, "rows outputs"]) -> Int[Tensor, " rows"]:
        """The class under whose density a row with this output is judged."""
        ...


@dataclass(frozen=True)
class Goal:
    """The prediction that is wished for each row: a class, or a class with a range for its probability.

    Args:
        target: Index of the class for each row.
        low: The least probability of that class; ``-inf`` where being the most probable class is enough.
        high: The greatest probability of that class; ``inf`` where there is no limit.
    """

    target: Int[Tensor, " rows"]
    low: Float[Tensor, " rows"]
    high: Float[Tensor, " rows"]

    @classmethod
    def of(cls, target: Int[Tensor, " rows"], probability: tuple[float, float] | None = None) -> "Goal":
        """One wish for all rows: the arg max where ``probability`` is ``None``, else the range."""
        low, high = probability or (-math.inf, math.inf)
        full = torch.full(target.shape, low, dtype=torch.float64)
        return cls(target, full, torch.full_like(full, high))

    @property
    def by_range(self) -> Bool[Tensor, " rows"]:
        """The rows whose wish is a range of probability."""
        return torch.isfinite(self.low) | torch.isfinite(self.high)

    def of_rows(self, rows: Int[Tensor, " some"]) -> "Goal":
        """The wishes of some rows."""
        return Goal(self.target[rows], self.low[rows], self.high[rows])

    def met(self, output: Float[Tensor, "rows classes"]) -> Bool[Tensor, " rows"]:
        """Whether the model's output is as wished."""
        probability = output.softmax(-1).gather(1, self.target[:, None])[:, 0]
        inside = (probability >= self.low) & (probability <= self.high)
        return torch.where(self.by_range, inside, output.argmax(-1) == self.target)

    def gap(
        self, output: Float[Tensor, "rows classes"], *, margin: float, scale: str = "log-odds"
    ) -> Float[Tensor, " rows"]:
        """How far the output is from the wish plus a margin of probability, in log-odds or in probability."""
        if scale == "probability":
            probabilities = output.softmax(-1)
            leading = probability_gap(probabilities, self.target, margin=2 * margin)
            value = probabilities.gather(1, self.target[:, None])[:, 0]
            low, high = self.low + margin, self.high - margin
        else:
            leading = score_gap(output, self.target, margin=_log_odds(0.5 + margin))
            value = _target_log_odds(output, self.target)
            low, high = _log_odds_of(self.low + margin), _log_odds_of(self.high - margin)
        middle = (low + high) / 2
        crossed = low > high
        low, high = torch.where(crossed, middle, low), torch.where(crossed, middle, high)
        return torch.where(self.by_range, range_gap(value, low, high), leading)

    def labels(self, output: Float[Tensor, "rows classes"]) -> Int[Tensor, " rows"]:
        """The class under whose density a row is judged: the target, whatever the model says."""
        return self.target


@dataclass(frozen=True)
class ValueGoal:
    """An interval that a regressor's value shall lie in, for each row.

    Args:
        low: The least value; ``-inf`` for an open end.
        high: The greatest value; ``inf`` for an open end.
        edges: The inner edges of the bins of values whose densities were learned, ascending.
        unit: What counts as one unit of value: the spread of the values in the table.
        target: The bin where the interval begins, seen from the factual.
    """

    low: Float[Tensor, " rows"]
    high: Float[Tensor, " rows"]
    edges: Float[Tensor, " inner"]
    unit: float
    target: Int[Tensor, " rows"]

    @classmethod
    def of(
        cls,
        low: Float[Tensor, " rows"],
        high: Float[Tensor, " rows"],
        *,
        values: Float[Tensor, " rows"],
        edges: Float[Tensor, " inner"],
        unit: float,
    ) -> "ValueGoal":
        """The wishes of rows whose own values are given."""
        inside = torch.where((high - low).isfinite(), 0.25 * (high - low), torch.full_like(low, 0.1 * unit))
        nearest = torch.minimum(torch.maximum(values, low + inside), high - inside)
        return cls(low, high, edges, unit, torch.bucketize(nearest, edges, right=True))

    def of_rows(self, rows: Int[Tensor, " some"]) -> "ValueGoal":
        """The wishes of some rows."""
        return ValueGoal(self.low[rows], self.high[rows], self.edges, self.unit, self.target[rows])

    def met(self, output: Float[Tensor, "rows 1"]) -> Bool[Tensor, " rows"]:
        """Whether the value lies in the interval."""
        return (output[:, 0] >= self.low) & (output[:, 0] <= self.high)

    def gap(self, output: Float[Tensor, "rows 1"], *, margin: float, scale: str = "log-odds") -> Float[Tensor, " rows"]:
        """How many units the value misses the interval, drawn in by ``margin`` units on either side.

        A narrow interval is drawn in by a quarter of its width at most.
        """
        inward = torch.minimum(torch.full_like(self.low, margin * self.unit), 0.25 * (self.high - self.low))
        return range_gap(output[:, 0], self.low + inward, self.high - inward) / self.unit

    def labels(self, output: Float[Tensor, "rows 1"]) -> Int[Tensor, " rows"]:
        """The bin that the value lies in; of a value outside the interval the bin of the interval's nearest end."""
        inside = torch.minimum(torch.maximum(output[:, 0].detach(), self.low), self.high)
        return torch.bucketize(inside, self.edges, right=True)


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _log_odds_of(probability: Tensor) -> Tensor:
    """Log-odds of numbers that may lie outside (0, 1): these have none, and no limit follows from them."""
    tiny = 1e-12
    return torch.where(probability <= 0, -math.inf, torch.where(probability >= 1, math.inf, 0.0)) + torch.where(
        (probability > 0) & (probability < 1), torch.logit(probability.clamp(tiny, 1 - tiny)), 0.0
    )


def _target_log_odds(output: Tensor, target: Tensor) -> Tensor:
    index = target[:, None]
    others = output.scatter(1, index, -torch.inf).logsumexp(1)
    return output.gather(1, index)[:, 0] - others
