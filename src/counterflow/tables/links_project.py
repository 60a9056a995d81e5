"""From rows that are legal column by column to rows that keep the rules between columns too.

A broken linear rule is mended by the cheapest move of one column, onto its grid; where no single column can do it, by
moves of several. A broken implication is followed through, or else its beginning is taken back. As
rules may share columns, this goes round a few times. What is broken even then is undone: all columns of such a rule go
back to the factual, which is legal always. So what leaves :func:`keep_links` keeps every rule, by construction.
"""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.tables.links_compile import ConditionTest, ImpliesTest, LinearTest, LinkTest

if TYPE_CHECKING:
    import counterflow.tables.rules

__all__ = ["keep_links"]

SWEEPS = 4
NUDGES = (1, -1, 2, -2, 3, -3, 4, -4)
NEW_CHANGE = 0.1
BEYOND = 1e-6
HOPELESS = 1e12


def keep_links(
    rules: "counterflow.tables.rules.Rules",
    numbers: Float[Tensor, "n d"],
    *,
    may_move: Bool[Tensor, "n d"] | None = None,
) -> Float[Tensor, "n d"]:
    """Mend what breaks a rule between columns, and undo what cannot be mended.

    Args:
        rules: The rules of these rows.
        numbers: Rows that are legal column by column; one that keeps every rule comes back as it is.
        may_move: Which entries mending may move, where the rules let them; by default all. Any may go back.

    Returns:
        Rows that keep every rule, and are legal column by column still.
    """
    open_ = torch.ones_like(rules.movable) if may_move is None else may_move
    for _ in range(SWEEPS):
        before = numbers
        for link in rules.links:
            rows = torch.nonzero(link.broken(numbers, rules.changed(numbers)))[:, 0]
            if len(rows):
                numbers = numbers.index_copy(0, rows, _mended(rules.take(rows), link, numbers[rows], open_[rows]))
        if numbers is before:
            return numbers
    return _undone(rules, numbers)


def _undone(rules: "counterflow.tables.rules.Rules", numbers: Tensor) -> Tensor:
    """Put all columns of broken rules back; each round changes fewer columns, so this ends."""
    for _ in range(numbers.shape[1] + 1):
        back = torch.zeros_like(rules.movable)
        for link in rules.links:
            broken = link.broken(numbers, rules.changed(numbers))
            back[:, list(link.columns)] |= broken[:, None]
        if not bool(back.any()):
            break
        numbers = torch.where(back, rules.factual, numbers)
    return numbers


def _mended(rules: "counterflow.tables.rules.Rules", link: LinkTest, numbers: Tensor, may_move: Tensor) -> Tensor:
    """Rows that broke one rule, mended as far as may be."""
    if isinstance(link, ImpliesTest):
        return _followed(rules, link, numbers, may_move)
    for _ in link.columns:
        numbers = _moved(rules, link, numbers, may_move)
    if link.lower != link.upper:
        return numbers
    for nudged in _nudged(rules, link, numbers, may_move):
        kept = (link.shift(numbers) == 0) | (link.shift(nudged) != 0)
        numbers = torch.where(kept[:, None], numbers, nudged)
    return numbers


def _moved(rules: "counterflow.tables.rules.Rules", link: LinearTest, numbers: Tensor, may_move: Tensor) -> Tensor:
    """Move one column: the cheapest with which the rule is kept, else the one that leaves least of the gap."""
    shift = link.shift(numbers)
    trials = torch.stack([numbers, *_single_moves(rules, link, numbers, may_move)])
    left = link.shift(trials).abs()
    share = left / shift.abs().clamp(min=1e-300)
    score = torch.where(left == 0, _price(rules, trials, numbers), HOPELESS * (1 + share))
    score[0] = torch.where(shift == 0, -math.inf, HOPELESS * (2 - BEYOND))
    best = score.argmin(0)
    return trials[best, torch.arange(len(numbers), device=numbers.device)]


def _single_moves(
    rules: "counterflow.tables.rules.Rules", link: LinearTest, numbers: Tensor, may_move: Tensor
) -> Iterator[Tensor]:
    """For each column of the rule: the rows with it moved onto the bound, and with it put back."""
    for column, factor in zip(link.columns, link.factors, strict=True):
        back = numbers.clone()
        back[:, column] = rules.factual[:, column]
        yield back
        far = numbers.clone()
        far[:, column] = far[:, column] + link.shift(numbers) / factor
        up = (link.shift(numbers) / factor > 0)[:, None]
        rounded = torch.where(up, rules.grid.ceil(far), rules.grid.floor(far))
        if link.lower == link.upper:
            rounded = rules.grid.snap(far)
        yield _legally(rules, numbers, column, rounded[:, column], may_move)


