"""What a model of another library is to us: a way to feed it, a way to ask it, and what it says of itself."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from counterflow.models.wrapping import Output

__all__ = ["Engine"]


@dataclass(frozen=True, eq=False)
class Engine:
    """A model of another library, opened for a table.

    Args:
        name: What it is, for a human.
        prepare: From a frame of the user's to what it takes.
        predict: From there to its raw answer.
        content: What makes it answer as it does, for its fingerprint.
        output: What it says it answers; ``None`` if it does not say.
        classes: The labels that it knows, in the order of its columns; ``None`` if it knows none.
        certain: Whether ``output`` is beyond doubt: a user's other word is then an error.
    """

    name: str
    prepare: Callable[[Any], Any] = field(repr=False)
    predict: Callable[[Any], Any] = field(repr=False)
    content: Any = field(repr=False)
    output: Output | None = None
    classes: tuple[Any, ...] | None = None
    certain: bool = False
