"""Several inputs of different shapes, packed into one row of numbers, each read by a network of its own."""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["PackedEncoder", "pack"]


def pack(*inputs: Float[Tensor, "rows ..."]) -> Float[Tensor, "rows packed"]:
    """Lay inputs of any shapes side by side, flat.

    Args:
        inputs: As many rows of each.

    Example:
        >>> pack(torch.zeros(5, 2, 3), torch.ones(5, 1, 4, 4)).shape
        torch.Size([5, 22])
    """
    return torch.cat([part.flatten(1) for part in inputs], 1)


class PackedEncoder(nn.Module):
    r"""Read each input by its own network, and join what they say: :math:`e(x) = [e_1(x_1), \dots, e_k(x_k)]`.

    Args:
        parts: Each network, and the shape of what it reads, in the order of :func:`pack`.

    Raises:
        ArgumentError: There is no part.

    Example:
        >>> from counterflow.nets import ImageEncoder, RecurrentEncoder
        >>> both = {RecurrentEncoder(2, 8): (2, 5), ImageEncoder((1, 16, 16), 24): (1, 16, 16)}
        >>> PackedEncoder(both)(pack(torch.zeros(7, 2, 5), torch.zeros(7, 1, 16, 16))).shape
        torch.Size([7, 32])
    """

    def __init__(self, parts: Mapping[nn.Module, tuple[int, ...]]) -> None:
        super().__init__()
        if not parts:
            raise ArgumentError("parts must name a network and the shape that it reads, got none.")
        self.nets = nn.ModuleList(parts)
        self.shapes = [tuple(shape) for shape in parts.values()]

    def forward(self, x: Float[Tensor, "*batch packed"]) -> Float[Tensor, "*batch outputs"]:
        """Encode packed rows.

        Raises:
            ShapeError: If rows are not as long as all parts together.
        """
        sizes = [math.prod(shape) for shape in self.shapes]
        if x.shape[-1] != sum(sizes):
            raise ShapeError(f"x must hold rows of {sum(sizes)} numbers, got {x.shape[-1]}. Pack the same parts.")
        parts = zip(self.nets, x.split(sizes, -1), self.shapes, strict=True)
        return torch.cat([net(part.unflatten(-1, shape)) for net, part, shape in parts], -1)
