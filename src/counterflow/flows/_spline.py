"""Neural spline flows: couplings and autoregressive maps made of rational-quadratic splines."""

import torch

from counterflow.bijections import ActNorm, Chain, Spline
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.layers import autoregressive_maps, couplings, mixed
from counterflow.flows.recipe import recipe

__all__ = ["spline_autoregressive", "spline_coupling"]


@recipe
def spline_coupling(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 5,
    hidden: tuple[int, ...] = (128, 128),
    bins: int = 8,
    bound: float = 5.0,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    """Build a neural spline flow with couplings (NSF-C): exact and quick in both directions.

    Each coupling comes after a random permutation and a learned linear map.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of couplings.
        hidden: Widths of the hidden layers of each coupling's net.
        bins: Bins of each spline.
        bound: Splines act on [-bound, bound], in standard deviations; beyond, the identity acts.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019.

    Example:
        >>> flow = spline_coupling(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    stack = couplings(
        features,
        Spline(bins=bins, bound=bound),
        layers=layers,
        hidden=hidden,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *mixed(stack, generator=generator)]), StandardNormal(features))


@recipe
def spline_autoregressive(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 3,
    hidden: tuple[int, ...] = (128, 128),
    residual: bool = False,
    bins: int = 8,
    bound: float = 5.0,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    """Build an autoregressive neural spline flow (NSF-AR): the sharper density; samples go feature by feature.

    Each map comes after a random permutation and a learned linear map.

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps.
        hidden: Widths of the hidden layers of each map's masked net.
        residual: Residual hidden layers, of equal widths.
        bins: Bins of each spline.
        bound: Splines act on [-bound, bound], in standard deviations; beyond, the identity acts.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights and permutations are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019.

    Example:
        >>> flow = spline_autoregressive(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    maps = autoregressive_maps(
        features,
        Spline(bins=bins, bound=bound),
        layers=layers,
        hidden=hidden,
        residual=residual,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *mixed(maps, generator=generator)]), StandardNormal(features))
