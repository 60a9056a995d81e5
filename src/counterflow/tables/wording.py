"""A change of one column in words: "income rose by 200", "two accounts were closed"."""

import math
import re
from collections.abc import Mapping
from typing import Any

from counterflow.tables.column import Column, Kind

__all__ = ["describe_change", "format_number", "past_participle", "readable_name"]

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
RISING = {"open", "add", "gain", "get", "buy", "earn", "make", "start", "build", "create", "acquire", "hire", "save"}
IRREGULAR = {
    "begin": "begun", "bring": "brought", "build": "built", "buy": "bought", "cut": "cut", "get": "gotten",
    "give": "given", "grow": "grown", "hold": "held", "keep": "kept", "lend": "lent", "lose": "lost", "make": "made",
    "pay": "paid", "put": "put", "repay": "repaid", "sell": "sold", "send": "sent", "set": "set", "shed": "shed",
    "shut": "shut", "spend": "spent", "take": "taken", "win": "won", "withdraw": "withdrawn", "write": "written",
}  # fmt: skip
DOUBLING = {"drop", "stop", "plan", "ship", "trim", "clip", "scrap", "swap", "commit", "submit", "transfer"}


def describe_change(column: Column, before: Any, after: Any) -> str:
    """Say how a value changed, as a part of a sentence.

    A column with a verb says what was done: ``verb="close"`` tells decreases ("two accounts were closed"), a verb of
    gaining such as ``"open"`` tells increases, and a mapping tells both. Without a verb numbers rise and fall.

    Args:
        column: The column.
        before: The value as it stands in the user's table.
        after: The new value.

    Returns:
        The phrase, without a full stop.

    Example:
        >>> describe_change(Column("accounts", "integer", verb="close"), 5, 3)
        'two accounts were closed'
        >>> describe_change(Column("debt", unit="EUR"), 200, 150)
        'debt fell by 50 EUR'
        >>> describe_change(Column("housing", "categorical", categories=("own", "rent")), "rent", "own")
        "housing changed from 'rent' to 'own'"
    """
    name = readable_name(column.name)
    if _same(before, after):
        return f"{name} stayed {_shown(column, before)}"
    if column.labeled or _is_code(column, before) or _is_code(column, after):
        return f"{name} changed from {_shown(column, before)} to {_shown(column, after)}"
    difference = float(after) - float(before)
    verb = _participle(column.verb, rising=difference > 0)
    if verb is None:
        return f"{name} {'rose' if difference > 0 else 'fell'} by {_amount(column, abs(difference))}"
    if column.kind is not Kind.CONTINUOUS and column.unit is None:
        return _counted(name, abs(difference), verb)
    return f"{_amount(column, abs(difference))} of {name} was {verb}"


def readable_name(name: str) -> str:
    """A column's name as words.

    Example:
        >>> readable_name("capital-gain")
        'capital gain'
    """
    return " ".join(re.split(r"[\s_\-]+", name.strip()))


def format_number(value: int | float, decimals: int | None = None) -> str:
    """A number as people write it: no idle zeros, commas from 10,000 on.

    Args:
        value: The number.
        decimals: Round to so many; by default to six significant digits, whole numbers in full.

    Example:
        >>> format_number(200.0), format_number(0.1 + 0.2), format_number(1234567.0)
        ('200', '0.3', '1,234,567')
    """
    places = _places(value) if decimals is None else decimals
    text = f"{value:{',' if abs(value) >= 10_000 else ''}.{places}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _places(value: int | float) -> int:
    if value == 0 or float(value).is_integer():
        return 0
    return max(0, 5 - math.floor(math.log10(abs(value))))


def past_participle(verb: str) -> str:
    """The past participle of an English verb, of a phrasal one in its first word.

    Example:
        >>> [past_participle(verb) for verb in ("close", "open", "pay off", "drop", "carry")]
        ['closed', 'opened', 'paid off', 'dropped', 'carried']
    """
    first, _, rest = verb.partition(" ")
    return f"{_regular(first)} {rest}" if rest else _regular(first)


def _regular(verb: str) -> str:
    if verb in IRREGULAR:
        return IRREGULAR[verb]
    if verb.endswith("e"):
        return f"{verb}d"
    if verb.endswith("y") and verb[-2:-1] not in "aeiou":
        return f"{verb[:-1]}ied"
    return f"{verb}{verb[-1]}ed" if verb in DOUBLING else f"{verb}ed"


def _participle(verb: str | Mapping[str, str] | None, *, rising: bool) -> str | None:
    """What was done to a value that rose or fell, or ``None`` if no verb tells."""
    if isinstance(verb, str):
        return past_participle(verb) if (verb.partition(" ")[0] in RISING) == rising else None
    given = verb or {}
    said, base = ("increased", "increase") if rising else ("decreased", "decrease")
    return given.get(said) or (past_participle(given[base]) if base in given else None)


def _counted(name: str, count: float, verb: str) -> str:
    if not count.is_integer():
        return f"{format_number(count)} {name} were {verb}"
    number = WORDS[int(count)] if count <= 12 else format_number(count)
    return f"one {_singular(name)} was {verb}" if count == 1 else f"{number} {name} were {verb}"


def _singular(noun: str) -> str:
    if noun.endswith("ies") and len(noun) > 4:
        return f"{noun[:-3]}y"
    if noun.endswith(("sses", "shes", "ches", "xes")):
        return noun[:-2]
    return noun[:-1] if noun.endswith("s") and not noun.endswith(("ss", "us", "is")) else noun


def _amount(column: Column, value: float) -> str:
    number = format_number(value, column.decimals)
    if column.unit is None:
        return number
    return f"{number}%" if column.unit == "%" else f"{number} {column.unit}"


def _is_code(column: Column, value: Any) -> bool:
    if value is None or value != value:
        return True
    atom = column.code_of(float(value))
    return atom is not None and atom.kind == "code"


def _shown(column: Column, value: Any) -> str:
    if value is None or value != value:
        return "missing"
    if isinstance(value, str):
        return repr(value)
    if column.labeled or isinstance(value, bool):
        return str(value)
    return f"the code {format_number(value)}" if _is_code(column, value) else _amount(column, float(value))


def _same(before: Any, after: Any) -> bool:
    gone = [value is None or value != value for value in (before, after)]
    return all(gone) or (not any(gone) and bool(before == after))
