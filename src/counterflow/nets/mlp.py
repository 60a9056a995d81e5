"""The multilayer perceptron that conditions couplings, with the context joined to its input."""

from itertools import pairwise
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.nets.linear import apply_linear, get_activation, make_linear

__all__ = ["MLP", "Constant", "make_conditioner"]


class MLP(nn.Module):
    r"""A multilayer perceptron of a point and an optional context.

    .. math:: h_0 = [x, c], \quad h_{i+1} = \phi(W_i h_i + b_i), \quad y = W_n h_n + b_n

    Args:
        inputs: Length of ``x``; 0 when only the context matters.
        outputs: Length of the output.
        hidden: Widths of the hidden layers; empty for a linear map.
        context_features: Length of the context; 0 for none.
        activation: Name of the nonlinearity (see ``counterflow.nets.ACTIVATIONS``).
        zero: Start the last layer at zero: the output is zero until training moves it.
        generator: Where the weights are drawn from.

    Example:
        >>> net = MLP(3, 2, hidden=(16, 16), context_features=1)
        >>> net(torch.zeros(5, 3), torch.zeros(5, 1)).shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        activation: str = "silu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(inputs + context_features, "inputs + context_features")
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        widths = (inputs + context_features, *hidden, outputs)
        last = len(widths) - 2
        self.layers = nn.ModuleList(
            make_linear(a, b, generator=generator, zero=zero and i == last) for i, (a, b) in enumerate(pairwise(widths))
        )

    def forward(
        self, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs"]:
        """Compute the output; leading dimensions of ``x`` and ``context`` broadcast."""
        phi = get_activation(self.activation)
        first, *rest = cast("list[nn.Linear]", list(self.layers))
        hidden = apply_linear(x, context, weight=first.weight, bias=first.bias)
        for layer in rest:
            hidden = layer(phi(hidden))
        return hidden

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}'"


class Constant(nn.Module):
    """A conditioner with nothing to look at: one learned vector for every point.

    Args:
        outputs: Length of the vector, which starts at zero.

    Example:
        >>> Constant(2)(torch.zeros(5, 0)).shape
        torch.Size([5, 2])
    """

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.zeros(outputs))

    def forward(
        self, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*batch outputs"]:
        """Repeat the vector for every point."""
        return self.value.expand(*x.shape[:-1], -1)


def make_conditioner(
    inputs: int,
    outputs: int,
    *,
    hidden: tuple[int, ...],
    context_features: int = 0,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> nn.Module:
    """Make the net of a coupling: an MLP that starts at zero, or a constant when there is nothing to look at.

    Example:
        >>> make_conditioner(0, 4, hidden=(8,))
        Constant()
    """
    if inputs + context_features == 0:
        return Constant(outputs)
    return MLP(
        inputs,
        outputs,
        hidden=hidden,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
