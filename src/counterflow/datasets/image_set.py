"""A set of pictures in memory, with labels, file names and parts."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Shaped, UInt8
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.tables.hints import listed

__all__ = ["ImageSet"]


@dataclass(frozen=True, eq=False)
class ImageSet:
    """Pictures as bytes, one row for each in every field.

    Args:
        images: The pictures, 0 to 255.
        labels: What is to be predicted: one number for each picture, or one for each of several names.
        label_names: What the labels say.
        names: The file of each picture, relative to the folder.
        split: The part that each belongs to: ``"train"``, ``"valid"`` or ``"test"``.

    Example:
        >>> pictures = torch.tensor([0, 255], dtype=torch.uint8).reshape(2, 1, 1, 1)
        >>> data = ImageSet(pictures, torch.tensor([0, 1]), ("smiling",), ("a.jpg", "b.jpg"), ("train", "test"))
        >>> len(data), data.part("test").floats.tolist()
        (2, [[[[1.0]]]])
    """

    images: UInt8[Tensor, "n channels height width"] = field(repr=False)
    labels: Shaped[Tensor, "n *names"] = field(repr=False)
    label_names: tuple[str, ...]
    names: tuple[str, ...] = field(repr=False)
    split: tuple[str, ...] = field(repr=False)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def floats(self) -> Float[Tensor, "n channels height width"]:
        """The pictures as numbers from 0 to 1; four times the memory, so take a part first."""
        return self.images.float() / 255

    def part(self, name: str) -> "ImageSet":
        """The pictures of one part.

        Raises:
            ArgumentError: There is no such part.
        """
        rows = [row for row, part in enumerate(self.split) if part == name]
        if not rows:
            raise ArgumentError(f"the part must be one of {listed(sorted(set(self.split)))}, got {name!r}.")
        chosen = torch.tensor(rows)
        names = tuple(self.names[row] for row in rows)
        return ImageSet(self.images[chosen], self.labels[chosen], self.label_names, names, (name,) * len(rows))
