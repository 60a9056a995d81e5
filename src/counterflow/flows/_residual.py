"""Residual flows: networks of full rank, made invertible by a bound on their slopes."""

import torch

from counterflow.bijections import ActNorm, Chain, Residual
from counterflow.core.checks import check_count
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["residual"]


@recipe
def residual(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 10,
    hidden: tuple[int, ...] = (64, 64),
    lipschitz: float = 0.9,
    exact: bool | None = None,
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a residual flow: densities from a network of any form that shrinks distances, samples by fixed points.

    .. math:: z = x + g(x, c), \quad \mathrm{Lip}(g) < 1

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of residual blocks, each after a normalization; one of them bends little, so take many.
        hidden: Widths of the hidden layers of each block's network.
        lipschitz: The factor by which each block's network shrinks distances at least, between 0 and 1.
        exact: Whether log-determinants are exact; ``None`` for exact up to 64 features, estimated beyond.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Chen, Behrmann, Duvenaud, Jacobsen, "Residual Flows for Invertible Generative Modeling", 2019.

    Example:
        >>> flow = residual(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    blocks = [
        Residual(
            features,
            lipschitz=lipschitz,
            hidden=hidden,
            context_features=context_features,
            exact=exact,
            generator=generator,
        )
        for _ in range(layers)
    ]
    stack = [layer for block in blocks for layer in (ActNorm(features), block)]
    return Flow(Chain(stack), StandardNormal(features))
