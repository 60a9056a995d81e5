"""Rules between columns as people write them: ``debt <= 0.4 * income``, ``job = none implies income = 0``."""

import json
import re
from collections.abc import Callable
from typing import Any

from counterflow.core.errors import ConstraintError
from counterflow.tables.links import NUMBER, Changed, Condition, Implies, Is, Linear, Link, Within

__all__ = ["as_links", "parse_link"]

TOKEN = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|<=|>=|==|[<>=*(),]|[^\s()"'*,<>=]+)""")
MIRRORED = {"<=": ">=", ">=": "<=", "<": ">", ">": "<", "=": "="}
SIDES = {"<=": "upper", "<": "below", ">=": "lower", ">": "above"}
WORDS = {"missing": None, "true": True, "false": False}
HOW = "Write one such as 'debt <= 0.4 * income', 'total = a + b' or 'job = none implies income = 0'."


def parse_link(text: str) -> Link:
    """Read a rule between columns; ``str`` of the rule writes it again.

    A linear rule has sums of columns with factors on both sides of ``<=``, ``>=`` or ``=``; ``+`` and ``-`` stand
    between blanks, for names may hold hyphens. An implication has conditions joined by ``and`` on both sides of
    ``implies``: ``x = value``, ``x in (a, b)``, ``x > 0``, ``18 <= x < 30``, ``x changes``. Quotes go around a name or
    value with blanks, signs or commas, and around text that would be read as a number.

    Args:
        text: The rule.

    Raises:
        ConstraintError: It is no rule; the sentence says where reading stopped.

    Example:
        >>> parse_link("debt <= 0.4 * income")
        Linear(coefficients={'debt': 1.0, 'income': -0.4}, lower=None, upper=0.0)
        >>> str(parse_link("children > 0 implies relationship in (Husband, Wife, 'Single parent')"))
        'children > 0 implies relationship in (Husband, Wife, "Single parent")'
    """
    reader = _Reader(text)
    if "implies" not in reader.tokens:
        return reader.finished(reader.linear())
    when = reader.conditions()
    reader.expect("implies")
    return reader.finished(Implies(when, reader.conditions()))


def as_links(links: Any) -> tuple[Link, ...]:
    """One rule between columns or several, those in words read.

    Raises:
        ConstraintError: One is no rule.

    Example:
        >>> as_links("debt <= 0.4 * income") == as_links(["debt - 0.4 * income <= 0"])
        True
    """
    several = (links,) if isinstance(links, str | Link) else tuple(links)
    read = tuple(parse_link(link) if isinstance(link, str) else link for link in several)
    if wrong := [link for link in read if not isinstance(link, Link)]:
        raise ConstraintError(f"a rule between columns must be Linear, Implies or their text, got {wrong[0]!r}.")
    return read


