"""Contradictions of rules between columns, found before any search."""

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from counterflow.core.errors import ConstraintError
from counterflow.tables.column import Column
from counterflow.tables.hints import did_you_mean, listed
from counterflow.tables.links import Changed, Condition, Implies, Is, Linear, Link, Within

__all__ = ["category_place", "check_links", "condition_limits"]

PASSES = 50
NEAR = 1e-9
Limits = tuple[float, float]


def check_links(
    links: Sequence[Link],
    columns: Mapping[str, Column],
    *,
    fixed: Sequence[str] = (),
    limits: Mapping[str, Limits] | None = None,
    allowed: Mapping[str, Sequence[Any]] | None = None,
) -> None:
    """Refuse rules that name what does not exist, that can never hold, or that can never bind.

    Whether linear rules can hold together is found by tightening the bounds of each column in turn: what is refused is
    impossible, but not all that is impossible is found.

    Args:
        links: The rules.
        columns: The columns by name.
        fixed: Columns that cannot change.
        limits: The bounds of changed values, for numeric and ordinal columns, as numbers; by default the columns' own.
        allowed: For some columns the categories that a change may choose.

    Raises:
        ConstraintError: One is a contradiction; the sentence quotes it.

    Example:
        >>> columns = {"a": Column("a", upper=9), "b": Column("b", lower=1)}
        >>> check_links([Linear({"a": 1, "b": -1}, lower=20)], columns)
        Traceback (most recent call last):
        counterflow.core.errors.ConstraintError: the rule 'a >= b + 20' can never hold: a - b is at most 8.
    """
    bounds = {name: column.bounds for name, column in columns.items()} | dict(limits or {})
    for link in links:
        _check_names(link, columns)
        _check_bindable(link, fixed)
        if isinstance(link, Linear):
            _check_linear(link, columns, bounds)
        else:
            _check_implication(link, columns, fixed=fixed, bounds=bounds, allowed=allowed or {})
    _check_together([link for link in links if isinstance(link, Linear)], columns, bounds)


def _error(link: Link, problem: str) -> ConstraintError:
    return ConstraintError(f"the rule {str(link)!r} {problem}")


def _check_names(link: Link, columns: Mapping[str, Column]) -> None:
    for name in link.columns:
        if name not in columns:
            blanks = " Put blanks around + and -." if "+" in name or "-" in name else ""
            raise _error(link, f"names {name!r}, which is no column.{did_you_mean(name, columns)}{blanks}")


def _check_bindable(link: Link, fixed: Sequence[str]) -> None:
    if all(name in fixed for name in link.columns):
        raise _error(link, f"binds nothing: {listed(link.columns)} may not change. Leave it out, or let one change.")


def _check_linear(link: Linear, columns: Mapping[str, Column], bounds: Mapping[str, Limits]) -> None:
    for name in link.columns:
        if not columns[name].numeric or columns[name].labeled:
            raise _error(link, f"adds {name!r}, which is {columns[name].kind} and no number. Write it with 'implies'.")
    (lower, upper), (least, most) = link.bounds, _extent(link, bounds)
    words = _words(link)
    if least > upper + _near(upper):
        raise _error(link, f"can never hold: {words} is at least {least:g}.")
    if most < lower - _near(lower):
        raise _error(link, f"can never hold: {words} is at most {most:g}.")
    _check_lattice(link, columns)


def _words(link: Linear) -> str:
    """The sum alone."""
    return str(Linear(link.coefficients, lower=-1.0, upper=1.0)).removeprefix("-1 <= ").removesuffix(" <= 1")


def _near(limit: float) -> float:
    """What rounding may do to a sum near a limit."""
    return NEAR * max(1.0, abs(limit)) if math.isfinite(limit) else 0.0


def _extent(link: Linear, bounds: Mapping[str, Limits], *, without: str = "") -> Limits:
    """The least and the greatest value of the sum, by interval arithmetic."""
    ends = [
        sorted((factor * bounds[name][0], factor * bounds[name][1]))
        for name, factor in link.coefficients.items()
        if name != without
    ]
    return sum((low for low, _ in ends), 0.0), sum((high for _, high in ends), 0.0)


def _check_lattice(link: Linear, columns: Mapping[str, Column]) -> None:
    """Whether values on the columns' grids can reach an equality (or a narrow range) at all."""
    grids = {name: columns[name].grid for name in link.columns}
    if link.lower is None or link.upper is None or any(grid is None for grid in grids.values()):
        return
    if any(columns[name].dtype == "Float32" for name in link.columns):
        return
    step = _common([_exact(factor) * _exact(grids[name] or 1.0) for name, factor in link.coefficients.items()])
    if math.ceil(_exact(link.lower) / step) > math.floor(_exact(link.upper) / step):
        raise _error(link, f"can never hold: on the grids of its columns the sum is a multiple of {float(step):g}.")


def _exact(number: float) -> Fraction:
    return Fraction(repr(float(number)))


