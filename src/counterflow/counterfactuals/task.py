"""What a counterfactual method is given, and how any row it proposes is ranked."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.copies import RowHashes
from counterflow.counterfactuals.density import ClassDensity
from counterflow.counterfactuals.goals import Wish
from counterflow.counterfactuals.objectives import lp_distance
from counterflow.counterfactuals.search import Deadline
from counterflow.tables import Rules

__all__ = ["DifferentiableModel", "Oracle", "Quality", "Task"]


@runtime_checkable
class DifferentiableModel(Protocol):
    """The part of an adapted model that a search needs."""

    def logits(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows classes"]:
        """Unnormalized log-probabilities, differentiable in the numeric columns."""
        ...


Oracle = Callable[[Tensor, Tensor], Tensor]
"""From legal rows and the positions of their factuals to what the user's real model says, in the form of logits."""


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
        model: The model as a formula, differentiable in the numeric columns; of a black box its stand-in.
        density: The search's own density; never the witness.
        pool: For each class, plausible rows that the flows made up; guides, not data.
        copies: The hashes of the training rows, which no answer may equal; ``None`` where that is allowed.
        scale: The standardized unit of each column; 1 for discrete ones.
        cost: What a unit of change costs in each column.
        min_plausibility: The plausibility that an answer must reach.
        norm: The exponent of the distance.
        deadline: When to stop.
        oracle: What the real model says, where the formula is only a stand-in for it.
        positions: Where each row stands in the batch that the oracle knows; ``None`` if it is the whole batch.
        skill: What the method learned when the explainer was fitted; ``None`` if it learns nothing.
    """

    factuals: Float[Tensor, "rows columns"]
    goal: Wish
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
    oracle: Oracle | None = None
    positions: Int[Tensor, " rows"] | None = None
    skill: Any = None

    def of_rows(self, rows: Int[Tensor, " some"]) -> "Task":
        """The same task for some of the rows (a row may be named more than once)."""
        return replace(
            self,
            factuals=self.factuals[rows],
            goal=self.goal.of_rows(rows),
            rules=self.rules.take(rows),
            positions=rows if self.positions is None else self.positions[rows],
        )

    def verdict(self, numbers: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows outputs"]:
        """What the user's real model says of legal rows, one for each factual: logits, or values of a regressor."""
        with torch.no_grad():
            if self.oracle is None or not len(numbers):
                return self.model.logits(numbers)
            rows = torch.arange(len(numbers)) if self.positions is None else self.positions
            return self.oracle(numbers, rows)

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
        output = self.verdict(numbers)
        met, missing, labels = self.goal.met(output), self.goal.gap(output, margin=0.0), self.goal.labels(output)
        score = torch.full_like(missing, -torch.inf)
        score[met] = torch.from_numpy(self.density.log_density(numbers[met], labels[met]))
        reached = [score >= self.density.threshold(level)[labels] for level in (aim, self.min_plausibility)]
        tier = torch.where(met, torch.where(reached[1], torch.where(reached[0], 0, 1), 2), 3)
        copied = self._copied(numbers)
        cost = torch.where(tier < 2, self.distance(numbers), torch.where(met, -score, missing))
        return Quality(torch.where(copied, 4, tier), cost)

    def _copied(self, numbers: Tensor) -> Tensor:
        if self.copies is None:
            return torch.zeros(len(numbers), dtype=torch.bool)
        return self.copies.contains(numbers) & self.rules.changed(numbers).any(1)
