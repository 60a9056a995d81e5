"""Planar, radial and Sylvester flows: small steps whose determinants have a closed form."""

from collections.abc import Sequence

import torch

from counterflow.bijections import AbstractBijection, ActNorm, Chain, Planar, Radial, Sylvester
from counterflow.core.checks import check_count
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["planar", "radial", "sylvester"]


@recipe
def planar(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 16,
    hidden: tuple[int, ...] = (64,),
    activation: str = "tanh",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a planar flow: each map is a step along one direction. Densities are quick, samples need a root.

    .. math:: z = x + u\, h(w^\top x + b)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; one of them bends space along one direction only, so take many.
        hidden: Widths of the hidden layers of each map's net of the context.
        activation: h: ``"tanh"``, or ``"leaky_relu"``, whose inverse needs no root.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Rezende, Mohamed, "Variational Inference with Normalizing Flows", 2015, section 4.1.

    Example:
        >>> flow = planar(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    maps = [
        Planar(features, activation=activation, context_features=context_features, hidden=hidden, generator=generator)
        for _ in range(layers)
    ]
    return _after_normalization(maps)


@recipe
def radial(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 16,
    hidden: tuple[int, ...] = (64,),
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a radial flow: each map stretches space around one point. Both directions are quick.

    .. math:: z = x + \beta\, (x - x_0) / (\alpha + \lVert x - x_0 \rVert)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; one of them makes or fills one hollow, so take many.
        hidden: Widths of the hidden layers of each map's net of the context.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Rezende, Mohamed, "Variational Inference with Normalizing Flows", 2015, section 4.1.

    Example:
        >>> flow = radial(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    maps = [
        Radial(features, context_features=context_features, hidden=hidden, generator=generator) for _ in range(layers)
    ]
    return _after_normalization(maps)


@recipe
def sylvester(
    features: int,
    *,
    context_features: int = 0,
    layers: int = 4,
    hidden: tuple[int, ...] = (64,),
    units: int | None = None,
    reflections: int | None = None,
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a Sylvester flow: each map is a layer of several hidden units. Densities are quick, samples need roots.

    .. math:: z = x + Q R \tanh(\tilde R Q^\top x + b)

    Args:
        features: Number of features.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of maps; the triangle's order is reversed from one to the next.
        hidden: Widths of the hidden layers of each map's net of the context.
        units: Hidden units of each map, at most as many as features; ``None`` for as many.
        reflections: Reflections that make each map's Q; 0 for the triangular variant, ``None`` for as many as
            features, at most 8.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        van den Berg, Hasenclever, Tomczak, Welling, "Sylvester Normalizing Flows for Variational Inference", 2018.

    Example:
        >>> flow = sylvester(3, layers=2)
        >>> flow(torch.zeros(5, 3)).shape
        torch.Size([5])
    """
    check_count(layers, "layers")
    maps = [
        Sylvester(
            features,
            units=units,
            reflections=reflections,
            reverse=layer % 2 == 1,
            context_features=context_features,
            hidden=hidden,
            generator=generator,
        )
        for layer in range(layers)
    ]
    return _after_normalization(maps)


def _after_normalization(maps: Sequence[AbstractBijection]) -> Flow:
    features = maps[0].features
    return Flow(Chain([ActNorm(features), *maps]), StandardNormal(features))
