"""Linear layers whose weights come from a generator, and the activations by name."""

import math
from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.errors import ArgumentError

__all__ = ["ACTIVATIONS", "Activation", "apply_linear", "get_activation", "make_linear"]

Activation = Callable[[Tensor], Tensor]

ACTIVATIONS: dict[str, Activation] = {
    "elu": functional.elu,
    "gelu": functional.gelu,
    "leaky_relu": functional.leaky_relu,
    "relu": functional.relu,
    "silu": functional.silu,
    "softplus": functional.softplus,
    "tanh": torch.tanh,
}


def get_activation(name: str) -> Activation:
    """Look an activation up by name.

    Raises:
        ArgumentError: If there is none of that name.

    Example:
        >>> get_activation("relu")(torch.tensor([-1.0, 1.0]))
        tensor([0., 1.])
    """
    if name not in ACTIVATIONS:
        raise ArgumentError(f"activation must be one of {', '.join(ACTIVATIONS)}, got '{name}'. Choose one of them.")
    return ACTIVATIONS[name]


def make_linear(
    inputs: int, outputs: int, *, generator: torch.Generator | None = None, zero: bool = False
) -> nn.Linear:
    """Make a linear layer without touching the global random state.

    Args:
        inputs: Length of the input, at least 1.
        outputs: Length of the output.
        generator: Where the weights are drawn from; ``None`` is torch's own default generator.
        zero: Start with zero weights and biases, so that what follows starts as the identity.

    Returns:
        The layer, with the uniform initialization of ``torch.nn.Linear``.

    Example:
        >>> make_linear(2, 3, zero=True)(torch.ones(2)).tolist()
        [0.0, 0.0, 0.0]
    """
    layer = cast("nn.Linear", nn.utils.skip_init(nn.Linear, inputs, outputs))
    bound = 1 / math.sqrt(inputs)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter) if zero else nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return layer


def apply_linear(
    x: Float[Tensor, "*batch inputs"],
    context: Float[Tensor, "*rows c"] | None,
    *,
    weight: Float[Tensor, "outputs all"],
    bias: Float[Tensor, " outputs"],
) -> Float[Tensor, "*out outputs"]:
    """Apply one linear layer to ``x`` and ``context`` side by side: ``weight @ [x, context] + bias``.

    When the context is shared by many points (fewer leading dimensions), its part is computed once and added, so
    that a thousand samples for one context do not copy it a thousand times.

    Args:
        x: Points.
        context: One vector per point, or fewer that broadcast; ``None`` for no context.
        weight: First the columns of ``x``, then those of ``context``.
        bias: Added to every output.

    Returns:
        The outputs, with the broadcast leading dimensions.

    Example:
        >>> w = torch.ones(1, 3)
        >>> apply_linear(torch.ones(4, 2), torch.ones(1), weight=w, bias=torch.zeros(1)).shape
        torch.Size([4, 1])
    """
    if context is None:
        return functional.linear(x, weight, bias)
    if context.shape[:-1] == x.shape[:-1]:
        return functional.linear(torch.cat((x, context), -1), weight, bias)
    own = x.shape[-1]
    return functional.linear(x, weight[:, :own]) + functional.linear(context, weight[:, own:], bias)
