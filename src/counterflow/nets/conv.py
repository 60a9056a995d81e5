"""Convolutional networks that condition couplings of images, with the context added to every pixel."""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.nets.linear import get_activation, make_linear

__all__ = ["ConvNet", "ResidualConvNet", "apply_conv", "make_conv", "make_conv_conditioner"]


def make_conv(
    inputs: int,
    outputs: int,
    *,
    kernel: int = 3,
    stride: int = 1,
    generator: torch.Generator | None = None,
    zero: bool = False,
) -> nn.Conv2d:
    """Make a convolution that keeps height and width, or every other row and column of them, without global randomness.

    Args:
        inputs: Number of channels that come in, at least 1.
        outputs: Number of channels that go out.
        kernel: Height and width of the window, odd; beyond the border there are zeros.
        stride: From one window to the next; with 2 a side of s becomes one of s / 2, rounded up.
        generator: Where the weights are drawn from; ``None`` is torch's own default generator.
        zero: Start with zero weights and biases, so that what follows starts as the identity.

    Returns:
        The layer, with the uniform initialization of ``torch.nn.Conv2d``.

    Example:
        >>> make_conv(2, 1, zero=True)(torch.ones(1, 2, 1, 3)).tolist()
        [[[[0.0, 0.0, 0.0]]]]
    """
    layer = cast(
        "nn.Conv2d", nn.utils.skip_init(nn.Conv2d, inputs, outputs, kernel, stride=stride, padding=kernel // 2)
    )
    bound = 1 / math.sqrt(inputs * kernel**2)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter) if zero else nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def apply_conv(
    x: Float[Tensor, "*batch inputs height width"], layer: nn.Conv2d
) -> Float[Tensor, "*batch outputs height width"]:
    """Apply a convolution to images with any leading dimensions.

    Example:
        >>> apply_conv(torch.zeros(5, 4, 2, 3, 3), make_conv(2, 7)).shape
        torch.Size([5, 4, 7, 3, 3])
    """
    y = layer(x.reshape(-1, *x.shape[-3:]))
    return y.reshape(*x.shape[:-3], *y.shape[-3:])


class ConvNet(nn.Module):
    r"""A convolutional network of an image and an optional context.

    .. math:: h_1 = W_1 * x + b_1 + V c, \quad h_{i+1} = W_{i+1} * \phi(h_i) + b_{i+1}

    The first and the last window are 3 by 3, those between look at one pixel. The context moves every pixel alike.

    Args:
        inputs: Number of channels of the image.
        outputs: Number of channels that come out.
        hidden: Channels of the hidden layers; empty for one convolution.
        context_features: Length of the context; 0 for none.
        activation: Name of the nonlinearity (see ``counterflow.nets.ACTIVATIONS``).
        zero: Start the last layer at zero: the output is zero until training moves it.
        generator: Where the weights are drawn from.

    Reference:
        Kingma, Dhariwal, "Glow: Generative Flow with Invertible 1x1 Convolutions", 2018, section 4.

    Example:
        >>> net = ConvNet(1, 2, hidden=(8, 8), context_features=3)
        >>> net(torch.zeros(5, 1, 4, 4), torch.zeros(5, 3)).shape
        torch.Size([5, 2, 4, 4])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        activation: str = "relu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(inputs, "inputs")
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        widths, last = (inputs, *hidden, outputs), len(hidden)
        self.layers = nn.ModuleList(
            make_conv(a, b, kernel=3 if i in (0, last) else 1, generator=generator, zero=zero and i == last)
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.context_layer = _context_layer(context_features, widths[1], generator, zero=zero and not hidden)

    def forward(
        self, x: Float[Tensor, "*batch inputs height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs height width"]:
        """Compute the output; leading dimensions of ``x`` and ``context`` broadcast."""
        phi = get_activation(self.activation)
        first, *rest = cast("list[nn.Conv2d]", list(self.layers))
        state = _moved(apply_conv(x, first), self.context_layer, context)
        for layer in rest:
            state = apply_conv(phi(state), layer)
        return state

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"


class ResidualConvNet(nn.Module):
    r"""A residual convolutional network of an image and an optional context, with pre-activation blocks.

    .. math:: h_0 = W_0 * x + b_0 + V c, \quad h_{i+1} = h_i + W_i' * \phi(W_i * \phi(h_i) + b_i) + b_i'

    All windows are 3 by 3, so each block sees two pixels farther.

    Args:
        inputs: Number of channels of the image.
        outputs: Number of channels that come out.
        width: Channels of the hidden state.
        blocks: Number of blocks, of two convolutions each.
        context_features: Length of the context; 0 for none.
        activation: Name of the nonlinearity.
        zero: Start the last layer at zero.
        generator: Where the weights are drawn from.

    Reference:
        He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", 2016, figure 1(b).

    Example:
        >>> ResidualConvNet(1, 2, width=8)(torch.zeros(5, 1, 3, 3)).shape
        torch.Size([5, 2, 3, 3])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 32,
        blocks: int = 2,
        context_features: int = 0,
        activation: str = "relu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(inputs, "inputs")
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        self.first = make_conv(inputs, width, generator=generator)
        self.context_layer = _context_layer(context_features, width, generator)
        self.blocks = nn.ModuleList(
            nn.ModuleList(make_conv(width, width, generator=generator) for _ in range(2)) for _ in range(blocks)
        )
        self.last = make_conv(width, outputs, generator=generator, zero=zero)

    def forward(
        self, x: Float[Tensor, "*batch inputs height width"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs height width"]:
        """Compute the output; leading dimensions of ``x`` and ``context`` broadcast."""
        phi = get_activation(self.activation)
        state = _moved(apply_conv(x, self.first), self.context_layer, context)
        for block in self.blocks:
            inner, outer = cast("list[nn.Conv2d]", list(cast("nn.ModuleList", block)))
            state = state + apply_conv(phi(apply_conv(phi(state), inner)), outer)
        return apply_conv(phi(state), self.last)

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"


def make_conv_conditioner(
    inputs: int,
    outputs: int,
    *,
    hidden: tuple[int, ...],
    residual: bool = False,
    context_features: int = 0,
    activation: str = "relu",
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Make the net of an image coupling, which starts at zero: plain, or residual of one block for each width.

    Raises:
        ArgumentError: If the widths of a residual net differ.

    Example:
        >>> len(make_conv_conditioner(1, 2, hidden=(8, 8), residual=True).blocks)
        2
    """
    shared = {"context_features": context_features, "activation": activation, "generator": generator}
    if not residual:
        return ConvNet(inputs, outputs, hidden=hidden, **shared)
    if len(set(hidden)) != 1:
        raise ArgumentError(f"hidden must hold one width for each block, all equal, got {hidden}. Try (32, 32).")
    return ResidualConvNet(inputs, outputs, width=hidden[0], blocks=len(hidden), **shared)


def _context_layer(
    context_features: int, width: int, generator: torch.Generator | None, *, zero: bool = False
) -> nn.Linear | None:
    return make_linear(context_features, width, generator=generator, zero=zero) if context_features else None


def _moved(state: Tensor, layer: nn.Linear | None, context: Tensor | None) -> Tensor:
    """Add the context's part to every pixel."""
    return state if layer is None or context is None else state + layer(context)[..., None, None]
