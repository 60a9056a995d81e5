"""What the readers of image sets share: files that must be there, columns that must be there, and rows of pictures."""

import csv
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError
from counterflow.datasets.image_set import ImageSet
from counterflow.datasets.pictures import Fit, read_pictures
from counterflow.tables.hints import did_you_mean, listed

__all__ = ["Entry", "as_names", "find", "place_of", "read_csv", "read_set"]


class Entry(NamedTuple):
    """A picture that is listed and not yet read.

    Args:
        path: Its file.
        labels: One number for each name that was asked for.
        part: ``"train"``, ``"valid"`` or ``"test"``.
    """

    path: Path
    labels: tuple[float, ...]
    part: str


def find(folder: str | Path, places: Sequence[str]) -> Path:
    """The first of several places in a folder at which there is something.

    Raises:
        DataError: The folder is missing, or there is nothing at any of the places.

    Example:
        >>> find("/no/such/folder", ["frames"])
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: there is no folder '/no/such/folder'. Unpack the data set and name ...
    """
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder '{folder}'. Unpack the data set and name the folder that holds it.")
    there = [path for path in (Path(folder, place) for place in places) if path.exists()]
    if not there:
        raise DataError(
            f"the folder '{folder}' must hold {' or '.join(repr(place) for place in places)}, and does not. "
            "Unpack the data set as its owners ship it."
        )
    return there[0]


def read_csv(path: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a file with commas and a heading.

    Raises:
        DataError: A column is missing.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        for column in columns:
            place_of(column, rows.fieldnames or [], where=path)
        return list(rows)


def place_of(column: str, heading: Sequence[str], *, where: Path) -> int:
    """Where a column stands in a heading.

    Raises:
        DataError: It does not.

    Example:
        >>> place_of("Smiling", ["Male", "Smiling"], where=Path("list.txt"))
        1
    """
    if column not in heading:
        raise DataError(
            f"'{where}' must have a column {column!r}, got {listed(list(heading))}.{did_you_mean(column, heading)}"
        )
    return list(heading).index(column)


def as_names(asked: str | Sequence[str], known: Sequence[str], *, what: str) -> tuple[str, ...]:
    """One name or several, all of them known.

    Raises:
        ArgumentError: One is not known, or there is none.

    Example:
        >>> as_names("Edema", ["Edema", "Fracture"], what="finding")
        ('Edema',)
    """
    names = (asked,) if isinstance(asked, str) else tuple(asked)
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        got = unknown[0] if unknown else ()
        raise ArgumentError(f"{what} must be among {listed(known, limit=40)}, got {got!r}.{did_you_mean(got, known)}")
    return names


def read_set(
    entries: Iterable[Entry],
    *,
    folder: Path,
    label_names: tuple[str, ...],
    one_label: bool,
    split: str | None,
    limit: int | None,
    size: int | tuple[int, int],
    gray: bool,
    fit: Fit,
    progress: bool,
) -> ImageSet:
    """Read the pictures that are wanted of those that are listed.

    Raises:
        ArgumentError: There is no such part, or ``limit`` is no count.
        DataError: A picture is missing or broken, or none is listed.
    """
    parts: dict[str, list[Entry]] = {}
    for entry in entries:
        parts.setdefault(entry.part, []).append(entry)
    if not parts:
        raise DataError(f"no picture is listed in '{folder}'. Unpack the data set again.")
    if split is not None and split not in parts:
        raise ArgumentError(f"split must be one of {listed(sorted(parts))} or None for all, got {split!r}.")
    if limit is not None:
        check_count(limit, "limit")
    wanted = [entry for part in (parts if split is None else [split]) for entry in islice(parts[part], limit)]
    labels = torch.tensor([entry.labels for entry in wanted])
    return ImageSet(
        images=read_pictures([entry.path for entry in wanted], size=size, gray=gray, fit=fit, progress=progress),
        labels=labels[:, 0] if one_label else labels,
        label_names=label_names,
        names=tuple(entry.path.relative_to(folder).as_posix() for entry in wanted),
        split=tuple(entry.part for entry in wanted),
    )
