r"""Principal reasons: which values of a row moved the model's decision, computed apart from any recourse.

A counterfactual says what would suffice; it does not say what weighed most. That is asked of the model alone: the
lead of the wished decision over its rivals (log-odds for two classes), :math:`v(x)`, is compared with that of
plausible rows :math:`b` of the wished class which the model accepts, and the difference is shared out among the
columns by Shapley values,

.. math:: v(x) - \frac1m \sum_i v(b_i) = \sum_j \varphi_j

each estimated from walks that turn :math:`b_i` into :math:`x` one column after the other, in a random order and in its
reverse. The rows on the way need not be plausible, and columns that hang together share their part by convention: the
numbers speak of the model, not of a cause, and are no legal notice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError
from counterflow.core.random import derive_seed, make_generator
from counterflow.counterfactuals.task import Task
from counterflow.counterfactuals.wording import interval_text, joined, plain_value
from counterflow.tables import Schema

__all__ = ["Attribution", "Reason", "Reasons", "attribute", "reasons_of"]

_POINTS_AT_ONCE = 2**16


class Reason(NamedTuple):
    """One value of a row, and what it did to the model's decision.

    ``contribution`` is its part of the difference to rows that are decided as wished, in log-odds (for a regressor in
    spreads of its values); ``error`` is the standard error of the estimate.
    """

    feature: str
    value: Any
    contribution: float
    error: float


class Attribution(NamedTuple):
    """What :func:`attribute` measures: ``lead - expected`` is the sum of the contributions of each row."""

    lead: Float[np.ndarray, " rows"]
    expected: Float[np.ndarray, " rows"]
    contributions: Float[np.ndarray, "rows columns"]
    errors: Float[np.ndarray, "rows columns"]
    met: Bool[np.ndarray, " rows"]


@dataclass(frozen=True, eq=False)
class Reasons:
    """The principal reasons of the model's decisions, for each row in input order.

    For a row that is not decided as wished they are the values that moved the decision away from the wish, the
    strongest first; for one that is, the values that moved it there.

    Args:
        schema: The columns.
        numbers: The rows, in the codec's form.
        desired: The wish for each row.
        attribution: The contributions of all columns.
        most: How many reasons a row has at most.

    Example:
        >>> from counterflow.tables import Column
        >>> schema = Schema((Column("income"), Column("debt")))
        >>> parts = np.array([[-2.0, 0.5]])
        >>> found = Attribution(np.array([-1.0]), np.array([0.5]), parts, 0 * parts, np.array([False]))
        >>> Reasons(schema, np.array([[800.0, 10.0]]), ["approved"], found, most=4).sentences()
        ["The factor that moved this decision most away from 'approved' was income (800)."]
    """

    schema: Schema
    numbers: Float[np.ndarray, "rows columns"]
    desired: Sequence[Any]
    attribution: Attribution
    most: int = 4

    def __post_init__(self) -> None:
        if self.most < 1:
            raise ArgumentError(f"the number of reasons must be at least 1, got {self.most}.")

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: int) -> list[Reason]:
        """The reasons of one row, the strongest first; fewer where fewer columns moved the decision that way."""
        parts, errors = self.attribution.contributions[row], self.attribution.errors[row]
        strength = parts if self.attribution.met[row] else -parts
        order = [place for place in np.argsort(-strength, kind="stable")[: self.most] if strength[place] > 0]
        columns = self.schema.columns
        return [
            Reason(columns[j].name, plain_value(columns[j], self.numbers[row, j]), float(parts[j]), float(errors[j]))
            for j in order
        ]

    def sentences(self) -> list[str]:
        """One sentence for each row, of the model alone."""
        return [self._sentence(row) for row in range(len(self))]

    def _sentence(self, row: int) -> str:
        wish = self.desired[row]
        named = interval_text(wish) if isinstance(wish, tuple) else f"'{wish}'" if isinstance(wish, str) else str(wish)
        side = "toward" if self.attribution.met[row] else "away from"
        reasons = [f"{reason.feature} ({_shown(reason.value)})" for reason in self[row]]
        if not reasons:
            return f"No value moved this decision {side} {named}."
        noun = "factor that moved this decision most" if len(reasons) == 1 else "factors that moved this decision most"
        return f"The {noun} {side} {named} {'was' if len(reasons) == 1 else 'were'} {joined(reasons)}."


def reasons_of(task: Task, desired: Sequence[Any], most: int) -> Reasons:
    """The reasons of the rows of a task, with the settings of :func:`attribute` as they are."""
    return Reasons(task.rules.schema, task.factuals.numpy(), desired, attribute(task), most=most)


def attribute(task: Task, *, pairs: int = 32, seed: int = 0) -> Attribution:
    """Share out what parts each row from plausible rows that the model decides for as wished.

    Args:
        task: The rows, the wishes, the model, and the pool of plausible rows.
        pairs: How many rows of the pool each row is compared with; each in a random order of columns and its reverse.
            The cost is ``2 * pairs * (columns + 1)`` rows that the model reads, for each row.
        seed: Where the orders come from; they are the same for all rows.

    Returns:
        The contributions, which add up exactly to the lead of each row less the mean lead of the rows compared with.

    Raises:
        ArgumentError: ``pairs`` is below 1.
        DataError: There are no plausible rows of a wished class.

    Reference:
        Strumbelj, Kononenko, "Explaining prediction models and individual predictions with feature contributions",
        2014, algorithm 1, with a reversed order for each order (Mitchell, Cooper, Frank, Holmes, 2022, section 3.2).
    """
    if pairs < 1:
        raise ArgumentError(f"pairs must be at least 1, got {pairs}.")
    rows, columns = task.factuals.shape
    lead, met = _lead(task, task.factuals)
    expected, parts, errors = lead.clone(), torch.zeros(rows, columns).double(), torch.zeros(rows, columns).double()
    for label in task.goal.target.unique().tolist():
        of_class = torch.nonzero(task.goal.target == label)[:, 0]
        guides = _accepted(task.of_rows(of_class[:1]), task.pool[label])[:pairs]
        orders = _orders(len(guides), columns, derive_seed(seed, "orders", str(label)))
        for some in of_class.split(max(1, _POINTS_AT_ONCE // (orders.shape[0] * orders.shape[1] * columns))):
            steps, start = _walk(task.of_rows(some), guides, orders)
            of_pair = steps.mean(2)
            parts[some], expected[some] = of_pair.mean(1), start.mean(1)
            spread = of_pair.std(1) if len(guides) > 1 else torch.full_like(of_pair[:, 0], torch.nan)
            errors[some] = spread / len(guides) ** 0.5
    return Attribution(*(each.numpy() for each in (lead, expected, parts, errors, met)))


def _lead(task: Task, numbers: Tensor) -> tuple[Tensor, Tensor]:
    """By how much the wish leads, and whether it is met."""
    output = task.verdict(numbers)
    return -task.goal.gap(output, margin=0.0), task.goal.met(output)


def _accepted(one: Task, guides: Tensor) -> Tensor:
    """The plausible rows that the model decides for as wished; all of them where it accepts none."""
    if not len(guides):
        raise DataError("there are no plausible rows of the wished class to compare with. Fit on more rows of it.")
    _, met = _lead(one.of_rows(torch.zeros(len(guides), dtype=torch.long)), guides)
    return guides[met] if met.any() else guides


def _orders(pairs: int, columns: int, seed: int) -> Tensor:
    """``(pairs, 2, columns)``: a random order of columns and its reverse for each pair."""
    generator = make_generator(seed)
    orders = torch.stack([torch.randperm(columns, generator=generator) for _ in range(pairs)])
    return torch.stack((orders, orders.flip(1)), 1)


def _walk(task: Task, guides: Tensor, orders: Tensor) -> tuple[Tensor, Tensor]:
    """What each column adds on the way from each guide to each row, ``(rows, pairs, 2, columns)``; the start's lead."""
    rows, (pairs, ways, columns) = len(task.factuals), orders.shape
    place = orders.argsort(-1)
    arrived = place[..., None, :] < torch.arange(columns + 1)[:, None]  # (pairs, 2, columns + 1, columns)
    steps = torch.where(arrived, task.factuals[:, None, None, None], guides[:, None, None])
    repeated = torch.arange(rows).repeat_interleave(pairs * ways * (columns + 1))
    lead, _ = _lead(task.of_rows(repeated), steps.flatten(0, -2))
    lead = lead.reshape(rows, pairs, ways, columns + 1)
    return lead.diff(dim=-1).gather(-1, place.expand(rows, -1, -1, -1)), lead[:, :, 0, 0]


def _shown(value: Any) -> str:
    return "missing" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)
