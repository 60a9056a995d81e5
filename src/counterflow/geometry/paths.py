"""Paths on the manifold of the data: straight lines of the latent."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.flows import Flow

__all__ = ["latent_distance", "latent_line"]


@torch.no_grad()
def latent_line(
    flow: Flow,
    start: Float[Tensor, "*batch"],
    *,
    end: Float[Tensor, "*batch"],
    steps: int = 16,
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "steps *batch"]:
    r"""Walk from one point to another through what lies between them for the flow.

    .. math:: x(s) = f^{-1}\big((1 - s) f(x_0) + s f(x_1)\big), \quad s \in [0, 1]

    It is the shortest path under :func:`induced_metric`, because that metric is flat in the latent; its length is
    :func:`latent_distance`.

    Args:
        flow: The flow.
        start: Points, ``(*batch, *event_shape)``.
        end: As many points.
        steps: How many points a path has, both ends counted; at least 2.
        context: One context that all points share, for a conditional flow.

    Returns:
        ``(steps, *batch, *event_shape)``.

    Raises:
        ShapeError: Points are not those of this flow.
        ArgumentError: There are less than two steps.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Exp(1))  # z = exp(x)
        >>> latent_line(flow, torch.tensor([1.0]).log(), end=torch.tensor([3.0]).log(), steps=3).exp()
        tensor([[1.],
                [2.],
                [3.]])
    """
    check_count(steps, "steps", minimum=2)
    first, last = flow.to_latent(start, context)[0], flow.to_latent(end, context)[0]
    way = torch.linspace(0, 1, steps, dtype=first.dtype, device=first.device).view(-1, *[1] * first.dim())
    return flow.to_data(torch.lerp(first, last, way), context)[0]


@torch.no_grad()
def latent_distance(
    flow: Flow,
    start: Float[Tensor, "*batch"],
    *,
    end: Float[Tensor, "*batch"],
    context: Float[Tensor, " c"] | None = None,
) -> Float[Tensor, "*points"]:
    r"""Measure the distance of points under the induced metric: :math:`\lVert f(x_1) - f(x_0) \rVert`.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(1, scale=4.0))
        >>> latent_distance(flow, torch.tensor([0.0]), end=torch.tensor([2.0]))
        tensor(0.5000)
    """
    difference = flow.to_latent(end, context)[0] - flow.to_latent(start, context)[0]
    return difference.flatten(difference.dim() - len(flow.event_shape)).norm(dim=-1)
