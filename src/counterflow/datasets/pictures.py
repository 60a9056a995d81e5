"""The one door to Pillow: picture files become bytes of one size, one picture at a time, and bytes become a file."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, DataError, MissingExtra

__all__ = ["Fit", "picture_form", "read_pictures", "write_picture"]

Fit = Literal["crop", "stretch"]


def read_pictures(
    paths: Sequence[Path],
    *,
    size: int | tuple[int, int],
    gray: bool = False,
    fit: Fit = "crop",
    progress: bool = True,
) -> UInt8[Tensor, "n channels height width"]:
    """Read picture files, each made small as soon as it is read: memory holds one of full size.

    Args:
        paths: The files.
        size: ``(height, width)`` in pixels, or one number for both.
        gray: One channel of brightness in place of red, green and blue.
        fit: ``"crop"`` cuts the largest piece of the right shape out of the center, then shrinks it; ``"stretch"``
            shrinks the whole picture, whatever becomes of its shape.
        progress: Show a bar on an interactive terminal once two seconds have passed.

    Returns:
        The pictures, 0 to 255.

    Raises:
        MissingExtra: Pillow is not installed.
        DataError: A file is missing or is no picture.
        ArgumentError: ``size`` or ``fit`` is not understood.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "white.png")
        ...     Image.new("RGB", (6, 4), "white").save(path)
        ...     read_pictures([path], size=2, gray=True).tolist()
        [[[[255, 255], [255, 255]]]]
    """
    _require_pillow("reading pictures")
    height, width = (size, size) if isinstance(size, int) else size
    check_count(height, "size")
    check_count(width, "size")
    if fit not in ("crop", "stretch"):
        raise ArgumentError(f"fit must be 'crop' or 'stretch', got {fit!r}. Choose one of these.")
    pixels = torch.empty(len(paths), 1 if gray else 3, height, width, dtype=torch.uint8)
    for row, path in enumerate(tqdm(paths, desc="reading", unit="picture", delay=2.0, disable=_quiet(progress))):
        pixels[row] = _read(path, (width, height), mode="L" if gray else "RGB", fit=fit)
    return pixels


def picture_form(path: Path) -> tuple[int, int, bool]:
    """The height and width of a picture file in pixels, and whether it is gray.

    Raises:
        MissingExtra: Pillow is not installed.
        DataError: The file is no picture.
    """
    _require_pillow("reading pictures")
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.height, picture.width, picture.mode in ("1", "L", "LA", "I;16", "I")
    except (OSError, SyntaxError) as error:
        raise DataError(f"the picture '{path}' cannot be read: {error}. Remove or replace this file.") from error


def write_picture(path: Path, pixels: Float[Tensor, "channels height width"]) -> None:
    """Write numbers from 0 to 1, gray or in color, as a picture; the suffix says the form.

    Raises:
        MissingExtra: Pillow is not installed.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "gray.png")
        ...     write_picture(path, torch.full((1, 2, 3), 0.5))
        ...     picture_form(path)
        (2, 3, True)
    """
    _require_pillow("writing pictures")
    from PIL import Image

    values = (255 * pixels.clamp(0, 1)).round().byte().movedim(0, -1).cpu().numpy()
    Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).save(path)


def _require_pillow(use: str) -> None:
    if find_spec("PIL") is None:
        raise MissingExtra(use, "pillow", "images")


def _quiet(progress: bool) -> bool | None:  # noqa: FBT001  tqdm's three values: never, or where there is a terminal
    return None if progress else True


def _read(path: Path, size: tuple[int, int], *, mode: str, fit: Fit) -> Tensor:
    from PIL import Image

    try:
        with Image.open(path) as picture:
            small: Any = picture.convert(mode).resize(
                size, Image.Resampling.BILINEAR, box=_center(picture.size, size) if fit == "crop" else None
            )
    except FileNotFoundError as error:
        raise DataError(f"the picture '{path}' is listed and not there. Unpack the data set again.") from error
    except (OSError, SyntaxError) as error:  # Pillow's words for what is no picture, is cut off, or is broken
        raise DataError(f"the picture '{path}' cannot be read: {error}. Fetch this file again.") from error
    return torch.from_numpy(np.array(small)).reshape(size[1], size[0], -1).movedim(-1, 0)


def _center(have: tuple[int, int], want: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest box of the wanted shape in the middle of a picture; sizes are (width, height).

    Example:
        >>> _center((178, 218), (64, 64))
        (0.0, 20.0, 178.0, 198.0)
    """
    scale = min(have[0] / want[0], have[1] / want[1])
    left, top = (have[0] - want[0] * scale) / 2, (have[1] - want[1] * scale) / 2
    return left, top, have[0] - left, have[1] - top
