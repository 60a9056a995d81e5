"""Reading a text file of numbers line by line, with errors that say where."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from counterflow.core.errors import DataError
from counterflow.pointclouds.mesh import Mesh, fan

__all__ = ["Lines", "is_count", "is_whole", "make_mesh", "to_floats"]


class Lines:
    r"""The lines of a file that are neither empty nor comments, as words.

    Args:
        path: Named in errors.
        text: What the file holds.
        first: The number of the first line.
        comment: What begins a comment; ``None`` for no comments.

    Example:
        >>> lines = Lines(Path("a.off"), "OFF # a comment\n\n1 2 3", comment="#")
        >>> lines.words("a word"), lines.numbers(3, "three numbers")
        (['OFF'], [1.0, 2.0, 3.0])
    """

    def __init__(self, path: Path, text: str, *, first: int = 1, comment: str | None = None) -> None:
        self.path, self.number = path, first - 1
        self._lines = self._read(text, first, comment)

    def words(self, expected: str) -> list[str]:
        """The words of the next line; an error if the file has ended."""
        found = next(self._lines, None)
        if found is None:
            raise DataError(f"'{self.path}' must go on with {expected}, got its end after line {self.number}.")
        self.number, words = found
        return words

    def numbers(self, count: int, expected: str) -> list[float]:
        """The first numbers of the next line, of which there must be at least ``count``."""
        words = self.words(expected)
        try:
            values = [float(word) for word in words]
        except ValueError:
            self.fail(expected, " ".join(words))
        if len(values) < count:
            self.fail(expected, " ".join(words))
        return values

    def polygon(self, corners: int) -> list[int]:
        """The next line as a number n and the places of n corners."""
        expected = f"a number n of at least 3 and n corners from 0 to {corners - 1}, all of them whole"
        values = self.numbers(1, expected)
        n = int(values[0]) if 3 <= values[0] < len(values) and is_whole(values[0]) else 0
        polygon = values[1 : 1 + n]
        if not n or not all(0 <= corner < corners and is_whole(corner) for corner in polygon):
            self.fail(expected, " ".join(f"{value:g}" for value in values))
        return [int(corner) for corner in polygon]

    def fail(self, expected: str, got: str) -> NoReturn:
        """Say what the line should hold."""
        raise DataError(f"'{self.path}', line {self.number}, must hold {expected}, got '{got[:60]}'.")

    def _read(self, text: str, first: int, comment: str | None) -> Iterator[tuple[int, list[str]]]:
        for number, line in enumerate(text.splitlines(), first):
            words = (line if comment is None else line.partition(comment)[0]).split()
            if words:
                yield number, words


def is_count(word: str) -> bool:
    """Whether a word is a whole number from 0, in plain digits and no more of them than a computer counts by."""
    return re.fullmatch("[0-9]{1,18}", word) is not None


def is_whole(value: float | int) -> bool:
    """Whether a number has no fraction and is finite.

    Example:
        >>> [is_whole(value) for value in (2, 2.0, 1.5, float("inf"))]
        [True, True, False, False]
    """
    return float(value).is_integer()


def make_mesh(path: Path, vertices: Tensor, polygons: list[list[int]]) -> Mesh:
    """The mesh of a file.

    Raises:
        DataError: There is no vertex, or one is not finite.
    """
    if not len(vertices):
        raise DataError(f"'{path}' must hold at least one point, got none.")
    if not bool(vertices.isfinite().all()):
        bad = int((~vertices.isfinite()).any(1).nonzero()[0])
        raise DataError(f"'{path}' must hold finite points, got {vertices[bad].tolist()} as point {bad}.")
    triangles = [triangle for polygon in polygons for triangle in fan(polygon)]
    return Mesh(vertices, torch.tensor(triangles, dtype=torch.long).reshape(-1, 3))


def to_floats(values: np.ndarray, *types: np.dtype) -> np.ndarray:
    """Numbers as float32 where that holds every number of the types they came in, else as float64.

    Example:
        >>> [to_floats(np.arange(3), np.dtype(kind)).dtype.name for kind in ("u1", ">f4", "i4")]
        ['float32', 'float32', 'float64']
    """
    small = all(np.can_cast(kind, np.float32) for kind in types)
    with np.errstate(over="ignore"):  # what is beyond becomes infinite
        return values.astype(np.float32 if small else np.float64)
