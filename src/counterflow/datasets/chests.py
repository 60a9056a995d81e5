"""CheXpert: chest radiographs with fourteen findings, read from the files that its owners ship."""

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal

from counterflow.core.errors import ArgumentError, DataError
from counterflow.datasets.image_set import ImageSet
from counterflow.datasets.listings import Entry, as_names, find, read_csv, read_set
from counterflow.datasets.pictures import Fit

__all__ = ["FINDINGS", "Uncertain", "View", "chexpert"]

FINDINGS = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema",
    "Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture",
    "Support Devices",
)  # fmt: skip
"""What CheXpert's reports are searched for, in the order of its columns."""

Uncertain = Literal["ones", "zeros", "leave out"]
View = Literal["frontal", "lateral"]

_UNCERTAIN = -1
_VALUES = {"": 0, "0": 0, "1": 1, "-1": _UNCERTAIN}


def chexpert(
    folder: str | Path,
    finding: str | Sequence[str] = "Cardiomegaly",
    *,
    uncertain: Uncertain = "leave out",
    view: View | None = "frontal",
    held_out: float = 0.1,
    split: str | None = None,
    limit: int | None = None,
    size: int | tuple[int, int] = 128,
    gray: bool = True,
    fit: Fit = "crop",
    progress: bool = True,
) -> ImageSet:
    """Read CheXpert: 223,648 radiographs of 64,740 patients, with findings that are there (1) or not (0).

    The folder is ``CheXpert-v1.0-small``, or the full ``CheXpert-v1.0``, with ``train.csv``, ``valid.csv`` and the
    pictures below ``train`` and ``valid``. A finding of which the report says nothing is not there. No patient is in
    two parts: ``"test"`` is the owners' ``valid.csv``, which radiologists labeled, and of the patients of ``train.csv``
    a share is held out as ``"valid"``, chosen by a checksum of their number, so that it never changes.

    Args:
        folder: Where the data set was unpacked.
        finding: The finding to predict, or several; see :data:`FINDINGS`.
        uncertain: What becomes of a finding that the report doubts (-1): it is there (``"ones"``), it is not
            (``"zeros"``), or the picture is left out.
        view: ``"frontal"`` or ``"lateral"``; ``None`` for both.
        held_out: The share of ``train.csv``'s patients that are held out, from 0 to below 1.
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
        DataError: A file is missing or damaged.
        ArgumentError: A setting is not understood.

    Reference:
        Irvin et al., "CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison", 2019.

    Example:
        >>> chexpert("/no/such/folder")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: there is no folder '/no/such/folder'. Unpack the data set and name ...
    """
    _check(uncertain=uncertain, view=view, held_out=held_out)
    names = as_names(finding, FINDINGS, what="finding")
    lists = {name: find(folder, [f"{name}.csv"]) for name in ("train", "valid")}
    entries = (
        entry
        for name, path in lists.items()
        for entry in _entries(
            path, names, uncertain=uncertain, view=view, held_out=held_out if name == "train" else None
        )
    )
    return read_set(
        entries,
        folder=Path(folder),
        label_names=names,
        one_label=isinstance(finding, str),
        split=split,
        limit=limit,
        size=size,
        gray=gray,
        fit=fit,
        progress=progress,
    )


def _entries(
    path: Path, names: Sequence[str], *, uncertain: Uncertain, view: View | None, held_out: float | None
) -> Iterator[Entry]:
    for row in read_csv(path, ["Path", "Frontal/Lateral", *names]):
        if view is not None and row["Frontal/Lateral"].lower() != view:
            continue
        values = [_value(row[name], name, row["Path"]) for name in names]
        if _UNCERTAIN in values and uncertain == "leave out":
            continue
        labels = tuple(value if value != _UNCERTAIN else int(uncertain == "ones") for value in values)
        within, patient = _picture(row["Path"])
        part = "test" if held_out is None else "valid" if _draw(patient) < held_out else "train"
        yield Entry(path.parent / within, labels, part)


def _value(text: str, finding: str, picture: str) -> int:
    """Read 1, 0, -1 or nothing."""
    short = text.strip().removesuffix(".0")
    if short not in _VALUES:
        raise DataError(f"a finding must be 1, 0, -1 or blank, got {text!r} for {finding!r} of '{picture}'.")
    return _VALUES[short]


def _picture(listed: str) -> tuple[str, str]:
    """Where a picture lies in the folder, and whose it is; lists name the folder itself first.

    Example:
        >>> _picture("CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg")
        ('train/patient00001/study1/view1_frontal.jpg', 'patient00001')
    """
    pieces = PurePosixPath(listed).parts
    starts = [place for place, piece in enumerate(pieces) if piece.startswith("patient")]
    if not starts or starts[0] == 0:
        raise DataError(f"a path must be like 'CheXpert-v1.0-small/train/patient00001/...', got {listed!r}.")
    return "/".join(pieces[starts[0] - 1 :]), pieces[starts[0]]


def _draw(patient: str) -> float:
    """A number from 0 to 1 that belongs to a patient."""
    return zlib.crc32(patient.encode()) / 2**32


def _check(*, uncertain: str, view: str | None, held_out: float) -> None:
    if uncertain not in ("ones", "zeros", "leave out"):
        raise ArgumentError(f"uncertain must be 'ones', 'zeros' or 'leave out', got {uncertain!r}.")
    if view not in ("frontal", "lateral", None):
        raise ArgumentError(f"view must be 'frontal', 'lateral' or None for both, got {view!r}.")
    if not 0 <= held_out < 1:
        raise ArgumentError(f"held_out must be at least 0 and below 1, got {held_out}. Choose 0.1, for example.")
