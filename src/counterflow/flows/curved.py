"""What the flows of one family of curves share: curves in autoregressive maps or in couplings, with mixing between."""

import torch

from counterflow.bijections import AbstractTransformer, ActNorm, Chain
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.layers import autoregressive_maps, couplings, mixed

__all__ = ["curved_flow"]


def curved_flow(
    features: int,
    transformer: AbstractTransformer,
    *,
    coupling: bool,
    context_features: int,
    layers: int,
    hidden: tuple[int, ...],
    activation: str,
    generator: torch.Generator | None,
) -> Flow:
    """Build a flow of one family of curves; each layer comes after a random permutation and a learned linear map.

    Args:
        features: Number of features.
        transformer: The family of curves.
        coupling: Put the curves into couplings instead of autoregressive maps.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps.
        hidden: Widths of the hidden layers of each map's net.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Example:
        >>> from counterflow.bijections import Spline
        >>> settings = {"context_features": 0, "layers": 1, "hidden": (8,), "activation": "relu", "generator": None}
        >>> curved_flow(2, Spline(), coupling=True, **settings)(torch.zeros(2)).shape
        torch.Size([])
    """
    settings = {
        "layers": layers,
        "hidden": hidden,
        "context_features": context_features,
        "activation": activation,
        "generator": generator,
    }
    if coupling:
        maps = couplings(features, transformer, **settings)
    else:
        maps = autoregressive_maps(features, transformer, residual=False, **settings)
    return Flow(Chain([ActNorm(features), *mixed(maps, generator=generator)]), StandardNormal(features))
