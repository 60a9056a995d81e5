"""What a counterfactual method is given, and how any row it proposes is ranked."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.copies import RowHashes
from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.objectives import lp_distance, probability_gap, range_gap, score_gap
from counterflow.counterfactuals.search import Deadline
from counterflow.tables import Rules

__all__ = ["DifferentiableModel", "Goal", "Quality", "Task"]


@runtime_checkable
class DifferentiableModel(Protocol):
    """The part of an adapted model that a search needs."""

    def logits(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows classes"]:
        """Unnormalized log-probabilities, differentiable in the numeric columns."""
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

    def met(self, logits: Float[Tensor, "rows classes"]) -> Bool[Tensor, " rows"]:
        """Whether the model's output is as wished."""
        probability = logits.softmax(-1).gather(1, self.target[:, None])[:, 0]
        inside = (probability >= self.low) & (probability <= self.high)
        return torch.where(self.by_range, inside, logits.argmax(-1) == self.target)

    def gap(
        self, logits: Float[Tensor, "rows classes"], *, margin: float, scale: str = "log-odds"
    ) -> Float[Tensor, " rows"]:
        """How far the output is from the wish plus a margin of probability, in log-odds or in probability."""
        if scale == "probability":
            probabilities = logits.softmax(-1)
            leading = probability_gap(probabilities, self.target, margin=2 * margin)
            value = probabilities.gather(1, self.target[:, None])[:, 0]
            low, high = self.low + margin, self.high - margin
        else:
            leading = score_gap(logits, self.target, margin=_log_odds(0.5 + margin))
            value = _target_log_odds(logits, self.target)
            low, high = _log_odds_of(self.low + margin), _log_odds_of(self.high - margin)
        middle = (low + high) / 2
        crossed = low > high
        low, high = torch.where(crossed, middle, low), torch.where(crossed, middle, high)
        return torch.where(self.by_range, range_gap(value, low, high), leading)


class Quality(NamedTuple):
    """How good a row is: first its tier, then the cost within the tier; smaller is better.

    Tiers: 0 valid and as plausible as aimed for, 1 valid and as plausible as asked, 2 valid, 3 not valid, 4 a copy of a
    training row. The cost is the distance in tiers 0 and 1, the missing log-density in tier 2, the missing
    log-odds in tiers 3 and 4.
    """

    tier: Int[Tensor, " rows"]
    cost: Float[Tensor, " rows"]

    def better_than(self, other: "Quality") -> Bool[Tensor, " rows"]:
        """Row by row."""
        return (self.tier < other.tier) | ((self.tier == other.tier) & (self.cost < other.cost))


@dataclass(frozen=True)
class Task:
    """A batch of rows to explain, with everything a method may use; all numbers in the codec's units, float64.

    Args:
        factuals: The rows, ``(rows, columns)``.
        goal: What is wished for each.
        rules: What may change, compiled for these rows.
        model: The model, differentiable in the numeric columns.
        density: The search's own density; never the witness.
        pool: For each class, plausible rows that the flows made up; guides, not data.
        copies: The hashes of the training rows, which no answer may equal; ``None`` where that is allowed.
        scale: The standardized unit of each column; 1 for discrete ones.
        cost: What a unit of change costs in each column.
        min_plausibility: The plausibility that an answer must reach.
        norm: The exponent of the distance.
        deadline: When to stop.
    """

    factuals: Float[Tensor, "rows columns"]
    goal: Goal
    rules: Rules
    model: DifferentiableModel
    density: ClassDensity
    pool: tuple[Float[Tensor, "_ columns"], ...]
    copies: RowHashes | None
    scale: Float[Tensor, " columns"]
    cost: Float[Tensor, " columns"]
    min_plausibility: float
    norm: float
    deadline: Deadline

    def of_rows(self, rows: Int[Tensor, " some"]) -> "Task":
        """The same task for some of the rows (a row may be named more than once)."""
        return replace(self, factuals=self.factuals[rows], goal=self.goal.of_rows(rows), rules=self.rules.take(rows))

    @cached_property
    def categorical(self) -> Bool[Tensor, " columns"]:
        """The columns whose changes are counted, not measured."""
        return torch.tensor([not column.numeric for column in self.rules.schema.columns])

    def delta(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows columns"]:
        """The change from the factuals in standardized units; 1 for another category, and for leaving a code."""
        change = ((numbers - self.factuals) / self.scale).nan_to_num(1.0)
        counted = torch.where(self.categorical | self.rules.at_code, torch.ones_like(change), change)
        return torch.where(self.rules.changed(numbers), counted, torch.zeros_like(change))

    def on_atoms(self, numbers: Float[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
        """The entries that stand on a special code or an inflated value."""
        rules = self.rules
        hits = numbers[:, rules.atom_column] == rules.atom_value
        hits |= numbers[:, rules.atom_column].isnan() & rules.atom_value.isnan()
        return torch.zeros_like(numbers).index_add(1, rules.atom_column, hits.to(numbers.dtype)) > 0

    @cached_property
    def switchable(self) -> Bool[Tensor, "rows columns"]:
        """The entries that may jump: to another category, off an atom or onto one."""
        rules = self.rules
        lands = torch.zeros_like(self.factuals).index_add(1, rules.atom_column, rules.may_land.to(torch.float64)) > 0
        return rules.may_switch | (rules.movable & lands)

    def distance(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, " rows"]:
        """The cost-weighted length of the change."""
        return lp_distance(self.delta(numbers), self.cost, norm=self.norm)

    def quality(self, numbers: Float[Tensor, "rows columns"], *, aim: float) -> Quality:
        """Rank rows exactly as they stand: real predictions, averaged densities, distances, copies."""
        with torch.no_grad():
            logits = self.model.logits(numbers)
        met, missing = self.goal.met(logits), self.goal.gap(logits, margin=0.0)
        score = torch.full_like(missing, -torch.inf)
        score[met] = torch.from_numpy(self.density.log_density(numbers[met], self.goal.target[met]))
        reached = [score >= self.density.threshold(level)[self.goal.target] for level in (aim, self.min_plausibility)]
        tier = torch.where(met, torch.where(reached[1], torch.where(reached[0], 0, 1), 2), 3)
        copied = self._copied(numbers)
        cost = torch.where(tier < 2, self.distance(numbers), torch.where(met, -score, missing))
        return Quality(torch.where(copied, 4, tier), cost)

    def _copied(self, numbers: Tensor) -> Tensor:
        if self.copies is None:
            return torch.zeros(len(numbers), dtype=torch.bool)
        return self.copies.contains(numbers) & self.rules.changed(numbers).any(1)


def _log_odds(probability: float) -> float:
    return math.log(probability / (1 - probability))


def _log_odds_of(probability: Tensor) -> Tensor:
    """Log-odds of numbers that may lie outside (0, 1): these have none, and no limit follows from them."""
    tiny = 1e-12
    return torch.where(probability <= 0, -math.inf, torch.where(probability >= 1, math.inf, 0.0)) + torch.where(
        (probability > 0) & (probability < 1), torch.logit(probability.clamp(tiny, 1 - tiny)), 0.0
    )


def _target_log_odds(logits: Tensor, target: Tensor) -> Tensor:
    index = target[:, None]
    others = logits.scatter(1, index, -torch.inf).logsumexp(1)
    return logits.gather(1, index)[:, 0] - others
