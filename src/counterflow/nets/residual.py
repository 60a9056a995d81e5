"""A residual network that conditions couplings: deeper than a perceptron, and as easy to train."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.nets.linear import apply_linear, get_activation, make_linear

__all__ = ["ResidualMLP"]


class ResidualMLP(nn.Module):
    r"""A residual perceptron of a point and an optional context, with pre-activation blocks.

    .. math:: h_0 = W_0 [x, c] + b_0, \quad h_{i+1} = h_i + W_i' \phi(W_i \phi(h_i) + b_i) + b_i'

    Args:
        inputs: Length of ``x``.
        outputs: Length of the output.
        width: Width of the hidden state.
        blocks: Number of blocks, of two layers each.
        context_features: Length of the context; 0 for none.
        activation: Name of the nonlinearity.
        zero: Start the last layer at zero.
        generator: Where the weights are drawn from.

    Reference:
        He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual Networks", 2016, figure 1(b).

    Example:
        >>> ResidualMLP(3, 2, width=16)(torch.zeros(5, 3)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int = 64,
        blocks: int = 2,
        context_features: int = 0,
        activation: str = "silu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(inputs + context_features, "inputs + context_features")
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        self.first = make_linear(inputs + context_features, width, generator=generator)
        self.blocks = nn.ModuleList(
            nn.ModuleList(make_linear(width, width, generator=generator) for _ in range(2)) for _ in range(blocks)
        )
        self.last = make_linear(width, outputs, generator=generator, zero=zero)

    def forward(
        self, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs"]:
        """Compute the output; leading dimensions of ``x`` and ``context`` broadcast."""
        phi = get_activation(self.activation)
        hidden = apply_linear(x, context, weight=self.first.weight, bias=self.first.bias)
        for block in self.blocks:
            inner, outer = cast("nn.ModuleList", block)
            hidden = hidden + outer(phi(inner(phi(hidden))))
        return self.last(phi(hidden))

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"
