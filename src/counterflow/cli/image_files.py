"""Images in and out: a folder of pictures, or an npz file of arrays; written aside and renamed."""

import csv
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from counterflow.core.errors import ArgumentError, DataError, PersistenceError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Images", "check_new", "new_folder", "read_images", "write_arrays", "write_figure", "write_table"]

_PICTURES = (".png", ".jpg", ".jpeg")


class Images(NamedTuple):
    """Images that were read.

    Args:
        pixels: ``(n, channels, height, width)``, from 0 to 1.
        names: What each is called: its file in the folder, or its place in the array.
    """

    pixels: "Tensor"
    names: list[str]


def read_images(path: Path, *, size: int | None = None, gray: bool = False) -> Images:
    """Read a folder of pictures or an npz file.

    Args:
        path: The folder, searched with all that is in it for .png, .jpg and .jpeg; or a file ``.npz`` with an array x,
            ``(n, height, width)``, ``(n, height, width, channels)`` or ``(n, channels, height, width)``.
        size: Pixels a side that pictures are cut and shrunk to; ``None`` if they are of one size.
        gray: One channel of brightness for pictures in color.

    Raises:
        ArgumentError: There is nothing at this path, or a setting does not apply.
        DataError: Files are no pictures or of several sizes, or the array is missing or holds no images.
        ShapeError: The array has another shape.
        MissingExtra: Pillow is not installed.
    """
    if path.is_dir():
        return _read_folder(path, size=size, gray=gray)
    if path.suffix.lower() != ".npz":
        raise ArgumentError(f"'{path}' must be a folder of pictures or a file .npz.")
    if not path.is_file():
        raise ArgumentError(f"there is no file '{path}' in '{Path.cwd()}'.")
    if size is not None or gray:
        raise ArgumentError(f"--image-size and --gray are for pictures: '{path}' is taken as it is. Leave them out.")
    from counterflow.estimators.pixels import as_images

    pixels = as_images(_array(path), name=f"'{path}', x:")
    return Images(pixels, [f"image-{place:05d}" for place in range(len(pixels))])


def _read_folder(folder: Path, *, size: int | None, gray: bool) -> Images:
    from counterflow.datasets.pictures import picture_form, read_pictures

    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _PICTURES and path.is_file())
    if not paths:
        raise DataError(f"the folder '{folder}' holds no pictures: files that end in {', '.join(_PICTURES)}.")
    forms = [picture_form(path) for path in paths]
    if size is None and (other := next((row for row, form in enumerate(forms) if form[:2] != forms[0][:2]), None)):
        sizes = [f"{width}x{height}" for height, width, _ in (forms[0], forms[other])]
        raise DataError(
            f"'{paths[0]}' has {sizes[0]} pixels and '{paths[other]}' has {sizes[1]}. Say --image-size 64, for "
            "example, to cut and shrink all to one size."
        )
    gray = gray or all(form[2] for form in forms)
    pixels = read_pictures(paths, size=forms[0][:2] if size is None else size, gray=gray)
    return Images(pixels.float() / 255, [path.relative_to(folder).as_posix() for path in paths])


def _array(path: Path) -> Any:
    """The array x of a file; one that could hold code is not opened."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "x" not in arrays:
                known = ", ".join(arrays.files) or "nothing"
                raise DataError(f"'{path}' has no array x, but {known}. Save it with numpy.savez(path, x=images).")
            return arrays["x"]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"'{path}' cannot be read: {error}. Save it with numpy.savez(path, x=images).") from error


def check_new(path: Path) -> None:
    """Refuse an output whose place is not there, or a folder that holds something, before any work is done.

    Raises:
        ArgumentError: It is a file that is no .npz, or a folder that is not empty.
        PersistenceError: There is no folder around it.
    """
    if not path.parent.is_dir():
        raise PersistenceError(f"there is no folder '{path.parent}' to write '{path.name}' to. Make it first.")
    if path.suffix and path.suffix.lower() != ".npz":
        raise ArgumentError(f"'{path}' must end in .npz, or be the name of a new folder of pictures.")
    if not path.suffix and path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ArgumentError(f"'{path}' is there already. Name a new folder for the pictures.")


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to an npz file."""
    from counterflow.persistence import atomic_path

    with atomic_path(path) as aside:
        np.savez_compressed(aside, **arrays)


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Write rows as CSV."""
    from counterflow.persistence import atomic_write

    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    atomic_write(path, text.getvalue())


def write_figure(axes: Any, path: Path) -> None:
    """Write the figure of axes as a picture; the suffix says the form."""
    from counterflow.persistence import atomic_path

    with atomic_path(path) as aside:
        axes.figure.savefig(aside, dpi=100)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Lend a folder beside ``path``, and rename it at the end; it is removed if the block raises.

    Raises:
        PersistenceError: The system refused it.
    """
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        yield aside
        aside.chmod(0o755)
        os.replace(aside, path)
    except OSError as error:
        raise PersistenceError(f"Could not write '{path}': {error.strerror or error}.") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
