"""Encoders of series: convolutions along time, halving it layer by layer."""

import math
from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.nets.linear import get_activation, make_linear

__all__ = ["SeriesEncoder"]


class SeriesEncoder(nn.Module):
    r"""A function of a series: convolutions of stride 2, then the means over what is left of time.

    .. math:: h_{i+1} = \phi(W_i *_2 h_i + b_i), \quad y = V\, \big[ \operatorname{mean}_t h_n,\; \operatorname{max}_t
        h_n \big]

    Args:
        channels: Numbers at each time.
        outputs: Length of what comes out.
        hidden: Channels of each convolution; each halves the length.
        kernel: Length of the window, odd.
        activation: Name of the nonlinearity.
        generator: Where weights are drawn from.

    Example:
        >>> SeriesEncoder(1, 8, hidden=(16, 16))(torch.zeros(5, 1, 100)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (32, 64, 64),
        kernel: int = 5,
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(channels, "channels")
        check_count(len(hidden), "the number of hidden widths")
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        self.layers = nn.ModuleList(
            _make_conv(a, b, kernel=kernel, generator=generator) for a, b in pairwise((channels, *hidden))
        )
        self.last = make_linear(2 * hidden[-1], outputs, generator=generator)

    def forward(self, series: Float[Tensor, "*batch channels time"]) -> Float[Tensor, "*batch outputs"]:
        """Encode series; channels come before time."""
        phi = get_activation(self.activation)
        state = series.reshape(-1, *series.shape[-2:])
        for layer in self.layers:
            state = phi(layer(state))
        y = self.last(torch.cat([state.mean(-1), state.amax(-1)], dim=-1))
        return y.reshape(*series.shape[:-2], -1)


def _make_conv(inputs: int, outputs: int, *, kernel: int, generator: torch.Generator | None) -> nn.Conv1d:
    layer = cast("nn.Conv1d", nn.utils.skip_init(nn.Conv1d, inputs, outputs, kernel, stride=2, padding=kernel // 2))
    bound = 1 / math.sqrt(inputs * kernel)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer
