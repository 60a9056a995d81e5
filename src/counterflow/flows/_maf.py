"""MAF and IAF: masked autoregressive affine maps, read forwards and backwards."""

import torch

from counterflow.bijections import ActNorm, Chain, Invert, ScaleShift
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.layers import autoregressive_maps
from counterflow.flows.recipe import recipe

__all__ = ["iaf", "maf"]


@recipe
def maf(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 5,
    hidden: tuple[int, ...] = (64, 64),
    residual: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a masked autoregressive flow: densities in one pass, samples feature by feature.

    .. math:: z_i = x_i\, e^{s_i(x_{<i}, c)} + t_i(x_{<i}, c)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; the order of the features is reversed from one to the next.
        hidden: Widths of the hidden layers of each map's masked net.
        residual: Residual hidden layers, of equal widths.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Papamakarios, Pavlakou, Murray, "Masked Autoregressive Flow for Density Estimation", 2017.

    Example:
        >>> flow = maf(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    maps = autoregressive_maps(
        features,
        ScaleShift(),
        layers=layers,
        hidden=hidden,
        residual=residual,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *maps]), StandardNormal(features))


@recipe
def iaf(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 5,
    hidden: tuple[int, ...] = (64, 64),
    residual: bool = False,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build an inverse autoregressive flow: samples in one pass, densities feature by feature.

    .. math:: x_i = z_i\, e^{s_i(z_{<i}, c)} + t_i(z_{<i}, c)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; the order of the features is reversed from one to the next.
        hidden: Widths of the hidden layers of each map's masked net.
        residual: Residual hidden layers, of equal widths.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016, algorithm 1.

    Example:
        >>> flow = iaf(3, layers=2)
        >>> flow.sample(5, generator=torch.Generator().manual_seed(0)).shape
        torch.Size([5, 3])
    """
    maps = autoregressive_maps(
        features,
        ScaleShift(),
        layers=layers,
        hidden=hidden,
        residual=residual,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )
    return Flow(Chain([ActNorm(features), *map(Invert, maps)]), StandardNormal(features))
