"""Rules between columns with positions for names and numbers for labels, as questions to batches of rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.tables.column import Column
from counterflow.tables.links import Changed, Condition, Implies, Is, Linear, Link
from counterflow.tables.links_check import category_place, condition_limits
from counterflow.tables.schema import Schema

__all__ = ["ConditionTest", "ImpliesTest", "LinearTest", "LinkTest", "compile_links"]

ROUNDING = {"Float32": 2e-7}
EXACT = 1e-12


@dataclass(frozen=True)
class LinearTest:
    """A linear rule as a question to rows.

    A sum keeps a bound if it misses it by no more than the rounding of its terms: a part in 1e12 of each, in 5e6 where
    a table stores float32.

    Args:
        columns: The positions of its columns.
        factors: And their factors.
        lower: The least sum; infinite where open.
        upper: The greatest.
        rounding: The relative rounding of each term.
        codes: The special codes of each column.
    """

    columns: tuple[int, ...]
    factors: tuple[float, ...]
    lower: float
    upper: float
    rounding: tuple[float, ...]
    codes: tuple[tuple[float, ...], ...]

    def shift(self, numbers: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """By how much the sum must grow (or fall, if negative) to keep the rule; 0 where it is kept or void."""
        terms = self._terms(numbers)
        slack = (terms.abs() * terms.new_tensor(self.rounding)).sum(-1)
        low, high = self.lower - terms.sum(-1), self.upper - terms.sum(-1)
        short = low > slack + (EXACT * abs(self.lower) if self.lower > -math.inf else 0.0)
        over = high < -slack - (EXACT * abs(self.upper) if self.upper < math.inf else 0.0)
        needed = torch.where(short, low, torch.where(over, high, 0.0))
        return torch.where(self.void(numbers), 0.0, needed)

    def gap(self, numbers: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch"]:
        """How far the sum is outside its bounds; differentiable, 0 inside."""
        total = self._terms(numbers).sum(-1)
        gap = torch.relu(torch.maximum(self.lower - total, total - self.upper))
        return torch.where(self.void(numbers), 0.0, gap)

    def void(self, numbers: Float[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        """Where one of the columns is at a code or missing, so that there is no sum."""
        values = numbers[..., list(self.columns)]
        void = values.isnan().any(-1)
        for place, codes in enumerate(self.codes):
            for code in codes:
                void = void | (values[..., place] == code)
        return void

    def broken(self, numbers: Float[Tensor, "*batch d"], changed: Bool[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        """The rows that break the rule: one of its columns changed, and it does not hold."""
        return changed[..., list(self.columns)].any(-1) & (self.shift(numbers) != 0)

    def _terms(self, numbers: Tensor) -> Tensor:
        return numbers[..., list(self.columns)].nan_to_num(0.0) * numbers.new_tensor(self.factors)


@dataclass(frozen=True)
class ConditionTest:
    """A condition as a question to rows.

    Args:
        column: The position of the column.
        changed: Whether a change is all that is asked.
        values: The values that satisfy it, NaN for the missing one; ``None`` for a range.
        lower: The least value of a range.
        upper: The greatest.
        above: A value to exceed.
        below: A value to stay under.
        codes: The special codes of the column, which no range holds.
    """

    column: int
    changed: bool = False
    values: tuple[float, ...] | None = None
    lower: float = -math.inf
    upper: float = math.inf
    above: float = -math.inf
    below: float = math.inf
    codes: tuple[float, ...] = ()

    def holds(self, numbers: Float[Tensor, "*batch d"], changed: Bool[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        """Whether rows satisfy it."""
        here = numbers[..., self.column]
        if self.changed:
            return changed[..., self.column]
        if self.values is not None:
            return _is_one_of(here, self.values)
        inside = (here >= self.lower) & (here <= self.upper) & (here > self.above) & (here < self.below)
        return inside & ~_is_one_of(here, self.codes)


@dataclass(frozen=True)
class ImpliesTest:
    """An implication as a question to rows.

    Args:
        columns: The positions of its columns.
        when: The conditions that start it.
        then: The conditions that must hold in that case.
    """

    columns: tuple[int, ...]
    when: tuple[ConditionTest, ...]
    then: tuple[ConditionTest, ...]

    def broken(self, numbers: Float[Tensor, "*batch d"], changed: Bool[Tensor, "*batch d"]) -> Bool[Tensor, "*batch"]:
        """The rows that break the rule: one of its columns changed, and it does not hold."""
        start, end = (
            torch.stack([each.holds(numbers, changed) for each in side]).all(0) for side in (self.when, self.then)
        )
        return changed[..., list(self.columns)].any(-1) & start & ~end


LinkTest = LinearTest | ImpliesTest


def compile_links(schema: Schema, links: Sequence[Link]) -> tuple[LinkTest, ...]:
    """The rules with positions and numbers.

    Args:
        schema: The columns.
        links: The rules, without contradictions.
    """
    return tuple(_linear(schema, link) if isinstance(link, Linear) else _implies(schema, link) for link in links)


def _linear(schema: Schema, link: Linear) -> LinearTest:
    lower, upper = link.bounds
    columns = [schema[name] for name in link.columns]
    return LinearTest(
        columns=tuple(schema.index(name) for name in link.columns),
        factors=tuple(link.coefficients.values()),
        lower=lower,
        upper=upper,
        rounding=tuple(ROUNDING.get(column.dtype or "", EXACT) for column in columns),
        codes=tuple(_codes(column) for column in columns),
    )


def _implies(schema: Schema, link: Implies) -> ImpliesTest:
    when, then = (tuple(_condition(schema, each) for each in side) for side in (link.premises, link.conclusions))
    return ImpliesTest(tuple(schema.index(name) for name in link.columns), when, then)


def _condition(schema: Schema, condition: Condition) -> ConditionTest:
    place, column = schema.index(condition.column), schema[condition.column]
    if isinstance(condition, Changed):
        return ConditionTest(place, changed=True)
    if isinstance(condition, Is):
        return ConditionTest(place, values=tuple(_as_number(column, value) for value in condition.values))
    lower, upper, above, below = condition_limits(condition, column)
    return ConditionTest(place, lower=lower, upper=upper, above=above, below=below, codes=_codes(column))


def _as_number(column: Column, value: object) -> float:
    if column.labeled:
        return float(category_place(column, value))
    return float(value) if isinstance(value, int | float) else math.nan


def _codes(column: Column) -> tuple[float, ...]:
    return tuple(float(atom.value) for atom in column.atoms if atom.kind == "code" and not atom.missing)


def _is_one_of(values: Tensor, known: Sequence[float]) -> Tensor:
    found = torch.zeros_like(values, dtype=torch.bool)
    for value in known:
        found = found | (values.isnan() if math.isnan(value) else values == value)
    return found
