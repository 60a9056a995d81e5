"""Which rules a changed row breaks, read off schema and constraints value by value: slow, plain, independent."""

import math
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from counterflow.tables.column import Column
from counterflow.tables.constraints import Constraints
from counterflow.tables.links import Changed, Condition, Implies, Is, Linear, Within
from counterflow.tables.schema import Schema

__all__ = ["broken_rules"]


def broken_rules(
    schema: Schema, constraints: Constraints, *, before: Sequence[float], after: Sequence[float]
) -> list[str]:
    """Say which rules a row breaks.

    Args:
        schema: The columns.
        constraints: What was asked.
        before: The factual row, as :class:`TableCodec` gives it.
        after: The changed row.

    Returns:
        One phrase for each broken rule; empty if the row is legal.

    Example:
        >>> schema = Schema((Column("age", "integer", upper=99),))
        >>> broken_rules(schema, Constraints(immutable=["age"]), before=[30.0], after=[31.0])
        ["'age' changed from 30 to 31, but must not change"]
    """
    changed = [
        (column, old, new)
        for column, old, new in zip(schema.columns, before, after, strict=True)
        if not (old == new or (math.isnan(old) and math.isnan(new)))
    ]
    broken = [phrase for column, old, new in changed for phrase in _of_column(column, constraints, old, new)]
    if constraints.max_changes is not None and len(changed) > constraints.max_changes:
        broken.append(f"{len(changed)} columns changed, but at most {constraints.max_changes} may")
    moved = {column.name for column, _, _ in changed}
    for link in (*schema.links, *constraints.links):
        if moved & set(link.columns) and _fails(schema, link, dict(zip(schema.names, after, strict=True)), moved):
            broken.append(f"the rule {str(link)!r} is broken")
    return broken


def _fails(schema: Schema, link: Linear | Implies, row: Mapping[str, float], moved: set[str]) -> bool:
    """Whether a rule between columns does not hold in a row."""
    if isinstance(link, Linear):
        return _sum_fails(schema, link, row)
    begins, follows = (
        all(_holds(schema[each.column], each, row[each.column], moved=each.column in moved) for each in side)
        for side in (link.premises, link.conclusions)
    )
    return begins and not follows


def _sum_fails(schema: Schema, link: Linear, row: Mapping[str, float]) -> bool:
    """Whether the exact sum of decimals misses a bound by more than its terms may be rounded."""
    total = rounding = Fraction(0)
    for name, factor in link.coefficients.items():
        atom = schema[name].code_of(row[name])
        if math.isnan(row[name]) or (atom is not None and atom.kind == "code"):
            return False  # a code is no number: there is no sum
        term = Fraction(repr(factor)) * Fraction(repr(float(row[name])))
        total += term
        rounding += abs(term) * (Fraction("2e-7") if schema[name].dtype == "Float32" else Fraction("1e-12"))
    lower, upper = (None if limit is None else Fraction(repr(limit)) for limit in (link.lower, link.upper))
    short = lower is not None and lower - total > rounding + abs(lower) * Fraction("1e-12")
    return short or (upper is not None and total - upper > rounding + abs(upper) * Fraction("1e-12"))


def _holds(column: Column, condition: Condition, value: float, *, moved: bool) -> bool:
    """Whether a condition holds for one value."""
    if isinstance(condition, Changed):
        return moved
    if column.labeled and value not in range(len(column.categories)):
        return False
    shown = column.categories[int(value)] if column.labeled else None if math.isnan(value) else value
    if isinstance(condition, Is):
        return any(shown == wanted or (column.labeled and str(shown) == wanted) for wanted in condition.values)
    atom = None if column.labeled else column.code_of(value)
    return not math.isnan(value) and not (atom and atom.kind == "code") and _lies_within(column, condition, value)


def _lies_within(column: Column, condition: Within, value: float) -> bool:
    def place(limit: Any) -> Any:
        fits = [at for at, label in enumerate(column.categories) if label == limit or str(label) == limit]
        return fits[0] if column.labeled and limit is not None else limit

    lower, upper = place(condition.lower), place(condition.upper)
    above, below = place(condition.above), place(condition.below)
    return (
        (lower is None or value >= lower)
        and (upper is None or value <= upper)
        and (above is None or value > above)
        and (below is None or value < below)
    )


def _of_column(column: Column, constraints: Constraints, old: float, new: float) -> Iterator[str]:
    name, asked = column.name, constraints
    held = name in asked.immutable or not column.actionable or (column.protected and name not in asked.free)
    if held:
        yield f"{name!r} changed from {old:g} to {new:g}, but must not change"
    source = next((atom for atom in column.atoms if atom.matches(old)), None)
    goal = next((atom for atom in column.atoms if atom.matches(new)), None)
    if source is not None and not source.may_change:
        yield f"{name!r} left its atom {old:g}, which may not change"
    if goal is not None and not goal.allowed:
        yield f"{name!r} landed on its atom {new:g}, which is not allowed"
    code = (source is not None and source.kind == "code") or (goal is not None and goal.kind == "code")
    yield from _of_direction(column, constraints, old, new, code=code)
    if goal is not None and goal.kind == "code":
        if name in asked.ranges:
            yield f"{name!r} landed on the code {new:g}, but has a range"
    elif column.labeled:
        yield from _of_category(column, constraints, new)
    else:
        yield from _of_number(column, constraints, new)


def _of_direction(column: Column, constraints: Constraints, old: float, new: float, *, code: bool) -> Iterator[str]:
    up = column.name in constraints.increase_only or column.direction == "increase"
    down = column.name in constraints.decrease_only or column.direction == "decrease"
    if (up or down) and code:
        yield f"{column.name!r} has a direction, so it may not leave or land on a code"
    elif up and not new > old:
        yield f"{column.name!r} went down from {old:g} to {new:g}, but may only increase"
    elif down and not new < old:
        yield f"{column.name!r} went up from {old:g} to {new:g}, but may only decrease"


def _of_category(column: Column, constraints: Constraints, new: float) -> Iterator[str]:
    if new not in range(len(column.categories)):
        yield f"{column.name!r} has no category at position {new:g}"
        return
    label = column.categories[int(new)]
    allowed = constraints.allowed.get(column.name)
    if allowed is None and label is None:
        yield f"{column.name!r} became missing"
    if allowed is not None and label not in allowed:
        yield f"{column.name!r} became {label!r}, which is not allowed"
    limits = constraints.ranges.get(column.name, (None, None))
    low, high = (None if limit is None else column.categories.index(limit) for limit in limits)
    if (low is not None and new < low) or (high is not None and new > high):
        yield f"{column.name!r} became {label!r}, which is outside its range"


def _of_number(column: Column, constraints: Constraints, new: float) -> Iterator[str]:
    if not math.isfinite(new):
        yield f"{column.name!r} is {new:g}, which is no finite number"
        return
    asked = constraints.ranges.get(column.name, (None, None))
    for low, high in ((column.lower, column.upper), asked):
        if not (-math.inf if low is None else low) <= new <= (math.inf if high is None else high):
            yield f"{column.name!r} is {new:g}, which is outside {low} to {high}"
    if column.grid is not None and not _on_grid(column, new):
        yield f"{column.name!r} is {new:g}, which is not on its grid of {column.grid:g}"


def _on_grid(column: Column, value: float) -> bool:
    """Whether the value is the float nearest to a multiple of the grid."""
    grid = Fraction(repr(float(column.grid or 1.0)))
    nearest = float(round(Fraction(value) / grid) * grid)
    return value == (float(np.float32(nearest)) if column.dtype == "Float32" else nearest)
