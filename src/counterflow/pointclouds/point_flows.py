"""The flows over points, given what is known of their shape."""

import torch

from counterflow.bijections import AbstractBijection, Chain, Continuous, Coupling, Permutation, Spline
from counterflow.distributions import StandardNormal
from counterflow.flows import Flow
from counterflow.nets import VelocityMLP
from counterflow.pointclouds.settings import PointFlowSettings

__all__ = ["make_point_flow"]


def make_point_flow(settings: PointFlowSettings, *, generator: torch.Generator | None = None) -> Flow:
    """Build the flow over points under a context of ``settings.embedding`` numbers.

    ``"coupling"``: each layer moves one coordinate by a spline that the others and the shape set, and the coordinates
    take turns; a round of layers can make any law of points. ``"continuous"``: points follow a velocity in which time
    and shape gate and shift every hidden layer.

    Args:
        settings: Of the model.
        generator: Where initial weights are drawn from.

    Returns:
        A flow that starts as the standard normal density.

    Reference:
        Yang, Huang, Hao, Liu, Belongie, Hariharan, "PointFlow: 3D Point Cloud Generation with Continuous Normalizing
        Flows", 2019 (continuous). Klokov, Boyer, Verbeek, "Discrete Point Flow Networks for Efficient Point
        Cloud Generation", 2020 (couplings with FiLM, there affine).

    Example:
        >>> flow = make_point_flow(PointFlowSettings(dimensions=2, embedding=8))
        >>> flow(torch.zeros(4, 100, 2), torch.zeros(4, 1, 8)).shape  # four shapes, 100 points each
        torch.Size([4, 100])
    """
    d, context = settings.dimensions, settings.embedding
    if settings.points == "continuous":
        velocity = VelocityMLP(
            d, context_features=context, hidden=settings.hidden, conditioning="squash", generator=generator
        )
        return Flow(Continuous(velocity, d, context_features=context), StandardNormal(d))
    turn = Permutation([*range(1, d), 0])
    layers: list[AbstractBijection] = []
    for _ in range(settings.layers):
        layer = Coupling(
            d,
            Spline(bins=settings.bins),
            kept=d - 1,
            hidden=settings.hidden,
            context_features=context,
            conditioning="film",
            generator=generator,
        )
        layers += [layer, turn]
    return Flow(Chain(layers), StandardNormal(d))
