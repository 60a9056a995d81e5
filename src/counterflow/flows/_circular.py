"""Neural spline flows of angles: densities on circles, tori, and tori times lines."""

import torch

from counterflow.bijections import (
    AbstractBijection,
    ActNorm,
    Chain,
    CircularCoupling,
    CircularSpline,
    OnFeatures,
    Spline,
)
from counterflow.core.checks import check_count
from counterflow.distributions import Torus
from counterflow.distributions.torus import check_angles
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import recipe

__all__ = ["circular_spline"]


@recipe
def circular_spline(
    features: int,
    *,
    angles: tuple[int, ...] | None = None,
    context_features: int = 0,
    layers: int = 4,
    hidden: tuple[int, ...] = (64, 64),
    bins: int = 8,
    bound: float = 5.0,
    activation: str = "silu",
    generator: torch.Generator | None = None,
) -> Flow:
    r"""Build a neural spline flow of angles (NCSF), alone or together with numbers.

    .. math:: z_b = S(x_b) + \beta \mod 2 \pi, \quad (S, \beta) = \theta(\cos x_a, \sin x_a, c)

    Angles are in radians; those outside :math:`[-\pi, \pi)` are wrapped, and samples lie in it. The density has no jump
    where the circle closes, and its integral over one turn of every angle is one.

    Args:
        features: Number of features.
        angles: Which features are angles; ``None`` for all.
        context_features: Length of the context; 0 for an unconditional flow.
        layers: Number of couplings; which features stay changes from one to the next.
        hidden: Widths of the hidden layers of each coupling's net.
        bins: Bins of each spline.
        bound: Splines of numbers act on [-bound, bound], in standard deviations; beyond, the identity acts.
        activation: Name of the nets' nonlinearity.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the uniform density of the angles times the standard normal density of the numbers.

    Raises:
        ArgumentError: If ``angles`` names a feature twice or one that does not exist.

    Reference:
        Rezende et al., "Normalizing flows on tori and spheres", 2020, sections 2.1 and 2.2.

    Example:
        >>> import math
        >>> flow = circular_spline(2, layers=2)
        >>> round(flow(torch.zeros(2)).exp().item() * (2 * math.pi) ** 2, 4)
        1.0
    """
    check_count(layers, "layers")
    circles = check_angles(angles, features)
    numbers = [i for i in range(features) if i not in circles]
    norm: list[AbstractBijection] = [OnFeatures(features, ActNorm(len(numbers)), chosen=numbers)] if numbers else []
    stack = [
        CircularCoupling(
            features,
            kept=_kept(features, layer),
            angles=circles,
            circular=CircularSpline(bins=bins),
            linear=Spline(bins=bins, bound=bound),
            hidden=hidden,
            context_features=context_features,
            activation=activation,
            generator=generator,
        )
        for layer in range(layers)
    ]
    return Flow(Chain([*norm, *stack]), Torus(features, angles=circles))


def _kept(features: int, layer: int) -> tuple[int, ...]:
    """The features that stay: each half in turn, then every other one in turn, so that any two meet."""
    if features == 1:
        return ()
    halves = range(features // 2), range(features // 2, features)
    alternating = range(0, features, 2), range(1, features, 2)
    return tuple((*halves, *alternating)[layer % 4])
