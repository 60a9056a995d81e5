"""Jacobians of flows at many points, in chunks, so that memory stays bounded."""

from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count, check_event
from counterflow.core.errors import ShapeError
from counterflow.flows import Flow

__all__ = ["POINTS_AT_ONCE", "Map", "data_jacobian", "each_data_jacobian", "jacobian", "parts", "point_map"]

Map = Callable[[Tensor], Tensor]

POINTS_AT_ONCE = 512
"""How many copies of points go through a map together; one copy of a point gives one row of its Jacobian."""


def jacobian(
    function: Map, points: Float[Tensor, "rows *shape"], *, points_at_once: int = POINTS_AT_ONCE
) -> Float[Tensor, "rows outputs inputs"]:
    r"""Compute the Jacobian of a map at many points: :math:`J_{ij} = \partial f_i / \partial z_j`.

    A row is a derivative backward (``torch.func.vjp``). Copies of each point go through the map together, one for each
    row, so the map must treat each point alone.

    Args:
        function: The map of a batch of points: a flow's direction, a decoder.
        points: Where, ``(rows, *shape)``.
        points_at_once: How many copies of points go through it together, which bounds the memory beside the result.

    Returns:
        One matrix for each point, over the flattened numbers of points.

    Example:
        >>> jacobian(lambda z: z.square(), torch.tensor([[1.0, 3.0]]))
        tensor([[[2., 0.],
                 [0., 6.]]])
    """
    return torch.cat([_few(function, part, points_at_once) for part in parts(points, points_at_once)])


def data_jacobian(
    flow: Flow,
    x: Float[Tensor, "*batch"],
    *,
    context: Float[Tensor, " c"] | None = None,
    points_at_once: int = POINTS_AT_ONCE,
) -> Float[Tensor, "*rows d d"]:
    r"""Compute the Jacobian of the way to data at the latents of points: :math:`J(x) = \partial x / \partial z`.

    Args:
        flow: The flow.
        x: Points, ``(*batch, *event_shape)``.
        context: One context that all points share, for a conditional flow.
        points_at_once: How many copies of points go through the flow together.

    Returns:
        One matrix for each point, over its d flattened numbers.

    Raises:
        ShapeError: ``x`` is not made of points of this flow.

    Example:
        >>> from counterflow import bijections, flows
        >>> flow = flows.compose(bijections.Affine(2, scale=4.0))  # X = 4 Z
        >>> data_jacobian(flow, torch.zeros(2))
        tensor([[4., 0.],
                [0., 4.]])
    """
    batch = x.shape[: x.dim() - len(flow.event_shape)]
    found = torch.cat(list(each_data_jacobian(flow, x, context, points_at_once=points_at_once)))
    return found.unflatten(0, batch) if batch else found[0]


def each_data_jacobian(
    flow: Flow, x: Float[Tensor, "*batch"], context: Float[Tensor, " c"] | None, *, points_at_once: int
) -> Iterator[Float[Tensor, "some d d"]]:
    """Give the matrices of :func:`data_jacobian` for a few points at a time, so that nobody need hold them all."""
    check_event(x, flow.event_shape)
    rows = x.detach().reshape(-1, *flow.event_shape)
    for part in parts(rows, points_at_once):
        with torch.no_grad():
            z, _ = flow.to_latent(part, context)
        yield _few(point_map(flow, context), z, points_at_once)


def point_map(flow: Flow, context: Float[Tensor, " c"] | None) -> Map:
    """The way from latent to data under one context, as a plain function."""
    return lambda z: flow.to_data(z, context)[0]


def parts(points: Float[Tensor, "rows *shape"], points_at_once: int) -> tuple[Tensor, ...]:
    """Cut points so that each piece, copied once for every number of a point, is no longer than asked."""
    check_count(points_at_once, "points_at_once")
    if not len(points):
        raise ShapeError(f"there must be at least one point, got shape {tuple(points.shape)}. Pass some.")
    return points.split(max(1, points_at_once // max(1, points[0].numel())))


def _few(function: Map, points: Tensor, points_at_once: int) -> Tensor:
    """The Jacobians of points of which at least one copy each goes through the map together."""
    with torch.no_grad():
        outputs = function(points)[0].numel()
    directions = torch.eye(outputs, dtype=points.dtype, device=points.device)
    together = max(1, points_at_once // len(points))
    return torch.cat([_back(function, points, some) for some in directions.split(together)], dim=1)


def _back(function: Map, points: Tensor, directions: Tensor) -> Tensor:
    """Some rows of the Jacobians of all points: ``(points, directions, inputs)``."""
    count, rows = len(directions), len(points)
    copies = points.detach().repeat(count, *[1] * (points.dim() - 1))
    values, pull, *_ = torch.func.vjp(function, copies)
    (found,) = pull(directions.repeat_interleave(rows, dim=0).view_as(values))
    return found.detach().flatten(1).unflatten(0, (count, rows)).transpose(0, 1)
