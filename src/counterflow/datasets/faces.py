"""CelebA: faces of celebrities with forty attributes, read from the files that its owners ship."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from counterflow.core.errors import DataError
from counterflow.datasets.image_set import ImageSet
from counterflow.datasets.listings import Entry, as_names, find, read_csv, read_set
from counterflow.datasets.pictures import Fit

__all__ = ["celeba"]

_PICTURES = ["img_align_celeba/img_align_celeba", "img_align_celeba", "Img/img_align_celeba"]
_ATTRIBUTES = ["list_attr_celeba.txt", "Anno/list_attr_celeba.txt", "list_attr_celeba.csv"]
_PARTITION = ["list_eval_partition.txt", "Eval/list_eval_partition.txt", "list_eval_partition.csv"]
_PARTS = {"0": "train", "1": "valid", "2": "test"}
_BITS = {"1": 1, "-1": 0}


def celeba(
    folder: str | Path,
    attribute: str | Sequence[str] = "Blond_Hair",
    *,
    split: str | None = None,
    limit: int | None = None,
    size: int | tuple[int, int] = 64,
    gray: bool = False,
    fit: Fit = "crop",
    progress: bool = True,
) -> ImageSet:
    """Read CelebA: 202,599 aligned faces of 178 by 218 pixels, with attributes that are there (1) or not (0).

    The folder holds ``img_align_celeba`` with the pictures, and the lists of attributes and parts: as text files, also
    below ``Anno``, ``Eval`` and ``Img`` as their owners ship them, or as the CSV files that Kaggle ships. Each
    picture is made small as it is read; all of them take 2.5 GB at 64 by 64.

    Args:
        folder: Where the data set was unpacked.
        attribute: The attribute to predict, or several.
        split: ``"train"``, ``"valid"`` or ``"test"``; ``None`` for all three.
        limit: At most so many pictures of each part, the first of its list.
        size: ``(height, width)``, or one number for both.
        gray: One channel in place of three.
        fit: ``"crop"`` cuts a square out of the center, ``"stretch"`` changes the shape.
        progress: Show a bar on a terminal once two seconds have passed.

    Returns:
        The pictures; labels are whole numbers.

    Raises:
        MissingExtra: Pillow is not installed.
        DataError: A file is missing or damaged, or the lists do not fit together.
        ArgumentError: An attribute, the part or the limit is not understood.

    Reference:
        Liu, Luo, Wang, Tang, "Deep Learning Face Attributes in the Wild", 2015.

    Example:
        >>> celeba("/no/such/folder")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: there is no folder '/no/such/folder'. Unpack the data set and name ...
    """
    attributes, partition = find(folder, _ATTRIBUTES), find(folder, _PARTITION)
    known, rows = _csv_attributes(attributes) if attributes.suffix == ".csv" else _text_attributes(attributes)
    names = as_names(attribute, known, what="attribute")
    places = [known.index(name) for name in names]
    parts, pictures = _parts(partition), find(folder, _PICTURES)
    if parts.keys() != rows.keys():
        odd = sorted(parts.keys() ^ rows.keys())
        raise DataError(
            f"'{attributes}' and '{partition}' must list the same pictures, got {len(rows)} and {len(parts)}; "
            f"{odd[0]!r} stands in one alone. Fetch both again."
        )
    return read_set(
        _entries(rows, parts, places=places, pictures=pictures, source=attributes),
        folder=Path(folder),
        label_names=names,
        one_label=isinstance(attribute, str),
        split=split,
        limit=limit,
        size=size,
        gray=gray,
        fit=fit,
        progress=progress,
    )


def _entries(
    rows: dict[str, list[str]], parts: dict[str, str], *, places: list[int], pictures: Path, source: Path
) -> Iterator[Entry]:
    for name, values in rows.items():
        try:
            labels = tuple(_BITS[values[place]] for place in places)
        except (KeyError, IndexError) as error:
            raise DataError(f"'{source}' must say 1 or -1 of every attribute, and of {name!r} does not.") from error
        yield Entry(pictures / name, labels, parts[name])


def _text_attributes(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    """Read a file whose first line counts its pictures and whose second names attributes."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = {row[0]: row[1:] for row in map(str.split, lines[2:]) if row}
    count = lines[0].strip() if lines else ""
    if count != str(len(rows)):
        raise DataError(f"the first line of '{path}' must count the {len(rows)} pictures below, got {count!r}.")
    return lines[1].split(), rows


def _csv_attributes(path: Path) -> tuple[list[str], dict[str, list[str]]]:
    rows = read_csv(path, ["image_id"])
    known = [name for name in rows[0] if name != "image_id"] if rows else []
    return known, {row["image_id"]: [row[name] for name in known] for row in rows}


def _parts(path: Path) -> dict[str, str]:
    """The part of each picture."""
    if path.suffix == ".csv":
        pairs = [(row["image_id"], row["partition"]) for row in read_csv(path, ["image_id", "partition"])]
    else:
        pairs = [(*line.split(), "")[:2] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    wrong = [name for name, part in pairs if part not in _PARTS]
    if wrong:
        raise DataError(f"'{path}' must say 0, 1 or 2 of every picture, and of {wrong[0]!r} does not. Fetch it again.")
    return {name: _PARTS[part] for name, part in pairs}