class _Reader:
    """Reads tokens from left to right."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = TOKEN.findall(text)
        self.place = 0
        if TOKEN.sub("", text).strip():
            raise self.error("a quote is not closed")

    def error(self, problem: str) -> ConstraintError:
        return ConstraintError(f"{self.text!r} is no rule between columns: {problem}. {HOW}")

    @property
    def next(self) -> str:
        """The next token; empty at the end."""
        return self.tokens[self.place] if self.place < len(self.tokens) else ""

    def take(self) -> str:
        token = self.next
        if not token:
            raise self.error("it ends too early")
        self.place += 1
        return token

    def expect(self, token: str) -> None:
        if (found := self.take()) != token:
            raise self.error(f"expected {token!r} before {found!r}")

    def finished(self, link: Link) -> Link:
        if self.next:
            raise self.error(f"{self.next!r} stands where it should end")
        return link

    def linear(self) -> Linear:
        """``sum sign sum``, or a sum between two numbers."""
        first, sign, second = self.sum(), self.sign(strict=False), self.sum()
        if self.next not in MIRRORED:
            return self._bounded(_minus(first, second), sign)
        if (again := self.sign(strict=False)) != sign or sign == "=":
            raise self.error(f"a rule with two signs has {sign!r} twice, as in '0 <= a + b <= 10'")
        third = self.sum()
        if len(first) > 1 or len(third) > 1:
            raise self.error("of three sides the outer ones must be numbers")
        low, high = (first[""], third[""]) if again == "<=" else (third[""], first[""])
        factors = {name: factor for name, factor in second.items() if name}
        return Linear(factors, lower=low - second[""], upper=high - second[""])

    def _bounded(self, factors: dict[str, float], sign: str) -> Linear:
        limit = -factors.pop("") + 0.0  # no negative zero
        return Linear(factors, lower=None if sign == "<=" else limit, upper=None if sign == ">=" else limit)

    def sign(self, *, strict: bool) -> str:
        token = self.take()
        sign = "=" if token == "==" else token
        if sign not in MIRRORED:
            raise self.error(f"expected one of <=, >=, = before {token!r}")
        if sign in "<>" and not strict:
            raise self.error(f"a linear rule has {sign}= and not {sign}")
        return sign

    def sum(self) -> dict[str, float]:
        """The factor of each column, and the constant under the empty name."""
        total = {"": 0.0}
        sign = 1.0
        while True:
            name, factor = self.term(sign)
            total[name] = total.get(name, 0.0) + factor
            if self.next not in ("+", "-"):
                return total
            sign = 1.0 if self.take() == "+" else -1.0

    def term(self, factor: float) -> tuple[str, float]:
        """A product of numbers and at most one column."""
        name = ""
        while True:
            token = self.take()
            while token[0] in "+-" and not NUMBER.fullmatch(token):
                factor = -factor if token[0] == "-" else factor
                token = token[1:] or self.take()
            if NUMBER.fullmatch(token):
                factor *= float(token)
            elif name:
                raise self.error(f"{name!r} times {self.name(token)!r} is not linear")
            else:
                name = self.name(token)
            if self.next != "*":
                return name, factor
            self.take()

    def name(self, token: str) -> str:
        if token in MIRRORED or token in ("(", ")", ",", "*", "=="):
            raise self.error(f"expected a column before {token!r}")
        return self.unquoted(token)

    def unquoted(self, token: str) -> str:
        try:
            return json.loads(token) if token[0] == '"' else token[1:-1] if token[0] == "'" else token
        except ValueError:
            raise self.error(f"{token} cannot be read") from None

    def conditions(self) -> tuple[Condition, ...]:
        found = [self.condition()]
        while self.next == "and":
            self.take()
            found.append(self.condition())
        return tuple(found)

    def condition(self) -> Condition:
        first = self.take()
        follower: dict[str, Callable[[str], Condition]] = {"changes": self._changed, "in": self._in}
        if self.next in follower:
            return follower[self.take()](self.name(first))
        sign = self.sign(strict=True)
        second = self.take()
        if self.next in MIRRORED:
            return self._between(first, sign, second)
        if NUMBER.fullmatch(first):
            first, sign, second = second, MIRRORED[sign], first
        return self._compared(self.name(first), sign, self.value(second))

    def _changed(self, name: str) -> Condition:
        return Changed(name)

    def _in(self, name: str) -> Condition:
        self.expect("(")
        values = [self.value(self.take())]
        while self.next == ",":
            self.take()
            values.append(self.value(self.take()))
        self.expect(")")
        return Is(name, values)

    def _between(self, low: str, sign: str, name: str) -> Condition:
        again = self.sign(strict=True)
        high = self.take()
        if sign == "=" or sign[0] != again[0]:
            raise self.error("a range reads like '18 <= age < 30'")
        ends = {SIDES[MIRRORED[sign]]: self.value(low), SIDES[again]: self.value(high)}
        return Within(self.name(name), **ends)

    def _compared(self, name: str, sign: str, value: Any) -> Condition:
        return Is(name, (value,)) if sign == "=" else Within(name, **{SIDES[sign]: value})

    def value(self, token: str) -> Any:
        if NUMBER.fullmatch(token):
            number = float(token)
            return int(number) if re.fullmatch(r"[-+]?\d+", token) else number
        return WORDS[token] if token in WORDS else self.name(token)


def _minus(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    return {name: first.get(name, 0.0) - second.get(name, 0.0) for name in [*first, *second]}
