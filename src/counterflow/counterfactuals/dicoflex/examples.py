"""What the flow learns from: rows, what is asked of them, and their nearest rows of the class that is wished for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import DataError
from counterflow.counterfactuals.dicoflex.neighbors import Neighbors
from counterflow.tables import Rules, Schema

__all__ = ["Examples", "changeable", "collect_examples", "draw_masks", "fixed_columns"]

_ROWS_AT_ONCE = 2**16
_ANSWERS = 16


@dataclass(frozen=True)
class Examples:
    """Questions and their answers among the rows of a table.

    Args:
        factuals: The row that each question is about.
        target: The class wished for.
        locked: The columns that must stay.
        norm: The exponent of the distance.
        answers: For each question rows of the class near it, what is locked put back; ``(questions, most, columns)``.
        count: How many of these there are: the first so many, at least one.
    """

    factuals: Float[Tensor, "questions columns"]
    target: Int[Tensor, " questions"]
    locked: Bool[Tensor, "questions columns"]
    norm: Float[Tensor, " questions"]
    answers: Float[Tensor, "questions most columns"]
    count: Int[Tensor, " questions"]

    def __len__(self) -> int:
        return len(self.factuals)

    def of_rows(self, rows: Tensor) -> "Examples":
        """Some of the questions."""
        parts = (self.factuals, self.target, self.locked, self.norm, self.answers, self.count)
        return Examples(*(part[rows] for part in parts))

    def one_answer(self, generator: torch.Generator) -> Float[Tensor, "questions columns"]:
        """One of the answers to each question, at random."""
        share = torch.rand(len(self), generator=generator)
        return self.answers[torch.arange(len(self)), (share * self.count).long()]


def draw_masks(
    count: int, columns: int, *, generator: torch.Generator, free: float = 0.4
) -> Bool[Tensor, "count columns"]:
    """Random sets of locked columns: none with the chance ``free``, else each column with a chance of its own row."""
    chance = torch.rand(count, 1, generator=generator)
    chance = torch.where(torch.rand(count, 1, generator=generator) < free, 0.0, chance)
    return torch.rand(count, columns, generator=generator) < chance


def fixed_columns(schema: Schema, numbers: Float[Tensor, "rows columns"]) -> Bool[Tensor, "rows columns"]:
    """What the schema alone lets nobody change in each row: protected columns, codes that stay."""
    return ~changeable(Rules.compile(schema, None, numbers))


def changeable(rules: Rules) -> Bool[Tensor, "rows columns"]:
    """Which entries the rules let change in any way."""
    away = rules.may_land & (rules.factual[:, rules.atom_column] != rules.atom_value)
    lands = torch.zeros_like(rules.factual).index_add(1, rules.atom_column, away.double()) > 0
    return rules.movable | rules.may_switch | (lands & ~rules.at_code)


def collect_examples(
    schema: Schema,
    numbers: Float[Tensor, "rows columns"],
    labels: Int[Tensor, " rows"],
    *,
    pools: Sequence[Float[Tensor, "_ columns"]],
    scale: Float[Tensor, " columns"],
    decide: Callable[[Tensor], Tensor],
    norms: Sequence[float],
    count: int,
    neighbors: int,
    generator: torch.Generator,
    masks: Callable[[int], Tensor] | None = None,
) -> Examples:
    """Ask ``count`` random questions and find the nearest rows of each.

    Every class is asked for as often as any other, of rows of all other classes. What is locked in a question is put
    back into its neighbors; one that the model then no longer decides as wished is left out.

    Args:
        schema: The columns.
        numbers: The rows that questions are about.
        labels: What the model decides for each.
        pools: For each class, the rows that may be neighbors.
        scale: The standardized unit of each column.
        decide: The model's decisions for rows.
        norms: The exponents of the distance, each as often as any other.
        count: How many questions.
        neighbors: The most answers to each.
        generator: Where the questions come from.
        masks: Draws so many sets of locked columns; by default :func:`draw_masks`.

    Returns:
        The examples; a question without answers is left out.

    Raises:
        DataError: No question has an answer.
    """
    draw = masks or (lambda rows: draw_masks(rows, len(schema), generator=generator))
    parts: list[Examples] = []
    for target, pool in enumerate(pools):
        others = torch.nonzero(labels != target)[:, 0]
        if not len(pool) or not len(others):
            continue
        near = Neighbors(schema, pool, scale=scale)
        for norm in norms:
            share = max(1, count // (len(pools) * len(norms)))
            rows = others[torch.randint(len(others), (share,), generator=generator)]
            locked = draw(share) | fixed_columns(schema, numbers[rows])
            parts.append(
                _ask(
                    near,
                    pool,
                    numbers[rows],
                    target,
                    locked,
                    norm=norm,
                    most=neighbors,
                    decide=decide,
                    generator=generator,
                )
            )
    found = sum(len(part) for part in parts)
    if not found:
        raise DataError("no row of the table has a neighbor of another class: there is nothing to learn from.")
    width = max(part.answers.shape[1] for part in parts)
    names = ("factuals", "target", "locked", "norm", "answers", "count")
    return Examples(*(torch.cat([_widened(part, name, width) for part in parts]) for name in names))


def _ask(
    near: Neighbors,
    pool: Tensor,
    factuals: Tensor,
    target: int,
    locked: Tensor,
    *,
    norm: float,
    most: int,
    decide: Callable[[Tensor], Tensor],
    generator: torch.Generator,
) -> Examples:
    """Questions of one class and one exponent, with a few of the ``most`` nearest rows of each."""
    _, places = near.find(factuals, locked=locked, norm=norm, count=min(most, len(pool)))
    some = torch.rand(places.shape, generator=generator).argsort(1)[:, :_ANSWERS]
    neighbors = pool[places.gather(1, some)]
    answers = torch.where(locked.unsqueeze(1), factuals.unsqueeze(1), neighbors)
    good = _still_decided(answers, neighbors, target, decide)
    order = (~good).long().argsort(dim=1, stable=True)
    answers = answers.gather(1, order.unsqueeze(-1).expand_as(answers))
    kept = torch.nonzero(good.any(1))[:, 0]
    norms = torch.full((len(kept),), norm, dtype=torch.float64)
    return Examples(
        factuals[kept], torch.full_like(kept, target), locked[kept], norms, answers[kept], good.sum(1)[kept]
    )


def _still_decided(answers: Tensor, neighbors: Tensor, target: int, decide: Callable[[Tensor], Tensor]) -> Tensor:
    """Which answers the model decides as wished; those that are real rows of the class need not be asked about."""
    same = (answers == neighbors) | (answers.isnan() & neighbors.isnan())
    good = same.all(-1)
    doubtful = ~good
    parts = answers[doubtful].split(_ROWS_AT_ONCE)
    if bool(doubtful.any()):
        good[doubtful] = torch.cat([decide(part) == target for part in parts])
    return good


def _widened(part: Examples, name: str, width: int) -> Tensor:
    """One field, with room for as many answers as any part has."""
    value: Tensor = getattr(part, name)
    if name != "answers" or value.shape[1] == width:
        return value
    return torch.cat((value, value[:, :1].expand(-1, width - value.shape[1], -1)), 1)
