"""The header of a PLY file: which elements follow, and what each of them is made of."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from counterflow.core.errors import DataError
from counterflow.pointclouds.lines import is_count

__all__ = ["Element", "PlyHeader", "Property", "parse_header"]

_KINDS = {
    "char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1",
    "short": "i2", "int16": "i2", "ushort": "u2", "uint16": "u2",
    "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4",
    "float": "f4", "float32": "f4", "double": "f8", "float64": "f8",
}  # fmt: skip
_ORDERS: dict[str, Literal["<", ">"] | None] = {"ascii": None, "binary_little_endian": "<", "binary_big_endian": ">"}
_END = b"end_header"


class Property(NamedTuple):
    """One number of an element, or a list of them.

    Args:
        name: What it is called.
        kind: Of the numbers, as numpy writes it.
        length: The kind of the length of a list; empty for a number.
    """

    name: str
    kind: str
    length: str = ""


class Element(NamedTuple):
    """So many things of one name."""

    name: str
    number: int
    properties: list[Property]


class PlyHeader(NamedTuple):
    """What a header says.

    Args:
        order: Of the bytes; ``None`` for text.
        elements: In the order of the file.
        size: Of the header in bytes.
        lines: Of the header.
    """

    order: Literal["<", ">"] | None
    elements: list[Element]
    size: int
    lines: int


def parse_header(path: Path, content: bytes) -> PlyHeader:
    r"""Read the header of a PLY file.

    Args:
        path: Named in errors.
        content: What the file holds.

    Raises:
        DataError: It is no PLY file, or the header is damaged; the sentence names the line.

    Example:
        >>> parse_header(Path("a.ply"), b"ply\nformat ascii 1.0\nelement face 0\nend_header\n")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: 'a.ply' must hold an element 'vertex' with properties x, y and z, got face.
    """
    if not content.startswith(b"ply"):
        raise DataError(f"'{path}' must begin with 'ply', got {content[:12]!r}. It is no PLY file.")
    at = content.find(_END)
    stop = content.find(b"\n", at)
    if at < 0 or stop < 0:
        raise DataError(f"'{path}' must have a line 'end_header', got none. The file is cut short.")
    lines = content[:at].decode("ascii", errors="replace").splitlines()
    order, elements = _read(path, lines)
    vertex = next((element for element in elements if element.name == "vertex"), None)
    names = {item.name for item in vertex.properties if not item.length} if vertex else set()
    if not {"x", "y", "z"} <= names:
        found = ", ".join(element.name for element in elements) or "no element"
        raise DataError(f"'{path}' must hold an element 'vertex' with properties x, y and z, got {found}.")
    filled = [element for element in elements if element.properties]  # one without any takes no place
    return PlyHeader(order, filled, stop + 1, len(lines) + 1)


def _read(path: Path, lines: list[str]) -> tuple[Literal["<", ">"] | None, list[Element]]:
    order: Literal["<", ">"] | None = None
    elements: list[Element] = []

    def takes(name: str) -> bool:
        return bool(elements) and _is_new(name, elements[-1].properties)

    for number, line in enumerate(lines[1:], 2):
        match line.split():
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", name, "1.0"] if name in _ORDERS:
                order = _ORDERS[name]
            case ["element", name, count] if is_count(count) and _is_new(name, elements):
                elements.append(Element(name, int(count), []))
            case ["property", "list", count, kind, name] if {count, kind} <= set(_KINDS) and takes(name):
                elements[-1].properties.append(_property(name, kind, order, count))
            case ["property", kind, name] if kind in _KINDS and takes(name):
                elements[-1].properties.append(_property(name, kind, order))
            case _:
                raise DataError(
                    f"'{path}', line {number}, must be a format 1.0, a comment, an element with its count or a "
                    f"property of a known kind, each of a name of its own, got '{line[:60]}'."
                )
    return order, elements


def _is_new(name: str, items: Sequence[Element | Property]) -> bool:
    return all(item.name != name for item in items)


def _property(name: str, kind: str, order: Literal["<", ">"] | None, length: str = "") -> Property:
    mark = order or "="
    return Property(name, mark + _KINDS[kind], mark + _KINDS[length] if length else "")
