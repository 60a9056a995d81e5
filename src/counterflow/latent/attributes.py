"""What is known of a point: classes and numbers, any of them missing, as one vector."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.latent.columns import Value, named_columns, spread
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["Attribute", "Attributes", "ClassAttribute", "NumberAttribute"]


@dataclass(frozen=True)
class ClassAttribute:
    """An attribute with a few values: a class, or yes and no.

    Its part of the vector is the unit vector of its class; where it is not known, zeros.

    Args:
        name: What it is called.
        classes: Its values.
        shares: How often each occurred among the values that were known.

    Example:
        >>> ClassAttribute("smile", (0, 1), (0.7, 0.3)).vector(True)
        (0.0, 1.0)
    """

    name: str
    classes: tuple[Value, ...]
    shares: tuple[float, ...]

    @property
    def width(self) -> int:
        """How many numbers its part of the vector has."""
        return len(self.classes)

    def vector(self, value: Value) -> tuple[float, ...]:
        """Write a value as its part of the vector.

        Raises:
            ArgumentError: The value was not among those learned from.
        """
        if value is not None and value not in self.classes:
            raise ArgumentError(
                f"{self.name!r} must be one of {listed(self.classes)}, got {value!r}."
                f"{did_you_mean(value, self.classes)} Use None where it is not known."
            )
        return tuple(float(value is not None and value == own) for own in self.classes)


@dataclass(frozen=True)
class NumberAttribute:
    """An attribute that is a number.

    Its part of the vector is the standardized number and a 1; where it is not known, zeros.

    Args:
        name: What it is called.
        center: The mean of the values that were known.
        scale: Their standard deviation.

    Example:
        >>> NumberAttribute("age", 40.0, 10.0).vector(60)
        (2.0, 1.0)
    """

    name: str
    center: float
    scale: float

    @property
    def width(self) -> int:
        """How many numbers its part of the vector has."""
        return 2

    def vector(self, value: Value) -> tuple[float, ...]:
        """Write a value as its part of the vector.

        Raises:
            ArgumentError: The value is no finite number.
        """
        if value is None:
            return (0.0, 0.0)
        if isinstance(value, str) or not math.isfinite(value):
            raise ArgumentError(f"{self.name!r} must be a finite number, got {value!r}. Use None where it is missing.")
        return ((value - self.center) / self.scale, 1.0)


Attribute = ClassAttribute | NumberAttribute
"""Either kind of attribute."""


@dataclass(frozen=True)
class Attributes:
    """The attributes of which a condition is made, and how it becomes a vector.

    Args:
        members: The attributes, in the order of the vector.

    Example:
        >>> digit, slant = ClassAttribute("digit", (1, 7), (0.5, 0.5)), NumberAttribute("slant", 1.0, 0.8)
        >>> Attributes((digit, slant)).encode({"digit": 7}, 1)  # a slant that is not known
        tensor([[0., 1., 0., 0.]])
    """

    members: tuple[Attribute, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """What the attributes are called."""
        return tuple(member.name for member in self.members)

    @property
    def width(self) -> int:
        """The length of the vector."""
        return sum(member.width for member in self.members)

    def encode(self, condition: Any, rows: int) -> Float[Tensor, "rows width"]:
        """Write a condition as vectors.

        Args:
            condition: For each attribute that is known, by name, one value for all rows or one for each; ``None`` or
                NaN where it is not known. Where there is one attribute alone, its values will do.
            rows: How many.

        Returns:
            One vector for each row; an attribute that is not known has zeros.

        Raises:
            ArgumentError: A name is not that of an attribute, or a value not one that it can have.
            ShapeError: There is neither one value nor one for each row.
        """
        columns = self.columns(condition, rows)
        parts = [[member.vector(value) for value in columns[member.name]] for member in self.members]
        return torch.tensor([sum(row, ()) for row in zip(*parts, strict=True)]).reshape(rows, self.width)

    def columns(self, condition: Any, rows: int) -> dict[str, list[Value]]:
        """Give each attribute's value in each row, ``None`` where it is not known; errors as in :meth:`encode`."""
        given = self._named(condition)
        for name in given:
            self.member(name)
        return {name: spread(given.get(name), rows, name) for name in self.names}

    def missing(self, condition: Any, rows: int) -> list[str]:
        """Name the attributes that a condition leaves open in any row; errors as in :meth:`encode`."""
        return [name for name, column in self.columns(condition, rows).items() if None in column]

    def member(self, name: str) -> Attribute:
        """Find an attribute by its name.

        Raises:
            ArgumentError: None is called that.
        """
        for member in self.members:
            if member.name == name:
                return member
        known = f"one of {listed(self.names)}" if self.members else "left out, for there are no attributes"
        raise ArgumentError(f"an attribute must be {known}, got {name!r}.{did_you_mean(name, self.names)}")

    def class_member(self, name: str | None = None) -> ClassAttribute:
        """Find an attribute with classes; the only one, if no name is given.

        Raises:
            ArgumentError: There is no such attribute, or several and none is named.
        """
        found = [member for member in self.members if isinstance(member, ClassAttribute)]
        chosen = self.member(name) if name is not None else found[0] if len(found) == 1 else None
        if not isinstance(chosen, ClassAttribute):
            raise ArgumentError(
                f"attribute must name one with classes, got {name!r}. "
                f"Those with classes: {listed([member.name for member in found]) or 'none'}."
            )
        return chosen

    def hide(
        self, context: Float[Tensor, "rows width"], share: float, *, generator: torch.Generator
    ) -> Float[Tensor, "rows width"]:
        """Make attributes unknown at random, so that a flow learns to do without.

        Args:
            context: Vectors.
            share: Of the rows that lose any; of these each attribute is lost with a chance that is drawn evenly
                from 0 to 1, so that rows which lose one, many or all of them are met.
            generator: Where the randomness comes from.

        Returns:
            The vectors with zeros for what was lost.
        """
        draws = torch.rand(len(context), len(self.members) + 2, generator=generator, device=context.device)
        lost = draws[:, 2:] < draws[:, 1:2] * (draws[:, :1] < share)
        widths = torch.tensor([member.width for member in self.members], device=context.device)
        return context.masked_fill(lost.repeat_interleave(widths, 1), 0.0)

    def plain(self) -> list[dict[str, Any]]:
        """The attributes as plain data."""
        return [asdict(member) for member in self.members]

    @classmethod
    def from_plain(cls, data: list[dict[str, Any]]) -> "Attributes":
        """Read what :meth:`plain` wrote."""
        return cls(tuple(_from_plain(**item) for item in data))

    def _named(self, condition: Any) -> Mapping[str, Any]:
        if condition is None:
            return {}
        named = named_columns(condition)
        if named is not None:
            return named
        if len(self.members) != 1:
            raise ArgumentError(
                f"a condition must name its attributes, {listed(self.names) or 'of which there are none'}, got "
                f"{type(condition).__name__}. Pass a dictionary from names to values."
            )
        return {self.names[0]: condition}


def _from_plain(name: str, **fields: Any) -> Attribute:
    if "classes" in fields:
        return ClassAttribute(name, tuple(fields["classes"]), tuple(fields["shares"]))
    return NumberAttribute(name, fields["center"], fields["scale"])