def _legally(
    rules: "counterflow.tables.rules.Rules", numbers: Tensor, column: int, values: Tensor, may_move: Tensor
) -> Tensor:
    """The rows with other values in one column, as far as its own rules allow them there."""
    trial = numbers.clone()
    trial[:, column] = values
    legal = rules.column_by_column(trial)[:, column]
    trial[:, column] = torch.where(may_move[:, column], legal, numbers[:, column])
    return trial


def _nudged(
    rules: "counterflow.tables.rules.Rules", link: LinearTest, numbers: Tensor, may_move: Tensor
) -> Iterator[Tensor]:
    """Where grids of different widths stand against an equality: one column some steps aside, then another onto it."""
    for steps in NUDGES:
        for column in link.columns:
            grid = rules.schema.columns[column].grid
            if grid is not None and bool((link.shift(numbers) != 0).any()):
                aside = _legally(rules, numbers, column, numbers[:, column] + steps * grid, may_move)
                yield _moved(rules, link, aside, may_move)


def _price(rules: "counterflow.tables.rules.Rules", trials: Tensor, numbers: Tensor) -> Tensor:
    """What moves cost: their lengths in units of the columns, and a little for each column changed anew."""
    size = ((trials - numbers).abs() / rules.scale).nan_to_num(1.0)
    anew = rules.changed(trials) & ~rules.changed(numbers)
    return ((size + NEW_CHANGE * anew) * rules.cost).sum(-1)


def _followed(rules: "counterflow.tables.rules.Rules", link: ImpliesTest, numbers: Tensor, may_move: Tensor) -> Tensor:
    """Make the conclusion hold; where that is not legal, take back what leads to it."""
    trial = numbers
    for condition in link.then:
        missing = ~condition.holds(trial, rules.changed(trial))
        trial = torch.where(missing[:, None], _fulfilled(rules, condition, trial, may_move), trial)
    for attempt in (trial, *_taken_back(rules, link, numbers)):
        broken = link.broken(numbers, rules.changed(numbers))
        mended = broken & ~link.broken(attempt, rules.changed(attempt))
        numbers = torch.where(mended[:, None], attempt, numbers)
    return numbers


def _taken_back(rules: "counterflow.tables.rules.Rules", link: ImpliesTest, numbers: Tensor) -> Iterator[Tensor]:
    for condition in link.when:
        back = numbers.clone()
        back[:, condition.column] = rules.factual[:, condition.column]
        yield back


def _fulfilled(
    rules: "counterflow.tables.rules.Rules", condition: ConditionTest, numbers: Tensor, may_move: Tensor
) -> Tensor:
    """The rows with the nearest legal value in a column that satisfies the condition; as they are where none does."""
    best, least = numbers, torch.full_like(numbers[:, 0], math.inf)
    ordered = rules.schema.columns[condition.column].numeric
    for values in _satisfying(rules, condition, numbers):
        trial = _legally(rules, numbers, condition.column, values, may_move)
        distance = (trial - numbers)[:, condition.column].abs().nan_to_num(1.0) * ordered
        better = condition.holds(trial, rules.changed(trial)) & (distance < least)
        best, least = torch.where(better[:, None], trial, best), torch.where(better, distance, least)
    return best


def _satisfying(rules: "counterflow.tables.rules.Rules", condition: ConditionTest, numbers: Tensor) -> Iterator[Tensor]:
    """Values of a column that may satisfy a condition: the factual first, then those it names."""
    here = numbers[:, condition.column]
    yield rules.factual[:, condition.column]
    if condition.values is not None:
        yield from (torch.full_like(here, value) for value in condition.values)
    elif not condition.changed:
        column = rules.schema.columns[condition.column]
        step = column.grid or (1.0 if column.labeled else BEYOND * float(rules.scale[condition.column]))
        yield _onto_grid(rules, here.nan_to_num(0.0).clamp(condition.lower, condition.upper), condition)
        yield _onto_grid(rules, torch.full_like(here, condition.above + step), condition)
        yield _onto_grid(rules, torch.full_like(here, condition.below - step), condition)


def _onto_grid(rules: "counterflow.tables.rules.Rules", values: Tensor, condition: ConditionTest) -> Tensor:
    """Finite values on the grid of the condition's column, rounded into its range."""
    full = values.nan_to_num(0.0, posinf=0.0, neginf=0.0)[:, None].expand(-1, len(rules.schema))
    column = condition.column
    up, down = rules.grid.ceil(full)[:, column], rules.grid.floor(full)[:, column]
    return torch.where(down < condition.lower, up, down)
