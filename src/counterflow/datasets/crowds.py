"""Mall: a camera above a shopping mall and how many people it sees, read from the files that its owners ship."""

from pathlib import Path
from typing import Any

import numpy as np

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError
from counterflow.datasets.image_set import ImageSet
from counterflow.datasets.listings import Entry, find, read_set

__all__ = ["mall"]


def mall(
    folder: str | Path,
    *,
    split: str | None = None,
    train: int = 800,
    limit: int | None = None,
    size: int | tuple[int, int] = 64,
    gray: bool = False,
    progress: bool = True,
) -> ImageSet:
    """Read Mall: 2,000 frames of 480 by 640 pixels in the order in which they were taken, with the number of people.

    The folder is ``mall_dataset`` with ``frames/seq_000001.jpg`` and so on, and ``mall_gt.mat``, which holds the
    counts and where each head is. Frames are stretched to the size that is asked, never cropped: nobody who was counted
    is cut away.

    Args:
        folder: Where the data set was unpacked.
        split: ``"train"`` or ``"test"``; ``None`` for both.
        train: How many frames, the first, are for training; 800 is the standard.
        limit: At most so many frames of each part, the first of them.
        size: ``(height, width)``, or one number for both.
        gray: One channel in place of three.
        progress: Show a bar on a terminal once two seconds have passed.

    Returns:
        The frames; labels are counts, as floats.

    Raises:
        MissingExtra: Pillow is not installed.
        DataError: A file is missing or damaged, or frames, counts and heads do not fit together.
        ArgumentError: The part or a number is not understood.

    Reference:
        Chen, Loy, Gong, Xiang, "Feature Mining for Localised Crowd Counting", 2012.

    Example:
        >>> mall("/no/such/folder")
        Traceback (most recent call last):
        ...
        counterflow.core.errors.DataError: there is no folder '/no/such/folder'. Unpack the data set and name ...
    """
    check_count(train, "train")
    frames = find(folder, ["frames"])
    counts = _counts(find(folder, ["mall_gt.mat"]))
    there = len(list(frames.glob("seq_*.jpg")))
    if there != len(counts):
        raise DataError(f"'{frames}' must hold a frame for each of {len(counts)} counts, got {there}. Unpack it again.")
    return read_set(
        (
            Entry(frames / f"seq_{place + 1:06d}.jpg", (count,), "train" if place < train else "test")
            for place, count in enumerate(counts)
        ),
        folder=Path(folder),
        label_names=("count",),
        one_label=True,
        split=split,
        limit=limit,
        size=size,
        gray=gray,
        fit="stretch",
        progress=progress,
    )


def _counts(path: Path) -> list[float]:
    """The number of people in each frame, which must be that of the heads."""
    truth = _read(path)
    if not {"count", "frame"} <= truth.keys():
        raise DataError(f"'{path}' must hold 'count' and 'frame'. Fetch it again.")
    counts = np.asarray(truth["count"], dtype=float).reshape(-1)
    frames = truth["frame"] if isinstance(truth["frame"], list) else [truth["frame"]]  # scipy unpacks a single one
    heads = np.array([np.asarray(frame["loc"]).size // 2 for frame in frames], dtype=float)
    if len(heads) != len(counts):
        raise DataError(f"'{path}' must hold heads for each of {len(counts)} counts, got {len(heads)}. Fetch it again.")
    if (heads != counts).any():
        first = int((heads != counts).argmax())
        raise DataError(
            f"'{path}' counts {counts[first]:g} people in frame {first + 1} and locates {heads[first]:g}. "
            "Fetch it again."
        )
    return counts.tolist()


def _read(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat  # comes with scikit-learn

    try:
        return loadmat(str(path), simplify_cells=True)
    except Exception as error:  # scipy stumbles over damaged files in many ways
        raise DataError(f"'{path}' cannot be read: {error}. Fetch it again.") from error
