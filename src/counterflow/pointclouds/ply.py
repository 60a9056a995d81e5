"""The reader of PLY files, of text and binary."""

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch

from counterflow.core.errors import DataError
from counterflow.pointclouds.lines import Lines, is_whole, make_mesh, to_floats
from counterflow.pointclouds.mesh import Mesh
from counterflow.pointclouds.ply_header import Element, PlyHeader, parse_header

__all__ = ["parse_ply"]

Row: TypeAlias = dict[str, Any]
"""The properties of one element: numbers and lists of numbers."""

_END = "its end"
_CORNERS = ("vertex_indices", "vertex_index")


class _Body(NamedTuple):
    """What a file holds of interest."""

    points: np.ndarray
    polygons: list[list[float | int]]


def parse_ply(path: Path, content: bytes) -> Mesh:
    r"""Read the bytes of a PLY file: points and polygons; all else is passed over.

    Args:
        path: Named in errors.
        content: What the file holds.

    Raises:
        DataError: It is no PLY file, or damaged; the sentence says where.

    Example:
        >>> text = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z"
        >>> parse_ply(Path("a.ply"), (text + "\nend_header\n1 2 3\n").encode()).vertices
        tensor([[1., 2., 3.]])
    """
    header = parse_header(path, content)
    read = _from_text if header.order is None else _from_bytes
    points, polygons = read(path, content[header.size :], header)
    for polygon in polygons:
        if not all(0 <= corner < len(points) and is_whole(corner) for corner in polygon):
            raise DataError(
                f"'{path}' must have faces of corners from 0 to {len(points) - 1}, all whole, got {polygon[:8]}."
            )
    corners = [[int(corner) for corner in polygon] for polygon in polygons]
    vertex = next(element for element in header.elements if element.name == "vertex")
    kinds = [np.dtype(item.kind) for item in vertex.properties if item.name in ("x", "y", "z")]
    return make_mesh(path, torch.as_tensor(to_floats(points, *kinds)), corners)


def _from_text(path: Path, content: bytes, header: PlyHeader) -> _Body:
    lines = Lines(path, content.decode("ascii", errors="replace"), first=header.lines + 1)
    points, polygons = np.empty((0, 3)), []
    for element in header.elements:
        rows = [_text_row(lines, element) for _ in range(element.number)]
        points = _points(rows) if element.name == "vertex" else points
        polygons = [_polygon(row) for row in rows] if element.name == "face" else polygons
    return _Body(points, polygons)


def _text_row(lines: Lines, element: Element) -> Row:
    expected = f"the {len(element.properties)} properties of a {element.name}"
    values = lines.numbers(len(element.properties), expected)
    given, row = iter(values), Row()
    try:
        for item in element.properties:
            row[item.name] = [next(given) for _ in range(_size(next(given)))] if item.length else next(given)
    except (StopIteration, ValueError):  # too few, or a count that is none
        lines.fail(expected, " ".join(f"{value:g}" for value in values))
    return row


def _from_bytes(path: Path, content: bytes, header: PlyHeader) -> _Body:
    points, polygons, place = np.empty((0, 3)), [], 0
    for element in header.elements:
        if any(item.length for item in element.properties):
            rows, place = _rows_with_lists(path, content, place, element)
            points = _points(rows) if element.name == "vertex" else points
            polygons = [_polygon(row) for row in rows] if element.name == "face" else polygons
            continue
        kind = np.dtype([(item.name, item.kind) for item in element.properties])
        end = place + kind.itemsize * element.number
        if end > len(content):
            raise _broken(path, element, (len(content) - place) // kind.itemsize, _END)
        table, place = np.frombuffer(content, kind, element.number, place), end
        if element.name == "vertex":
            points = np.stack([table[axis].astype(float) for axis in "xyz"], 1)
    return _Body(points, polygons)


def _rows_with_lists(path: Path, content: bytes, place: int, element: Element) -> tuple[list[Row], int]:
    rows = []
    for number in range(element.number):
        row = Row()
        try:
            for item in element.properties:
                size = 1
                if item.length:
                    (length,), place = _take(content, item.length, 1, place)
                    size = _size(length)
                values, place = _take(content, item.kind, size, place)
                row[item.name] = values if item.length else values[0]
        except ValueError as error:
            raise _broken(path, element, number, str(error)) from error
        rows.append(row)
    return rows, place


def _take(content: bytes, kind: str, count: int, place: int) -> tuple[list[Any], int]:
    """So many numbers, and the place behind them."""
    end = place + np.dtype(kind).itemsize * count
    if end > len(content):
        raise ValueError(_END)
    return np.frombuffer(content, kind, count, place).tolist(), end


def _size(count: float | int) -> int:
    if not (is_whole(count) and count >= 0):
        raise ValueError(f"a list of {count:g} numbers")
    return int(count)


def _points(rows: list[Row]) -> np.ndarray:
    return np.array([[row[axis] for axis in "xyz"] for row in rows], dtype=float).reshape(-1, 3)


def _polygon(row: Row) -> list[float | int]:
    found = next((row[name] for name in _CORNERS if name in row), [])
    return found if isinstance(found, list) else []


def _broken(path: Path, element: Element, number: int, got: str) -> DataError:
    return DataError(
        f"'{path}' must hold {element.number} of '{element.name}', got {got} after {number}. Copy it again."
    )
