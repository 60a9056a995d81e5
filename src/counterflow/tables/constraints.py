"""What a person asks of an answer: what must stay, what may move which way, how much may change."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from counterflow.core.errors import ConstraintError
from counterflow.tables.column import Column
from counterflow.tables.hints import did_you_mean, listed
from counterflow.tables.link_text import as_links
from counterflow.tables.links import Link
from counterflow.tables.links_check import check_links
from counterflow.tables.schema import Schema

__all__ = ["Constraints", "asked_range", "check_constraints", "direction_of", "fixed_columns"]

LISTS = ("immutable", "increase_only", "decrease_only", "free")
Range = tuple[Any, Any]


@dataclass(frozen=True)
class Constraints:
    """Constraints of one question, on top of what the schema says.

    They bind changes: a value that stays as it is breaks none of them, even if it lies outside a range.

    Args:
        immutable: Columns that must not change.
        increase_only: Columns that may only go up (or along the order of their categories).
        decrease_only: Columns that may only go down.
        ranges: For a numeric or ordinal column ``(lowest, highest)`` of a changed value; ``None`` is open.
        max_changes: At most so many columns change.
        allowed: For a column of categories those that a change may choose.
        free: Protected columns that may change all the same.
        linked: Rules between columns, on top of the schema's: :class:`Linear`, :class:`Implies`, or their text such as
            ``"debt <= 0.4 * income"``. One binds where a column of it changed.
        cost: Factors on the schema's costs: ``{"income": 2}`` makes a change of income count twice.

    Raises:
        ConstraintError: A setting has the wrong form.

    Example:
        >>> Constraints(immutable=["sex"], ranges={"income": (0, 5000)}, max_changes=3).immutable
        ('sex',)
        >>> print(*Constraints(linked="debt <= 0.4 * income").linked)
        debt <= 0.4 * income
    """

    immutable: Sequence[str] = field(default=(), kw_only=True)
    increase_only: Sequence[str] = field(default=(), kw_only=True)
    decrease_only: Sequence[str] = field(default=(), kw_only=True)
    ranges: Mapping[str, Sequence[Any]] = field(default_factory=dict, kw_only=True)
    max_changes: int | None = field(default=None, kw_only=True)
    allowed: Mapping[str, Sequence[Any]] = field(default_factory=dict, kw_only=True)
    free: Sequence[str] = field(default=(), kw_only=True)
    linked: Sequence[Link | str] = field(default=(), kw_only=True)
    cost: Mapping[str, int | float] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        for name in LISTS:
            names = getattr(self, name)
            object.__setattr__(self, name, (names,) if isinstance(names, str) else tuple(names))
        object.__setattr__(self, "ranges", {name: _pair(name, limits) for name, limits in self.ranges.items()})
        object.__setattr__(self, "allowed", {name: _choices(name, labels) for name, labels in self.allowed.items()})
        object.__setattr__(self, "linked", as_links(self.linked))
        object.__setattr__(self, "cost", {name: _factor(name, factor) for name, factor in self.cost.items()})
        most = self.max_changes
        if most is not None and (isinstance(most, bool) or most % 1 or most < 1):
            raise ConstraintError(f"max_changes must be a whole number >= 1, got {most!r}. Leave it out for no limit.")

    @property
    def names(self) -> tuple[str, ...]:
        """All columns that a constraint on single columns names."""
        lists = [name for key in LISTS for name in getattr(self, key)]
        return tuple(dict.fromkeys([*lists, *self.ranges, *self.allowed, *self.cost]))

    @property
    def links(self) -> tuple[Link, ...]:
        """The rules between columns."""
        return as_links(self.linked)

    def to_dict(self) -> dict[str, Any]:
        """The constraints as plain data, without what is default."""
        usual = Constraints()
        data = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {key: _plain(value) for key, value in data.items() if value != getattr(usual, key)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Constraints":
        """Read what :meth:`to_dict` wrote.

        Raises:
            ConstraintError: A key is no constraint.
        """
        known = [entry.name for entry in fields(cls)]
        if wrong := [key for key in data if key not in known]:
            raise ConstraintError(f"there is no constraint {wrong[0]!r}.{did_you_mean(wrong[0], known)}")
        return cls(**data)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Link) else value


def _factor(name: str, factor: Any) -> float:
    if isinstance(factor, bool) or not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ConstraintError(f"the cost of {name!r} must be a finite factor above 0, got {factor!r}.")
    return float(factor)


def _pair(name: str, limits: Any) -> Range:
    if isinstance(limits, str) or not isinstance(limits, Sequence) or len(limits) != 2:
        raise ConstraintError(f"the range of {name!r} must be a pair (lowest, highest), got {limits!r}.")
    return (limits[0], limits[1])


def _choices(name: str, labels: Sequence[Any]) -> tuple[Any, ...]:
    choices = (labels,) if isinstance(labels, str) else tuple(labels)
    if not choices:
        raise ConstraintError(f"no category of {name!r} is allowed. To keep it as it is, name it in immutable=.")
    return choices


def check_constraints(schema: Schema, constraints: Constraints) -> None:
    """Find contradictions before any search.

    Raises:
        ConstraintError: Constraints contradict each other or the schema; the sentence names the column.

    Example:
        >>> schema = Schema((Column("age", "integer", lower=18, upper=99),))
        >>> check_constraints(schema, Constraints(increase_only=["agee"]))
        Traceback (most recent call last):
        counterflow.core.errors.ConstraintError: a constraint names 'agee', which is no column. Did you mean 'age'?
    """
    for name in constraints.names:
        if name not in schema.names:
            hint = did_you_mean(name, schema.names)
            raise ConstraintError(f"a constraint names {name!r}, which is no column.{hint}")
        column = schema[name]
        _check_pairs(name, constraints)
        _check_freedom(column, constraints)
        _check_direction(column, constraints)
    for name, limits in constraints.ranges.items():
        _check_range(schema[name], limits)
    for name, labels in constraints.allowed.items():
        _check_labels(schema[name], labels)
    if links := (*schema.links, *constraints.links):
        _check_linked(schema, constraints, links)


def _check_linked(schema: Schema, constraints: Constraints, links: Sequence[Link]) -> None:
    """The schema's rules with the question's bounds, and the question's own rules."""
    columns = {column.name: column for column in schema.columns}
    settings: dict[str, Any] = {
        "limits": {c.name: asked_range(c, constraints.ranges.get(c.name)) for c in schema.columns if c.numeric},
        "allowed": constraints.allowed,
    }
    check_links(links, columns, **settings)
    check_links(constraints.links, columns, fixed=fixed_columns(schema, constraints), **settings)


