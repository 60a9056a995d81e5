"""RealNVP: affine couplings."""

import torch

from counterflow.bijections import ActNorm, Chain, ScaleShift
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.layers import couplings
from counterflow.flows.recipe import recipe

__all__ = ["realnvp"]


@recipe
def realnvp(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 8,
    hidden: tuple[int, ...] = (64, 64),
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a RealNVP: affine couplings that map the two halves of the features in turn.

    .. math:: z_b = x_b\, e^{s(x_a, c)} + t(x_a, c)

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
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017.

    Example:
        >>> flow = realnvp(3, layers=4)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    stack = couplings(
        features,
        ScaleShift(),
        layers=layers,
        hidden=hidden,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *stack]), StandardNormal(features))
