"""The reader of OFF files."""

from pathlib import Path

import torch

from counterflow.core.errors import DataError
from counterflow.pointclouds.lines import Lines, is_count, make_mesh
from counterflow.pointclouds.mesh import Mesh

__all__ = ["parse_off"]

_HEADS = ("OFF", "COFF", "NOFF", "CNOFF")


def parse_off(path: Path, text: str) -> Mesh:
    r"""Read the text of an OFF file: points and polygons; colors and normals are passed over.

    The counts may stand right behind the head, as in some files of ModelNet: ``OFF490 518 0``.

    Args:
        path: Named in errors.
        text: What the file holds.

    Raises:
        DataError: It is no OFF file, or damaged; the sentence names the line.

    Example:
        >>> parse_off(Path("a.off"), "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2").faces.tolist()
        [[0, 1, 2]]
    """
    if "\x00" in text:
        raise DataError(f"'{path}' must be an OFF file of text, got a binary one. Save it as text.")
    lines = Lines(path, text, comment="#")
    words = lines.words("'OFF'")
    head = next((head for head in _HEADS if words[0].startswith(head)), None)
    if head is None:
        lines.fail("'OFF', the head of such files", " ".join(words))
    expected = "the numbers of points and of faces"
    words = [word for word in (words[0].removeprefix(head), *words[1:]) if word] or lines.words(expected)
    if len(words) < 2 or not all(is_count(word) for word in words[:2]):
        lines.fail(expected, " ".join(words))
    corners, faces = int(words[0]), int(words[1])
    points = [lines.numbers(3, f"point {k} of {corners}, three numbers")[:3] for k in range(corners)]
    return make_mesh(path, torch.tensor(points).reshape(-1, 3), [lines.polygon(corners) for _ in range(faces)])
