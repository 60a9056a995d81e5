"""What image estimators take: bytes or numbers from 0 to 1, of several axes' orders, as one kind of tensor."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import DataError, ShapeError

__all__ = ["as_images", "with_noise"]


def as_images(images: Any, *, name: str = "images") -> Float[Tensor, "n channels height width"]:
    """Bring images into the form that flows of images take: float32 from 0 to 1, channels first.

    Args:
        images: An array or a tensor, ``(n, height, width)``, ``(n, channels, height, width)`` or
            ``(n, height, width, channels)`` with 1 or 3 channels; bytes are divided by 255, other numbers must lie
            between 0 and 1.
        name: What they are called in sentences.

    Raises:
        ShapeError: These are no images.
        DataError: There are none, or numbers lie outside 0 to 1.

    Example:
        >>> as_images(torch.full((2, 4, 4, 3), 255, dtype=torch.uint8)).shape
        torch.Size([2, 3, 4, 4])
    """
    pixels = torch.as_tensor(images)
    if pixels.dim() == 3:
        pixels = pixels[:, None]
    elif pixels.dim() == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.movedim(3, 1)
    if pixels.dim() != 4 or not pixels.numel() or pixels.shape[1] not in (1, 3):
        raise ShapeError(
            f"{name} must have shape (n, height, width), (n, channels, height, width) or (n, height, width, channels) "
            f"with 1 or 3 channels, got {tuple(pixels.shape)}."
        )
    if pixels.dtype == torch.uint8:
        return pixels.contiguous().float() / 255
    if not pixels.is_floating_point():
        raise DataError(f"{name} must be bytes (uint8) or numbers from 0 to 1, got {pixels.dtype}. Convert them first.")
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= 0 and high <= 1):
        raise DataError(f"{name} must lie between 0 and 1, got numbers from {low:.4g} to {high:.4g}. Rescale them.")
    return pixels.contiguous().float()


def with_noise(levels: int) -> Any:
    r"""Spread each gray level evenly over its cell: what the training loop does to each batch.

    .. math:: x' = x + \frac{u - 1/2}{L - 1}, \quad u \sim U(0, 1)

    Args:
        levels: The number L of gray levels, which lie evenly between 0 and 1.

    Example:
        >>> spread, weight = with_noise(3)(torch.full((1, 1000), 0.5), torch.Generator())
        >>> 0.25 <= spread.min().item() < spread.max().item() <= 0.75, weight
        (True, 0.0)
    """

    def augment(x: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
        return x + (noise - 0.5) / (levels - 1), 0.0

    return augment
