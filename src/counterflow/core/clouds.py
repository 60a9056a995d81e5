"""Clouds of points of unequal size as one tensor, in which rows of NaN stand where a cloud has no more points."""

from collections.abc import Sequence
from functools import reduce
from typing import Any, TypeAlias

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.errors import DataError, ShapeError

__all__ = ["ArrayLike", "CloudLike", "as_clouds", "as_numbers", "present_points"]

ArrayLike: TypeAlias = Tensor | np.ndarray | Sequence[Any]
"""What users hand in as numbers: a tensor, an array or nested lists."""

CloudLike: TypeAlias = Tensor | np.ndarray | Sequence[ArrayLike]
"""What users hand in as clouds: ``(clouds, points, dimensions)`` with rows of NaN at will, or a list of clouds."""


def as_clouds(
    clouds: CloudLike, *, dimensions: int | None = None, name: str = "clouds"
) -> Float[Tensor, "clouds points dimensions"]:
    """Bring clouds into one tensor: where a cloud has fewer points than the largest, rows of NaN follow.

    Args:
        clouds: ``(clouds, points, dimensions)``, or a sequence of clouds ``(points, dimensions)`` of unequal size.
        dimensions: Of the space that the points must lie in; ``None`` for any.
        name: What to call them in an error.

    Returns:
        The clouds; a row is NaN altogether or not at all, and each cloud has a point. Floating-point numbers keep their
        dtype, of several dtypes the most exact; whole numbers get torch's default.

    Raises:
        ShapeError: There is no cloud, or they are not clouds of points of one space.
        DataError: A cloud is empty, a number is infinite or NaN where others of its point are not, or it is no number.

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
    _check_points(joined, name)
    return joined


def present_points(clouds: Float[Tensor, "*batch points dimensions"]) -> Bool[Tensor, "*batch points"]:
    """Say which rows are points: those without NaN.

    Example:
        >>> present_points(torch.tensor([[[0.0, 1.0], [torch.nan, torch.nan]]])).tolist()
        [[True, False]]
    """
    return ~clouds.isnan().any(-1)


def as_numbers(values: ArrayLike, name: str) -> Float[Tensor, "..."]:
    """Bring an array, or nested lists, of real numbers into a tensor.

    Args:
        values: Tensors are passed on; numpy arrays may have any order of bytes and memory.
        name: What to call them in an error.

    Returns:
        The numbers; floating-point ones in their dtype, whole numbers and Booleans in torch's default.

    Raises:
        DataError: They are no real numbers, or do not fill an array.

    Example:
        >>> as_numbers(np.arange(3), "x")
        tensor([0., 1., 2.])
    """
    try:
        numbers = values if isinstance(values, Tensor) else torch.as_tensor(_native(values))
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{name} must be real numbers in a tensor, an array or nested lists, got {str(values)[:60]!r}: {error}. "
            "Convert it first."
        ) from error
    if numbers.is_complex():
        raise DataError(f"{name} must be real numbers, got {numbers.dtype}. Pass real and imaginary parts as two.")
    return numbers if numbers.is_floating_point() else numbers.to(torch.get_default_dtype())


def _native(values: ArrayLike) -> np.ndarray:
    array = np.asarray(values)
    return np.asarray(array, array.dtype.newbyteorder("="), order="C")


def _joined(clouds: CloudLike, name: str) -> Tensor:
    if not isinstance(clouds, list | tuple):
        return as_numbers(clouds, name)
    parts = [as_numbers(cloud, name) for cloud in clouds]
    shapes = {tuple(part.shape[1:]) for part in parts}
    if len(shapes) != 1 or parts[0].dim() != 2:
        listed = ", ".join(str(tuple(part.shape)) for part in parts[:3]) or "none"
        raise ShapeError(
            f"{name} must be at least one cloud of shape (points, dimensions), all of one space, got {listed}. "
            "Pass arrays with as many columns each."
        )
    kind = reduce(torch.promote_types, (part.dtype for part in parts))  # padding alone would take that of the first
    parts = [part.to(kind) for part in parts]
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
