"""Convolutional networks from images to vectors and from vectors to images, over sides that halve or double."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from counterflow.core.checks import check_count
from counterflow.core.errors import ShapeError
from counterflow.nets.conv import make_conv
from counterflow.nets.linear import get_activation, make_linear

__all__ = ["ImageDecoder", "ImageEncoder"]


class ImageEncoder(nn.Module):
    r"""From an image to a vector: convolutions that halve the sides, then one linear layer.

    .. math:: h_{i+1} = \phi(W_i *_2 h_i + b_i), \qquad y = V h + c

    Any size is taken: a side of s becomes one of s / 2, rounded up.

    Args:
        event_shape: ``(channels, height, width)``.
        outputs: Length of the vector.
        widths: Channels after each halving.
        activation: Name of the nonlinearity (see ``counterflow.nets.ACTIVATIONS``).
        generator: Where the weights are drawn from.

    Raises:
        ShapeError: The points are no images.

    Example:
        >>> ImageEncoder((3, 5, 8), 2, widths=(4, 4))(torch.zeros(7, 3, 5, 8)).shape
        torch.Size([7, 2])
    """

    def __init__(
        self,
        event_shape: tuple[int, ...],
        outputs: int,
        *,
        widths: tuple[int, ...] = (32, 64),
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        channels, *_ = _checked(event_shape, widths)
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        self.layers = nn.ModuleList(
            make_conv(a, b, stride=2, generator=generator) for a, b in pairwise((channels, *widths))
        )
        height, width = _sizes(event_shape, len(widths))[-1]
        self.last = make_linear(widths[-1] * height * width, outputs, generator=generator)

    def forward(self, x: Float[Tensor, "rows channels height width"]) -> Float[Tensor, "rows outputs"]:
        """Compute the vectors."""
        phi = get_activation(self.activation)
        for layer in self.layers:
            x = phi(layer(x))
        return self.last(x.flatten(1))


class ImageDecoder(nn.Module):
    r"""From a vector to an image: a linear layer, then convolutions between which the sides double.

    .. math:: h_0 = V z + c, \qquad h_{i+1} = \phi\big(N(W_i * \operatorname{up}(h_i) + b_i)\big), \qquad
        y = W * h + b

    Pixels are doubled by repeating them: transposed convolutions would leave checkerboards. N, if it is asked for,
    divides each pixel by the root mean square of its channels; images never mix.

    Args:
        inputs: Length of the vector.
        event_shape: ``(channels, height, width)``, of any size.
        widths: Channels at each size, from the smallest to the full one; each size is half of the next, rounded up.
        activation: Name of the nonlinearity.
        normalize: Whether pixels are normalized after each convolution.
        recompute: Keep nothing within the blocks for the backward pass but compute it again: less memory, one more
            forward pass.
        generator: Where the weights are drawn from.

    Raises:
        ShapeError: The points are no images.

    Reference:
        Odena, Dumoulin, Olah, "Deconvolution and Checkerboard Artifacts", Distill, 2016, for the doubling.
        Karras, Aila, Laine, Lehtinen, "Progressive Growing of GANs for Improved Quality, Stability, and Variation",
        2018, section 4.2, for the normalization.

    Example:
        >>> ImageDecoder(2, (3, 5, 8), widths=(8, 4))(torch.zeros(7, 2)).shape
        torch.Size([7, 3, 5, 8])
    """

    def __init__(
        self,
        inputs: int,
        event_shape: tuple[int, ...],
        *,
        widths: tuple[int, ...] = (64, 32, 16),
        activation: str = "silu",
        normalize: bool = False,
        recompute: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        channels, *_ = _checked(event_shape, widths)
        self.sizes = _sizes(event_shape, len(widths) - 1)[::-1]
        self.recompute = recompute
        height, width = self.sizes[0]
        self.first = make_linear(inputs, widths[0] * height * width, generator=generator)
        self.blocks = nn.ModuleList(
            _Doubling(a, b, size=size, activation=activation, normalize=normalize, generator=generator)
            for (a, b), size in zip(pairwise(widths), self.sizes[1:], strict=True)
        )
        self.last = make_conv(widths[-1], channels, generator=generator)

    def forward(self, z: Float[Tensor, "rows inputs"]) -> Float[Tensor, "rows channels height width"]:
        """Compute the images."""
        again = self.recompute and torch.is_grad_enabled()
        h = self.first(z).unflatten(1, (-1, *self.sizes[0]))
        for block in self.blocks:
            h = cast("Tensor", checkpoint(block, h, use_reentrant=False)) if again else block(h)
        return self.last(h)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"sizes={self.sizes}, recompute={self.recompute}"


class _Doubling(nn.Module):
    """Repeat pixels, convolve, normalize, bend."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        size: tuple[int, int],
        activation: str,
        normalize: bool,
        generator: torch.Generator | None,
    ) -> None:
        super().__init__()
        self.size, self.activation, self.normalize = size, activation, normalize
        get_activation(activation)
        self.conv = make_conv(inputs, outputs, generator=generator)

    def forward(self, h: Tensor) -> Tensor:
        h = self.conv(functional.interpolate(h, size=self.size, mode="nearest"))
        if self.normalize:
            h = h * (h.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return get_activation(self.activation)(h)


def _sizes(event_shape: tuple[int, ...], halvings: int) -> list[tuple[int, int]]:
    """The sides of an image, halved so many times."""
    sizes = [(event_shape[1], event_shape[2])]
    for _ in range(halvings):
        height, width = sizes[-1]
        sizes.append((-(-height // 2), -(-width // 2)))
    return sizes


def _checked(event_shape: tuple[int, ...], widths: tuple[int, ...]) -> tuple[int, ...]:
    if len(event_shape) != 3 or min(event_shape) < 1:
        raise ShapeError(f"event_shape must be (channels, height, width), got {event_shape}. Name three sizes above 0.")
    check_count(len(widths), "the number of widths")
    return event_shape
