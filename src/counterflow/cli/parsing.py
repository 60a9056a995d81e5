"""The words of a command line as values."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from counterflow.core.errors import ArgumentError, PersistenceError

if TYPE_CHECKING:
    import counterflow.models
    import counterflow.tables

__all__ = [
    "METHOD_NAMES",
    "as_class",
    "as_codes",
    "as_constraints",
    "as_names",
    "as_norm",
    "as_range",
    "as_seconds",
    "as_wish",
    "check_file",
    "check_folder",
]

METHOD_NAMES = ("ppcef", "dicoflex", "wachter", "nearest", "growing_spheres")
"""The names of the methods, for --help, which must not wait for the library to be imported."""

_SECONDS = {"ms": 0.001, "": 1.0, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0}


def as_names(words: Sequence[str] | None) -> list[str]:
    """Names given several times or with commas.

    Example:
        >>> as_names(["age, sex", "race"]), as_names(None)
        (['age', 'sex', 'race'], [])
    """
    return [name.strip() for word in words or () for name in word.split(",") if name.strip()]


def as_codes(words: Sequence[str] | None) -> list[float] | None:
    """Special codes; ``None`` where nothing was said, and an empty list where ``none`` was.

    Raises:
        ArgumentError: One is no number.

    Example:
        >>> as_codes(["-7,-8,-9"]), as_codes(["none"]), as_codes(None)
        ([-7.0, -8.0, -9.0], [], None)
    """
    if words is None or not as_names(words):
        return None
    names = as_names(words)
    return [] if names == ["none"] else [_number(name, "--codes") for name in names]


def as_norm(norm: float | None) -> float | None:
    """The exponent of a distance.

    Raises:
        ArgumentError: It is not finite.

    Example:
        >>> as_norm(1.0), as_norm(None)
        (1.0, None)
    """
    if norm is not None and not math.isfinite(norm):
        raise ArgumentError(f"--norm must be a finite number above 0, got {norm}.")
    return norm


def as_range(word: str, option: str) -> tuple[float | None, float | None]:
    """``low:high``, either end open.

    Raises:
        ArgumentError: It is no such pair.

    Example:
        >>> as_range("0:5000", "--range"), as_range("0.7:", "--probability")
        ((0.0, 5000.0), (0.7, None))
    """
    low, colon, high = word.partition(":")
    if not colon:
        raise ArgumentError(f"{option} must be low:high, where one may be left out, got {word!r}.")
    ends = [None if not end.strip() else _number(end, option) for end in (low, high)]
    return ends[0], ends[1]


def as_seconds(word: str | None) -> float | None:
    """A length of time.

    Raises:
        ArgumentError: It is none.

    Example:
        >>> as_seconds("30s"), as_seconds("2m"), as_seconds("500ms"), as_seconds(None)
        (30.0, 120.0, 0.5, None)
    """
    if word is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|)\s*", word)
    if not found or not float(found[1]):
        raise ArgumentError(f"--deadline must be a time such as 30s, 2m or 1h, got {word!r}.")
    return float(found[1]) * _SECONDS[found[2]]


def as_class(word: str, classes: Sequence[Any]) -> Any:
    """The class that a word names: ``"1"`` is the class 1 where classes are numbers.

    Raises:
        ArgumentError: There is no such class; the sentence names those that exist.

    Example:
        >>> as_class("1", (0, 1)), as_class("Good", ("Bad", "Good")), as_class("true", (False, True))
        (1, 'Good', True)
    """
    from counterflow.tables.hints import did_you_mean, listed

    for label in classes:
        if str(label) == word or (isinstance(label, bool) and str(label).lower() == word.lower()):
            return label
    for label in classes:
        if isinstance(label, int | float) and not isinstance(label, bool) and _is_number(word) and label == float(word):
            return label
    raise ArgumentError(f"there is no class {word!r}: choose among {listed(classes)}.{did_you_mean(word, classes)}")


def as_wish(word: str, model: "counterflow.models.AdaptedModel", *, option: str = "--desired") -> Any:
    """What is wished of a model: a class, or of a regressor the interval ``low:high`` of its value.

    Args:
        word: What was said.
        model: Of whom it is wished.
        option: Where it was said.

    Raises:
        ArgumentError: There is no such class; a class was asked of a regressor, an interval of a classifier, or it is
            empty.
    """
    if not model.regression:
        if ":" in word and word not in map(str, model.classes or ()):
            from counterflow.tables.hints import listed

            raise ArgumentError(
                f"{option} {word}: {model.name} decides classes and predicts no value. Name one of "
                f"{listed(model.classes or ())}."
            )
        return as_class(word, model.classes or ())
    if ":" not in word:
        raise ArgumentError(
            f"{option} {word}: {model.name} predicts a value and decides no class. Say low:high, where one may be left "
            "out, such as 200: for at least 200."
        )
    low, high = as_range(word, option)
    if low is None and high is None:
        raise ArgumentError(f"{option} {word}: every value lies there. Say one end at least, such as 200:.")
    if low is not None and high is not None and low >= high:
        raise ArgumentError(f"{option} {word}: no value lies there. The first end must be the lower one.")
    return low, high


def as_constraints(
    schema: "counterflow.tables.Schema",
    *,
    lock: Sequence[str] | None,
    increase_only: Sequence[str] | None,
    decrease_only: Sequence[str] | None,
    free: Sequence[str] | None,
    ranges: Sequence[str] | None,
    allow: Sequence[str] | None,
    max_changes: int | None,
    link: Sequence[str] | None = None,
    cost: Sequence[str] | None = None,
) -> "counterflow.tables.Constraints":
    """The constraints that options name, checked against the schema.

    Raises:
        ArgumentError: A range, a choice or a cost has the wrong form.
        ConstraintError: A rule between columns cannot be read, or they contradict each other or the schema.
    """
    from counterflow.tables import Constraints, check_constraints

    constraints = Constraints(
        immutable=as_names(lock),
        increase_only=as_names(increase_only),
        decrease_only=as_names(decrease_only),
        ranges={name: _ends(schema, name, word) for name, word in _pairs(ranges, "--range income=0:5000")},
        allowed={name: _choices(schema, name, word) for name, word in _pairs(allow, "--allow housing=own,rent")},
        free=as_names(free),
        max_changes=max_changes,
        linked=list(link or ()),
        cost={name: _number(word, f"--cost {name}") for name, word in _pairs(cost, "--cost income=2")},
    )
    check_constraints(schema, constraints)
    return constraints


def check_file(path: Path | None, suffixes: Sequence[str]) -> None:
    """Refuse an output that cannot be written, before any work is done.

    Raises:
        ArgumentError: Its suffix is none of these, or it is a folder.
        PersistenceError: Its folder does not exist.
    """
    if path is None:
        return
    if not path.name.lower().endswith(tuple(suffixes)):
        raise ArgumentError(f"'{path}' must end in {' or '.join(suffixes)}, which says what to write.")
    if path.is_dir():
        raise ArgumentError(f"'{path}' is a folder: name a file in it.")
    if not path.parent.is_dir():
        raise PersistenceError(f"there is no folder '{path.parent}' to write '{path.name}' to. Make it first.")


def check_folder(path: Path) -> None:
    """Refuse a folder that is a file.

    Raises:
        PersistenceError: It is one.
    """
    if path.exists() and not path.is_dir():
        raise PersistenceError(f"'{path}' is a file, and a folder is needed. Choose another --out.")


def _pairs(words: Sequence[str] | None, example: str) -> list[tuple[str, str]]:
    """``name=rest`` as pairs; a name may hold equal signs itself."""
    pairs = [word.rpartition("=") for word in words or ()]
    if wrong := [word for (name, equal, _), word in zip(pairs, words or (), strict=True) if not name or not equal]:
        raise ArgumentError(f"{wrong[0]!r} must have the form of {example}.")
    return [(name.strip(), rest) for name, _, rest in pairs]


def _column(schema: "counterflow.tables.Schema", name: str) -> "counterflow.tables.Column | None":
    return schema[name] if name in schema.names else None


def _ends(schema: "counterflow.tables.Schema", name: str, word: str) -> tuple[Any, Any]:
    column = _column(schema, name)
    if column is None or not column.labeled:
        return as_range(word, f"--range {name}")
    low, _, high = word.partition(":")
    ends = [as_class(end.strip(), column.categories) if end.strip() else None for end in (low, high)]
    return ends[0], ends[1]


def _choices(schema: "counterflow.tables.Schema", name: str, word: str) -> list[Any]:
    column = _column(schema, name)
    if column is None or not column.labeled:
        return as_names([word])
    known = {str(category): category for category in column.categories}
    return [known.get(choice, choice) for choice in as_names([word])]


def _number(word: str, option: str) -> float:
    if not _is_number(word):
        raise ArgumentError(f"{option} needs numbers, got {word.strip()!r}.")
    return float(word)


def _is_number(word: str) -> bool:
    try:
        return math.isfinite(float(word))
    except ValueError:
        return False
