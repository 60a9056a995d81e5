"""One column of a table: its kind, its bounds, its atoms, and what may be done to it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from counterflow.core.errors import SchemaError
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["DIRECTIONS", "Atom", "Column", "Kind"]

DIRECTIONS = ("any", "increase", "decrease")
Number = int | float
VERB_KEYS = ("increase", "decrease", "increased", "decreased")


class Kind(StrEnum):
    """What the values of a column are.

    Example:
        >>> Kind("integer") is Kind.INTEGER
        True
    """

    CONTINUOUS = "continuous"
    INTEGER = "integer"
    ORDINAL = "ordinal"
    CATEGORICAL = "categorical"
    BINARY = "binary"


@dataclass(frozen=True)
class Atom:
    """A single value that carries probability of its own.

    A *code* (HELOC's -7, -8, -9, or a missing value) is not a number: it is never rewritten and never landed on unless
    allowed. An *inflation* atom (the zeros that make 92% of Adult's capital-gain) is a number with a mass on it: a
    value may leave it and land on it.

    Args:
        value: The value, as it stands in the table; NaN is the missing value.
        kind: ``"code"`` or ``"inflation"``.
        may_change: May a row at this atom leave it? By default an inflation atom may, a code may not.
        allowed: May a changed row land on it? By default as ``may_change``.

    Raises:
        SchemaError: The value or the kind is not one of these.

    Example:
        >>> Atom(-9.0).may_change, Atom(0.0, kind="inflation").may_change
        (False, True)
    """

    value: Number
    kind: str = "code"
    may_change: bool | None = None
    allowed: bool | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("code", "inflation"):
            raise SchemaError(f"the kind of an atom must be 'code' or 'inflation', got {self.kind!r}.")
        if isinstance(self.value, str) or math.isinf(self.value):
            raise SchemaError(f"the value of an atom must be a finite number or NaN (missing), got {self.value!r}.")
        if math.isnan(self.value) and self.kind == "inflation":
            raise SchemaError("a missing value is no number: its atom must be of kind 'code'.")
        object.__setattr__(self, "value", math.nan if math.isnan(self.value) else float(self.value))
        for name in ("may_change", "allowed"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, self.kind == "inflation")

    @property
    def missing(self) -> bool:
        """Whether this atom is the missing value."""
        return math.isnan(self.value)

    def matches(self, value: Number) -> bool:
        """Whether ``value`` is this atom; NaN is the missing value."""
        return value == self.value or (self.missing and math.isnan(value))


@dataclass(frozen=True)
class Column:
    """What is known of one column, and what may be done to it.

    Args:
        name: Its name in the table.
        kind: See :class:`Kind`. An ordinal column has ordered ``categories``, or plain numbers if it has none.
        unit: For sentences and axes, such as ``"EUR"``.
        lower: The smallest value an answer may take; ``None`` is unbounded.
        upper: The largest.
        step: Answers are whole multiples of it. Whole numbers have step 1 unless told otherwise.
        categories: The labels that exist, in order; ``None`` among them is the missing category.
        atoms: Values with a probability of their own, see :class:`Atom`; numeric columns only.
        actionable: Can the person change it?
        protected: A protected attribute (sex, race): immutable unless a constraint frees it.
        direction: ``"any"``, ``"increase"`` or ``"decrease"``: the only way it may move.
        cost: What one standardized unit of change costs.
        verb: What a person does when it changes, see :func:`describe_change`: ``"close"``, or
            ``{"increase": "open", "decrease": "close"}``; ``{"decreased": "shut down"}`` gives the participle itself.
        dtype: The name of its type in the table the schema was inferred from (narwhals' names).
        decimals: How many decimals its values have: answers are rounded to them. ``None`` is no rounding.

    Raises:
        SchemaError: The settings contradict each other; the sentence says which and what to do.

    Example:
        >>> Column("accounts", "integer", lower=0, verb="close").grid
        1.0
    """

    name: str
    kind: Kind | str = Kind.CONTINUOUS
    unit: str | None = field(default=None, kw_only=True)
    lower: Number | None = field(default=None, kw_only=True)
    upper: Number | None = field(default=None, kw_only=True)
    step: Number | None = field(default=None, kw_only=True)
    categories: Sequence[Any] = field(default=(), kw_only=True)
    atoms: Sequence[Atom] = field(default=(), kw_only=True)
    actionable: bool = field(default=True, kw_only=True)
    protected: bool = field(default=False, kw_only=True)
    direction: str = field(default="any", kw_only=True)
    cost: Number = field(default=1.0, kw_only=True)
    verb: str | Mapping[str, str] | None = field(default=None, kw_only=True)
    dtype: str | None = field(default=None, kw_only=True)
    decimals: int | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "kind", Kind(self.kind))
        except ValueError:
            kinds = [kind.value for kind in Kind]
            raise self._error(f"kind must be one of {listed(kinds)}, got {self.kind!r}.", self.kind, kinds) from None
        object.__setattr__(self, "categories", tuple(self.categories))
        object.__setattr__(self, "atoms", tuple(self.atoms))
        self._check_settings()
        self._check_numbers()
        self._check_labels()

    @property
    def labeled(self) -> bool:
        """Whether numbers stand for categories: their positions in ``categories``."""
        return bool(self.categories)

    @property
    def numeric(self) -> bool:
        """Whether its values lie on a line and can move along it: continuous, integer, ordinal."""
        return self.kind in (Kind.CONTINUOUS, Kind.INTEGER, Kind.ORDINAL)

    @property
    def lattice(self) -> bool:
        """Whether its values are counted, not measured: the density dequantizes them."""
        return self.kind in (Kind.INTEGER, Kind.ORDINAL)

    @property
    def fixed(self) -> bool:
        """Whether nothing may change it: protected or not actionable."""
        return self.protected or not self.actionable

    @property
    def grid(self) -> float | None:
        """The spacing of legal values: ``step``, else 1 for counted columns, else one unit of the last decimal."""
        if self.step is not None:
            return float(self.step)
        if self.lattice:
            return 1.0
        return None if self.decimals is None else 10.0**-self.decimals

    @property
    def bounds(self) -> tuple[float, float]:
        """``(lower, upper)`` as numbers: infinite where unbounded, positions for a labeled column."""
        if self.labeled:
            return 0.0, float(len(self.categories) - 1)
        return (
            -math.inf if self.lower is None else float(self.lower),
            math.inf if self.upper is None else float(self.upper),
        )

    def code_of(self, value: Number) -> Atom | None:
        """The atom that ``value`` is, or ``None`` if it is an ordinary number."""
        return next((atom for atom in self.atoms if atom.matches(value)), None)

    def _error(self, problem: str, word: object = "", known: object = ()) -> SchemaError:
        hint = did_you_mean(word, known) if isinstance(known, list) and word else ""
        return SchemaError(f"column {self.name!r}: {problem}{hint}")

    def _check_settings(self) -> None:
        if not self.name:
            raise SchemaError("a column needs a name that is not empty.")
        if self.direction not in DIRECTIONS:
            raise self._error(f"direction must be one of {listed(DIRECTIONS)}, got {self.direction!r}.")
        if not 0 <= self.cost < math.inf:
            raise self._error(f"cost must be a finite number >= 0, got {self.cost}.")
        if self.direction != "any" and self.kind is Kind.CATEGORICAL:
            raise self._error("a categorical column has no direction. Make it ordinal, or list allowed categories.")
        if isinstance(self.verb, Mapping) and (wrong := [key for key in self.verb if key not in VERB_KEYS]):
            raise self._error(f"verb must have keys among {listed(VERB_KEYS)}, got {wrong[0]!r}.")

    def _check_numbers(self) -> None:
        lower, upper = self.bounds
        if math.isnan(lower) or math.isnan(upper) or lower > upper:
            raise self._error(f"lower must not exceed upper, got lower={self.lower}, upper={self.upper}.")
        if self.step is not None and not 0 < self.step < math.inf:
            raise self._error(f"step must be a positive number, got {self.step}. Leave it out for no rounding.")
        if self.decimals is not None and not 0 <= self.decimals <= 15:
            raise self._error(f"decimals must be between 0 and 15, got {self.decimals}.")
        if len({repr(atom.value) for atom in self.atoms}) < len(self.atoms):
            raise self._error("an atom is listed twice. Keep one of them.")

    def _check_labels(self) -> None:
        needs = self.kind in (Kind.CATEGORICAL, Kind.BINARY)
        if needs and not self.categories:
            raise self._error(f"a {self.kind} column needs its categories.")
        if self.kind is Kind.BINARY and len(self.categories) != 2:
            raise self._error(f"a binary column has two categories, got {len(self.categories)}. Make it categorical.")
        if self.categories and self.kind in (Kind.CONTINUOUS, Kind.INTEGER):
            raise self._error(f"a {self.kind} column has no categories. Make it categorical or ordinal.")
        if self.labeled and (self.atoms or self.lower is not None or self.upper is not None or self.step is not None):
            raise self._error("a column of labels has no lower, upper, step or atoms.")
        if self.labeled and self.decimals is not None:
            raise self._error("a column of labels has no decimals.")
        self._check_categories()

    def _check_categories(self) -> None:
        if len(set(self.categories)) < len(self.categories):
            raise self._error("a category is listed twice. Keep one of them.")
        if wrong := [c for c in self.categories if not isinstance(c, str | int | float | bool | None)]:
            raise self._error(f"a category must be text, a number, true/false or null, got {wrong[0]!r}.")
        words = {isinstance(category, bool) for category in self.categories if category is not None}
        if words == {True, False}:
            raise self._error(
                "categories mix true/false with others. In YAML put quotes around words such as 'no', 'yes', 'on'."
            )
