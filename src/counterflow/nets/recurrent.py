"""Encoders of series that read them step by step: a gated recurrent unit."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.nets.linear import make_linear

__all__ = ["RecurrentEncoder"]


class RecurrentEncoder(nn.Module):
    r"""A function of a series: the last state of a gated recurrent unit, mapped once more.

    .. math:: h_t = (1 - u_t) \odot \tilde h_t + u_t \odot h_{t-1}, \quad y = V h_T

    Args:
        channels: Numbers at each time.
        outputs: Length of what comes out.
        hidden: Width of the state in each layer, all alike.
        generator: Where weights are drawn from.

    Reference:
        Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder", 2014, equations 5 to 8.

    Example:
        >>> RecurrentEncoder(2, 8, hidden=(16,))(torch.zeros(5, 2, 12)).shape
        torch.Size([5, 8])
    """

    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (64,),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(channels, "channels")
        check_count(len(hidden), "the number of hidden widths")
        blank = nn.GRU(channels, hidden[0], num_layers=len(hidden), batch_first=True, device="meta")
        self.unit = blank.to_empty(device="cpu")  # so the global random state is not touched
        for parameter in self.unit.parameters():
            nn.init.uniform_(parameter, -1 / math.sqrt(hidden[0]), 1 / math.sqrt(hidden[0]), generator=generator)
        self.last = make_linear(hidden[0], outputs, generator=generator)

    def forward(self, series: Float[Tensor, "*batch channels time"]) -> Float[Tensor, "*batch outputs"]:
        """Encode series; channels come before time."""
        steps = series.reshape(-1, *series.shape[-2:]).transpose(1, 2)
        states, _ = self.unit(steps)
        return self.last(states[:, -1]).reshape(*series.shape[:-2], -1)
