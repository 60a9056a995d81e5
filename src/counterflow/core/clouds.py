"""Clouds of points of unequal size as one tensor, in which rows of NaN stand where a cloud has no more points."""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import DataError, ShapeError

__all__ = ["CloudLike", "as_clouds", "present_points"]

CloudLike: TypeAlias = Tensor | np.ndarray | Sequence[Tensor | np.ndarray]
"""What users hand in as clouds: ``(clouds, points, dimensions)`` with rows of NaN at will, or a list of clouds."""


def as_clouds(
    clouds: CloudLike, *, dimensions: int | None = None, like: Tensor | None = None, name: str = "clouds"
) -> Float[Tensor, "clouds points dimensions"]:
    """Bring clouds into one tensor: where a cloud has fewer points than the largest, rows of NaN follow.

    Args:
        clouds: ``(clouds, points, dimensions)``, or a sequence of clouds ``(points, dimensions)`` of unequal size.
        dimensions: Of the space that the points must lie in; ``None`` for any.
        like: A tensor whose dtype and device the clouds get; ``None`` leaves floating-point clouds as they are.
        name: What to call them in an error.

    Returns:
        The clouds; a row is NaN altogether or not at all, and each cloud has a point.

    Raises:
        ShapeError: There is no cloud, or they are not clouds of points of one space.
        DataError: A cloud is empty, or a number is infinite or NaN where others of its point are not.

    Example:
        >>> as_clouds([torch.zeros(1, 2), torch.ones(2, 2)]).tolist()
        [[[0.0, 0.0], [nan, nan]], [[1.0, 1.0], [1.0, 1.0]]]
    """
    joined = _joined(clouds, name)
    if joined.dim() != 3 or not joined.shape[0] or not joined.shape[2]:
        raise ShapeError(
            f"{name} must have shape (clouds, points, dimensions), got {tuple(joined.shape)}. "
            "Put a single cloud into a list: [cloud]."
        )
    if dimensions not in (None, joined.shape[2]):
        raise ShapeError(
            f"{name} must hold points in {dimensions} dimensions, got points in {joined.shape[2]}. "
            f"Their last dimension must be {dimensions}."
        )
    joined = joined if joined.is_floating_point() else joined.to(torch.get_default_dtype())
    joined = joined if like is None else joined.to(like)
    _check_points(joined, name)
    return joined


def present_points(clouds: Float[Tensor, "*batch points dimensions"]) -> Bool[Tensor, "*batch points"]:
    """Say which rows are points: those without NaN.

    Example:
        >>> present_points(torch.tensor([[[0.0, 1.0], [torch.nan, torch.nan]]])).tolist()
        [[True, False]]
    """
    return ~clouds.isnan().any(-1)


def _joined(clouds: CloudLike, name: str) -> Tensor:
    if isinstance(clouds, Tensor | np.ndarray):
        return torch.as_tensor(clouds)
    parts = [torch.as_tensor(cloud) for cloud in clouds]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) != 1 or parts[0].dim() != 2:
        listed = ", ".join(str(tuple(part.shape)) for part in parts[:3]) or "none"
        raise ShapeError(
            f"{name} must be at least one cloud of shape (points, dimensions), all of one space, got {listed}. "
            "Pass arrays with as many columns each."
        )
    parts = [part if part.is_floating_point() else part.to(torch.get_default_dtype()) for part in parts]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=torch.nan)


def _check_points(clouds: Tensor, name: str) -> None:
    broken = clouds.isnan().any(-1) & ~clouds.isnan().all(-1)
    if bool(broken.any()):
        cloud, point = broken.nonzero()[0].tolist()
        raise DataError(
            f"{name} must have points that are NaN altogether (no point there) or not at all, got "
            f"{clouds[cloud, point].tolist()} as point {point} of cloud {cloud}. Remove or repair such points."
        )
    infinite = clouds.isinf().any(-1)
    if bool(infinite.any()):
        cloud, point = infinite.nonzero()[0].tolist()
        raise DataError(
            f"{name} must be finite, got an infinity in point {point} of cloud {cloud}. Remove such points."
        )
    empty = ~present_points(clouds).any(-1)
    if bool(empty.any()):
        raise DataError(
            f"{name} must have at least one point each, got cloud {int(empty.nonzero()[0, 0])} without any, and "
            f"{int(empty.sum())} such clouds in all. Leave them out."
        )
