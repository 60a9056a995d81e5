"""A perceptron whose hidden layers a context scales and shifts."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.nets.linear import get_activation, make_linear

__all__ = ["FilmMLP"]


class FilmMLP(nn.Module):
    r"""A perceptron of a point, in which the context scales and shifts every hidden layer (FiLM).

    .. math:: h_{i+1} = \phi\big((1 + g_i(c)) \odot (W_i h_i + b_i) + s_i(c)\big), \quad y = W_n h_n + b_n

    The gates g and shifts s are affine in the context. They are computed once for each context, however many points
    share it.

    Args:
        inputs: Length of a point, at least 1.
        outputs: Length of the output.
        hidden: Widths of the hidden layers, at least one.
        context_features: Length of the context, at least 1.
        activation: Name of the nonlinearity.
        zero: Start the last layer at zero.
        generator: Where the weights are drawn from.

    Raises:
        ArgumentError: There is no hidden layer, or a length is below one.

    Reference:
        Perez, Strub, de Vries, Dumoulin, Courville, "FiLM: Visual Reasoning with a General Conditioning Layer", 2018,
        equation 2.

    Example:
        >>> net = FilmMLP(1, 5, hidden=(16, 16), context_features=2)
        >>> net(torch.zeros(3, 100, 1), torch.zeros(3, 1, 2)).shape  # 100 points share each context
        torch.Size([3, 100, 5])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int,
        activation: str = "silu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(inputs, "inputs")
        check_count(context_features, "context_features")
        if not hidden:
            raise ArgumentError("hidden must name at least one width, got none. Use hidden=(64, 64).")
        self.activation, self.hidden = activation, hidden
        get_activation(activation)
        widths = (inputs, *hidden, outputs)
        self.layers = nn.ModuleList(
            make_linear(a, b, generator=generator, zero=zero and i == len(hidden))
            for i, (a, b) in enumerate(pairwise(widths))
        )
        self.film = make_linear(context_features, 2 * sum(hidden), generator=generator)

    def forward(
        self, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"]
    ) -> Float[Tensor, "*out outputs"]:
        """Compute the output; leading dimensions of ``x`` and ``context`` broadcast."""
        phi = get_activation(self.activation)
        *steered, last = cast("list[nn.Linear]", list(self.layers))
        gates, shifts = (part.split(self.hidden, -1) for part in self.film(context).chunk(2, -1))
        for layer, gate, shift in zip(steered, gates, shifts, strict=True):
            x = phi(torch.addcmul(shift, layer(x), 1 + gate))
        return last(x)

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"