def _common(steps: Sequence[Fraction]) -> Fraction:
    """The greatest fraction of which all are multiples."""
    denominator = math.lcm(*(step.denominator for step in steps))
    return Fraction(math.gcd(*(int(step * denominator) for step in steps)), denominator)


def _check_together(links: Sequence[Linear], columns: Mapping[str, Column], bounds: Mapping[str, Limits]) -> None:
    """Tighten the bounds of every column by every rule, until nothing moves or a column has no value left."""
    tight = dict(bounds)
    for _ in range(PASSES):
        before = dict(tight)
        for link in links:
            for name, factor in link.coefficients.items():
                low, high = _tightened(link, name, factor, tight)
                if low > high + max(_near(low), _near(high)):
                    raise _error(link, f"cannot hold together with the other rules: they leave no value for {name!r}.")
                tight[name] = (low, max(low, high))
        if tight == before:
            return


def _tightened(link: Linear, name: str, factor: float, bounds: Mapping[str, Limits]) -> Limits:
    """The bounds of one column that a rule leaves, given those of the others."""
    (lower, upper), (least, most) = link.bounds, _extent(link, bounds, without=name)
    ends = sorted(((lower - most) / factor, (upper - least) / factor))
    low, high = (-math.inf if math.isnan(ends[0]) else ends[0], math.inf if math.isnan(ends[1]) else ends[1])
    return max(bounds[name][0], low), min(bounds[name][1], high)


def _check_implication(
    link: Implies,
    columns: Mapping[str, Column],
    *,
    fixed: Sequence[str],
    bounds: Mapping[str, Limits],
    allowed: Mapping[str, Sequence[Any]],
) -> None:
    for condition in (*link.premises, *link.conclusions):
        _check_condition(link, condition, columns[condition.column])
    for condition in link.conclusions:
        name = condition.column
        if isinstance(condition, Changed) and name in fixed:
            raise _error(link, f"demands a change of {name!r}, which may not change.")
        if isinstance(condition, Within) and not _meets(condition, columns[name], bounds[name]):
            low, high = bounds[name]
            raise _error(link, f"demands what the bounds {low:g} to {high:g} of {name!r} forbid.")
        if isinstance(condition, Is) and columns[name].labeled and name in allowed:
            _check_allowed(link, condition, columns[name], allowed[name])


def _check_allowed(link: Implies, condition: Is, column: Column, allowed: Sequence[Any]) -> None:
    labels = [column.categories[category_place(column, value)] for value in condition.values]
    if not any(label in allowed for label in labels):
        raise _error(link, f"demands {listed(labels)} of {column.name!r}, of which none is allowed.")


def _check_condition(link: Implies, condition: Condition, column: Column) -> None:
    if isinstance(condition, Is):
        for value in condition.values:
            _check_value(link, column, value)
    if isinstance(condition, Within):
        if not column.numeric:
            raise _error(link, f"compares {column.name!r}, which is {column.kind} and has no order. Use 'in'.")
        for value in (condition.lower, condition.upper, condition.above, condition.below):
            if value is not None:
                _check_value(link, column, value)
        if not _meets(condition, column, (-math.inf, math.inf)):
            raise _error(link, f"has an empty range for {column.name!r}.")


def _check_value(link: Implies, column: Column, value: Any) -> None:
    if column.labeled:
        if category_place(column, value) < 0:
            hint = did_you_mean(value, column.categories)
            raise _error(link, f"names {value!r}, which is no category of {column.name!r}.{hint}")
    elif value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
        raise _error(link, f"compares {column.name!r} with {value!r}, which is no number.")


def category_place(column: Column, value: Any) -> int:
    """The position of the category that a value is, or is the text of; -1 where there is none.

    Example:
        >>> category_place(Column("floor", "ordinal", categories=(1, 2, 3)), "2")
        1
    """
    if value in column.categories:
        return column.categories.index(value)
    words = [None if category is None else str(category) for category in column.categories]
    return words.index(str(value)) if str(value) in words else -1


def condition_limits(condition: Within, column: Column) -> tuple[float, float, float, float]:
    """The bounds ``lower, upper, above, below`` as numbers, infinite where open.

    Example:
        >>> condition_limits(Within("grade", lower="b"), Column("grade", "ordinal", categories=("a", "b", "c")))
        (1.0, inf, -inf, inf)
    """
    given = (condition.lower, condition.upper, condition.above, condition.below)
    places = [limit if limit is None or not column.labeled else category_place(column, limit) for limit in given]
    lower, upper, above, below = (
        open_end if place is None else float(place)
        for place, open_end in zip(places, (-math.inf, math.inf, -math.inf, math.inf), strict=True)
    )
    return lower, upper, above, below


def _meets(condition: Within, column: Column, bounds: Limits) -> bool:
    """Whether a number (on the grid, where whole numbers are asked) satisfies the condition within bounds."""
    lower, upper, above, below = condition_limits(condition, column)
    low, high = max(lower, bounds[0]), min(upper, bounds[1])
    return low <= high and above < high and low < below and above < below
