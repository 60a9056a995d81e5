"""Rules between columns: linear equalities and inequalities, and "a implies b"."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from counterflow.core.errors import ConstraintError

__all__ = ["NUMBER", "RESERVED", "Changed", "Condition", "Implies", "Is", "Linear", "Link", "Within", "quoted"]

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
RESERVED = ("implies", "and", "in", "changes", "missing", "true", "false", "+", "-")
PLAIN = re.compile(r"[^\s()\"'*,<>=+-][^\s()\"'*,<>=]*")
Number = int | float
SIGNS = {"lower": ">=", "above": ">", "upper": "<=", "below": "<"}


@dataclass(frozen=True)
class Linear:
    r"""A linear rule between numeric columns.

    .. math:: \text{lower} \le \sum_j a_j x_j \le \text{upper}

    It binds a row in which one of its columns changed, unless one of them is at a special code or missing there. A rule
    with negative factors alone is kept with all its signs turned.

    Args:
        coefficients: The factor of each column.
        lower: The least value of the sum; ``None`` is open. An equality has ``lower == upper``.
        upper: The greatest.

    Raises:
        ConstraintError: No column has a factor, no side is bounded, or nothing lies between the bounds.

    Example:
        >>> print(Linear({"debt": 1, "income": -0.4}, upper=0))
        debt <= 0.4 * income
    """

    coefficients: Mapping[str, Number]
    lower: Number | None = field(default=None, kw_only=True)
    upper: Number | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        factors = {name: float(factor) for name, factor in self.coefficients.items() if factor != 0}
        if not factors:
            raise ConstraintError("a linear rule needs a column with a factor other than 0, got none.")
        if wrong := [name for name, factor in factors.items() if not math.isfinite(factor)]:
            raise ConstraintError(f"the factor of {wrong[0]!r} must be finite, got {factors[wrong[0]]}.")
        object.__setattr__(self, "coefficients", factors)
        for side, open_end in (("lower", -math.inf), ("upper", math.inf)):
            limit = getattr(self, side)
            object.__setattr__(self, side, None if limit is None or limit == open_end else float(limit))
        self._check_bounds()
        if all(factor < 0 for factor in factors.values()):
            (lower, upper), turned = self.bounds, {name: -factor for name, factor in factors.items()}
            for side, value in (("coefficients", turned), ("lower", _finite(-upper)), ("upper", _finite(-lower))):
                object.__setattr__(self, side, value)

    def _check_bounds(self) -> None:
        lower, upper = self.bounds
        if self.lower is None and self.upper is None:
            raise ConstraintError(f"a linear rule of {', '.join(self.columns)} needs a lower or an upper bound.")
        if not lower <= upper or lower == math.inf or upper == -math.inf:
            raise ConstraintError(
                f"a linear rule of {', '.join(self.columns)} must have lower <= upper, got {lower:g} and {upper:g}."
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it speaks of."""
        return tuple(self.coefficients)

    @property
    def bounds(self) -> tuple[float, float]:
        """``(lower, upper)``, infinite where open."""
        return -math.inf if self.lower is None else self.lower, math.inf if self.upper is None else self.upper

    def __str__(self) -> str:
        if self.lower is not None and self.upper is not None and self.lower != self.upper:
            return f"{_number(self.lower)} <= {_sum(self.coefficients)} <= {_number(self.upper)}"
        left = {name: factor for name, factor in self.coefficients.items() if factor > 0}
        right = {name: -factor for name, factor in self.coefficients.items() if factor < 0}
        sign = "=" if self.lower == self.upper else ">=" if self.upper is None else "<="
        limit = self.lower if self.upper is None else self.upper
        return f"{_sum(left)} {sign} {_sum(right, limit or 0.0)}"


@dataclass(frozen=True)
class Is:
    """The condition that a column has one of some values.

    Args:
        column: Its name.
        values: A value or several: categories, or numbers of a numeric column; ``None`` is the missing value.

    Raises:
        ConstraintError: There is no value.

    Example:
        >>> print(Is("relationship", ("Husband", "Wife")))
        relationship in (Husband, Wife)
    """

    column: str
    values: Any

    def __post_init__(self) -> None:
        single = isinstance(self.values, str) or not isinstance(self.values, Sequence)
        object.__setattr__(self, "values", (self.values,) if single else tuple(self.values))
        if not self.values:
            raise ConstraintError(f"a condition on {self.column!r} needs at least one value.")

    def __str__(self) -> str:
        words = [_value(value) for value in self.values]
        return f"{quoted(self.column)} " + (f"= {words[0]}" if len(words) == 1 else f"in ({', '.join(words)})")


