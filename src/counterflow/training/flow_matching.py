"""Flow matching: a velocity learns the straight ways between data and noise, and no equation is solved meanwhile."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ShapeError

__all__ = ["flow_matching_loss"]


def flow_matching_loss(
    velocity: nn.Module | Callable[..., Tensor],
    x: Float[Tensor, "rows features"],
    *,
    z: Float[Tensor, "points features"],
    t: Float[Tensor, "rows 1"],
    context: Float[Tensor, "rows *c"] | None = None,
    weights: Float[Tensor, " rows"] | None = None,
) -> Float[Tensor, ""]:
    r"""Compare a velocity with that of the straight way from a data point at time 0 to a noise point at time 1.

    .. math:: \mathbb{E} \left\| v(t, (1 - t) x + t z, c) - (z - x) \right\|^2 / D

    The velocity that minimizes it moves the law of the data to that of the noise.

    Args:
        velocity: Called as ``velocity(t, x, context)``.
        x: Data points.
        z: Points of the base density, one for each.
        t: Times in [0, 1].
        context: Their contexts.
        weights: One weight of at least 0 per row; only their ratios count.

    Returns:
        The mean squared difference, over rows and features.

    Raises:
        ShapeError: If data and noise differ in shape.

    Reference:
        Lipman, Chen, Ben-Hamu, Nickel, Le, "Flow Matching for Generative Modeling", 2023, equations 14 and 23 (with
        time running from data to noise); Liu, Gong, Liu, "Flow Straight and Fast", 2023, equation 1.

    Example:
        >>> still = lambda t, x, context=None: torch.zeros_like(x)
        >>> flow_matching_loss(still, torch.zeros(4, 2), z=torch.full((4, 2), 3.0), t=torch.rand(4, 1)).item()
        9.0
    """
    if x.shape != z.shape:
        raise ShapeError(f"z must have the shape of x, {tuple(x.shape)}, got {tuple(z.shape)}. Draw one for each row.")
    target = z - x
    found = velocity(t, torch.addcmul(x, target, t), *(() if context is None else (context,)))
    errors = (found - target).square().mean(-1)
    return errors.mean() if weights is None else (errors * weights).sum() / weights.sum()
