"""Some points of each cloud, drawn afresh."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.clouds import CloudLike, as_clouds, present_points

__all__ = ["draw_points", "some_points"]


def draw_points(
    clouds: CloudLike, count: int, *, generator: torch.Generator | None = None
) -> Float[Tensor, "clouds _ dimensions"]:
    """Draw points of each cloud without replacement.

    Args:
        clouds: ``(clouds, points, dimensions)`` with rows of NaN where there is no point, or a list of clouds.
        count: How many points of each; a cloud that has fewer gives all it has, and rows of NaN behind.
        generator: Where the randomness comes from.

    Returns:
        The points in random order; ``min(count, points)`` rows for each cloud.

    Raises:
        ShapeError: These are no clouds.
        DataError: A cloud is empty or not finite.
        ArgumentError: ``count`` is below one.

    Example:
        >>> draw_points(torch.arange(6.0).view(1, 3, 2), 2).shape
        torch.Size([1, 2, 2])
    """
    check_count(count, "count")
    return some_points(as_clouds(clouds), count, generator=generator)


def some_points(
    clouds: Float[Tensor, "clouds points dimensions"], count: int, *, generator: torch.Generator | None
) -> Float[Tensor, "clouds _ dimensions"]:
    """Draw the same points from clouds that are checked already: checks would wait for the device in every batch."""
    rank = torch.rand(clouds.shape[:2], generator=generator, device=clouds.device)
    rank = rank.masked_fill(~present_points(clouds), 2.0)
    chosen = rank.argsort(1)[:, :count].unsqueeze(-1)
    return clouds.gather(1, chosen.expand(-1, -1, clouds.shape[2]))