@dataclass(frozen=True)
class Within:
    """The condition that a numeric or ordinal column lies in a range; a special code never does.

    Args:
        column: Its name.
        lower: The least value, in numbers or, for an ordinal column with categories, in these.
        upper: The greatest value.
        above: A value it must exceed.
        below: A value it must stay under.

    Raises:
        ConstraintError: No side is bounded, or one is bounded twice.

    Example:
        >>> print(Within("children", above=0), "|", Within("age", lower=18, upper=30))
        children > 0 | 18 <= age <= 30
    """

    column: str
    lower: Any = field(default=None, kw_only=True)
    upper: Any = field(default=None, kw_only=True)
    above: Any = field(default=None, kw_only=True)
    below: Any = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        limits = [side for side in SIGNS if getattr(self, side) is not None]
        if not limits:
            raise ConstraintError(f"a condition on the range of {self.column!r} needs a bound.")
        for pair in (("lower", "above"), ("upper", "below")):
            if set(pair) <= set(limits):
                raise ConstraintError(f"a condition on {self.column!r} has both {pair[0]} and {pair[1]}. Keep one.")

    def __str__(self) -> str:
        sides = {side: _value(getattr(self, side)) for side in SIGNS if getattr(self, side) is not None}
        name = quoted(self.column)
        if len(sides) == 1:
            ((side, limit),) = sides.items()
            return f"{name} {SIGNS[side]} {limit}"
        (low, least), (high, most) = sides.items()
        return f"{least} {SIGNS[low].replace('>', '<')} {name} {SIGNS[high]} {most}"


@dataclass(frozen=True)
class Changed:
    """The condition that a column is not as the factual row has it.

    Example:
        >>> print(Changed("job"))
        job changes
    """

    column: str

    def __str__(self) -> str:
        return f"{quoted(self.column)} changes"


Condition = Is | Within | Changed


@dataclass(frozen=True)
class Implies:
    """The rule that where some conditions hold, others must hold too.

    It binds a row in which one of its columns changed.

    Args:
        when: A condition, or several that must all hold.
        then: A condition, or several that must all hold in that case.

    Raises:
        ConstraintError: A side is empty.

    Example:
        >>> print(Implies(Is("marital-status", "Married"), Is("relationship", ("Husband", "Wife"))))
        marital-status = Married implies relationship in (Husband, Wife)
    """

    when: Condition | Sequence[Condition]
    then: Condition | Sequence[Condition]

    def __post_init__(self) -> None:
        for side, conditions in (("when", self.premises), ("then", self.conclusions)):
            if not conditions:
                raise ConstraintError(f"an implication needs a condition on each side, and its {side!r} has none.")
            object.__setattr__(self, side, conditions)

    @property
    def premises(self) -> tuple[Condition, ...]:
        """The conditions that start it."""
        return (self.when,) if isinstance(self.when, Condition) else tuple(self.when)

    @property
    def conclusions(self) -> tuple[Condition, ...]:
        """The conditions that must hold in that case."""
        return (self.then,) if isinstance(self.then, Condition) else tuple(self.then)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it speaks of."""
        return tuple(dict.fromkeys(condition.column for condition in (*self.premises, *self.conclusions)))

    def __str__(self) -> str:
        sides = (" and ".join(map(str, side)) for side in (self.premises, self.conclusions))
        return " implies ".join(sides)


Link = Linear | Implies


def _finite(limit: float) -> float | None:
    """A limit, without negative zero; ``None`` where it is infinite."""
    return limit + 0.0 if math.isfinite(limit) else None


def quoted(word: str) -> str:
    """A name or label as the text form has it: in quotes where it could be read as something else.

    Example:
        >>> quoted("marital-status"), quoted("capital gain"), quoted("3")
        ('marital-status', '"capital gain"', '"3"')
    """
    plain = PLAIN.fullmatch(word) and not NUMBER.fullmatch(word) and word not in RESERVED
    return word if plain else json.dumps(word, ensure_ascii=False)


def _value(value: Any) -> str:
    match value:
        case None:
            return "missing"
        case bool():
            return str(value).lower()
        case int() | float():
            return _number(value)
        case _:
            return quoted(str(value))


def _number(value: Number) -> str:
    """The shortest decimal that parses to the very number."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _sum(factors: Mapping[str, float], constant: float = 0.0) -> str:
    """A sum of columns with their factors, and a constant."""
    terms = [(factor, quoted(name) if abs(factor) == 1 else f"{_number(abs(factor))} * {quoted(name)}")
             for name, factor in factors.items()]  # fmt: skip
    terms += [(constant, _number(abs(constant)))] if constant or not terms else []
    (first, words), *rest = terms
    start = words if first >= 0 else f"-{words}"
    return start + "".join(f" {'-' if factor < 0 else '+'} {word}" for factor, word in rest)
