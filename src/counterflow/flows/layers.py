"""Stacks of layers that several recipes share."""

import torch

from counterflow.bijections import (
    AbstractBijection,
    AbstractTransformer,
    Autoregressive,
    Coupling,
    LULinear,
    Permutation,
)
from counterflow.core.checks import check_count

__all__ = ["autoregressive_maps", "couplings", "mixed"]


def couplings(
    features: int,
    transformer: AbstractTransformer,
    *,
    layers: int,
    hidden: tuple[int, ...],
    context_features: int,
    activation: str,
    generator: torch.Generator | None,
) -> list[AbstractBijection]:
    """Make couplings that map the two halves of the features in turn.

    Example:
        >>> from counterflow.bijections import Shift
        >>> stack = couplings(4, Shift(), layers=2, hidden=(8,), context_features=0, activation="relu", generator=None)
        >>> [layer.flip for layer in stack]
        [False, True]
    """
    check_count(layers, "layers")
    return [
        Coupling(
            features,
            transformer,
            flip=layer % 2 == 1,
            hidden=hidden,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )
        for layer in range(layers)
    ]


def autoregressive_maps(
    features: int,
    transformer: AbstractTransformer,
    *,
    layers: int,
    hidden: tuple[int, ...],
    residual: bool,
    context_features: int,
    activation: str,
    generator: torch.Generator | None,
) -> list[AbstractBijection]:
    """Make masked autoregressive maps whose order is reversed from layer to layer.

    Example:
        >>> from counterflow.bijections import ScaleShift
        >>> stack = autoregressive_maps(
        ...     4,
        ...     ScaleShift(),
        ...     layers=2,
        ...     hidden=(8,),
        ...     residual=False,
        ...     context_features=0,
        ...     activation="relu",
        ...     generator=None,
        ... )
        >>> [layer.reverse for layer in stack]
        [False, True]
    """
    check_count(layers, "layers")
    return [
        Autoregressive(
            features,
            transformer,
            reverse=layer % 2 == 1,
            hidden=hidden,
            residual=residual,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )
        for layer in range(layers)
    ]


def mixed(layers: list[AbstractBijection], *, generator: torch.Generator | None) -> list[AbstractBijection]:
    """Put a random permutation and a learned linear map before each layer, so that all features meet.

    A single feature needs no mixing and gets none.

    Example:
        >>> from counterflow.bijections import Coupling, Shift
        >>> [type(layer).__name__ for layer in mixed([Coupling(4, Shift())], generator=None)]
        ['Permutation', 'LULinear', 'Coupling']
    """
    features = layers[0].features
    if features == 1:
        return layers
    stack: list[AbstractBijection] = []
    for layer in layers:
        stack += [Permutation.random(features, generator=generator), LULinear(features), layer]
    return stack