def fixed_columns(schema: Schema, constraints: Constraints) -> tuple[str, ...]:
    """The columns that schema and constraints together let nothing change in.

    Example:
        >>> fixed_columns(Schema((Column("age", actionable=False), Column("debt"))), Constraints())
        ('age',)
    """
    return tuple(
        column.name
        for column in schema.columns
        if column.name in constraints.immutable or (column.fixed and column.name not in constraints.free)
    )


def _check_pairs(name: str, constraints: Constraints) -> None:
    if name in constraints.increase_only and name in constraints.decrease_only:
        raise ConstraintError(
            f"{name!r} may only increase and only decrease: that leaves no change. Remove one of them."
        )
    others = ("increase_only", "decrease_only", "ranges", "allowed", "free")
    if name in constraints.immutable and (asked := [key for key in others if name in getattr(constraints, key)]):
        raise ConstraintError(f"{name!r} is immutable and also named in {asked[0]}. Remove one of them.")


def _check_freedom(column: Column, constraints: Constraints) -> None:
    if column.name in constraints.free and not column.actionable:
        raise ConstraintError(
            f"{column.name!r} cannot be freed: the schema says it is not actionable. Set actionable=True there."
        )


def _check_direction(column: Column, constraints: Constraints) -> None:
    asked = direction_of(column.name, constraints)
    if asked == "any":
        return
    if not column.numeric and len(column.categories) != 2:
        raise ConstraintError(f"{column.name!r} is categorical and has no direction. Use allowed= for its categories.")
    if column.direction not in ("any", asked):
        raise ConstraintError(f"{column.name!r} may only {asked} here, but only {column.direction} in the schema.")


def direction_of(name: str, constraints: Constraints) -> str:
    """The direction that the constraints alone ask of a column."""
    if name in constraints.increase_only:
        return "increase"
    return "decrease" if name in constraints.decrease_only else "any"


def asked_range(column: Column, limits: Sequence[Any] | None) -> tuple[float, float]:
    """The bounds of a changed value: those of the schema and of a constraint together, as numbers.

    Args:
        column: A numeric column.
        limits: The range asked, in numbers or, for an ordinal column with categories, in these; or ``None``.

    Raises:
        ConstraintError: The range is empty, no range, or lies outside the schema's bounds.

    Example:
        >>> asked_range(Column("income", lower=150, upper=3500), (0, 2000))
        (150.0, 2000.0)
    """
    lower, upper = column.bounds
    if limits is None:
        return lower, upper
    low, high = (_limit(column, limit, default) for limit, default in zip(limits, (lower, upper), strict=True))
    if low > high:
        raise ConstraintError(f"the range of {column.name!r} is empty: {limits[0]!r} exceeds {limits[1]!r}.")
    if low > upper or high < lower:
        raise ConstraintError(
            f"the range {limits[0]!r} to {limits[1]!r} of {column.name!r} lies outside the schema's bounds "
            f"{_shown(column, lower)} to {_shown(column, upper)}. Change one of them."
        )
    return max(low, lower), min(high, upper)


def _shown(column: Column, value: float) -> str:
    return repr(column.categories[int(value)]) if column.labeled else f"{value:g}"


def _limit(column: Column, limit: Any, default: float) -> float:
    if limit is None:
        return default
    if column.labeled:
        _check_labels(column, [limit])
        return float(column.categories.index(limit))
    if isinstance(limit, str | bool) or not hasattr(limit, "__float__") or limit != limit:
        raise ConstraintError(f"the range of {column.name!r} needs numbers or None, got {limit!r}.")
    return float(limit)


def _check_range(column: Column, limits: Sequence[Any]) -> None:
    if not column.numeric:
        raise ConstraintError(f"{column.name!r} is {column.kind} and has no range. Use allowed= for its categories.")
    low, high = asked_range(column, limits)
    grid = column.grid
    if grid and high - low < grid and not any(low <= round(low / grid + up) * grid <= high for up in (0, 1)):
        raise ConstraintError(f"the range of {column.name!r} holds no multiple of its step {grid:g}. Widen it.")


def _check_labels(column: Column, labels: Sequence[Any]) -> None:
    if not column.labeled:
        raise ConstraintError(f"{column.name!r} is {column.kind} and has no categories. Use ranges= for numbers.")
    for label in labels:
        if label not in column.categories:
            raise ConstraintError(
                f"{label!r} is no category of {column.name!r}, which has {listed(column.categories)}."
                f"{did_you_mean(label, column.categories)}"
            )
