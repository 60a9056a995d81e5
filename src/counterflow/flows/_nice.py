"""NICE: additive couplings, then a scale."""

import torch

from counterflow.bijections import ActNorm, Affine, Chain, Shift
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.layers import couplings
from counterflow.flows.recipe import recipe

__all__ = ["nice"]


@recipe
def nice(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 8,
    hidden: tuple[int, ...] = (64, 64),
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build NICE: additive couplings, which keep volume, and at the end one scale per feature.

    .. math:: z_b = x_b + t(x_a, c), \quad z \leftarrow z\, e^{-s}

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of couplings.
        hidden: Widths of the hidden layers of each coupling's net.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Dinh, Krueger, Bengio, "NICE: Non-linear Independent Components Estimation", 2015, section 3.

    Example:
        >>> flow = nice(3, layers=4)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    stack = couplings(
        features,
        Shift(),
        layers=layers,
        hidden=hidden,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *stack, Affine(features)]), StandardNormal(features))
