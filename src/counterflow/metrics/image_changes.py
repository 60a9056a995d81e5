"""What kind of change an image went through: how many pixels, how unevenly, how smoothly.

Independent noise over all pixels is neither sparse nor smooth; a stroke that is drawn or wiped out is both.
"""

import numpy as np
from jaxtyping import Float

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics._arrays import Images, check_pair

__all__ = ["changed_pixels", "gini_index", "hoyer_sparsity", "roughness", "total_variation"]


def changed_pixels(originals: Images, images: Images, *, tolerance: float | int = 0.05) -> Float[np.ndarray, "_"]:
    r"""Share of pixels that changed by more than a tolerance in any channel, in [0, 1]; lower is sparser.

    .. math:: s = \frac{1}{hw} \sum_{p} \Big[\max_c |x'_{cp} - x_{cp}| > \tau\Big]

    Args:
        originals: (images, channels, height, width), (images, height, width) or (images, numbers).
        images: Of the same shape, after the change.
        tolerance: The largest change that counts as none, in the unit of the pixels.

    Returns:
        (images,), shares.

    Raises:
        ShapeError: If the shapes differ.
        ArgumentError: If the tolerance is negative.

    Example:
        >>> changed_pixels(np.zeros((1, 2, 2)), np.array([[[0.0, 0.5], [0.01, 0.0]]]))
        array([0.25])
    """
    if tolerance < 0:
        raise ArgumentError(f"tolerance must be at least 0, got {tolerance}.")
    change = np.abs(_change(originals, images))
    pixels = change.max(axis=1) if change.ndim == 4 else change
    return (pixels > tolerance).reshape(len(pixels), -1).mean(axis=1)


def hoyer_sparsity(values: Images) -> Float[np.ndarray, "_"]:
    r"""How few of the numbers of each row hold its mass: 0 if all are alike, 1 if one holds all.

    .. math:: \frac{\sqrt d - \lVert v \rVert_1 / \lVert v \rVert_2}{\sqrt d - 1}

    Args:
        values: (rows, ...), changes or heat maps of more than one number each; signs do not count.

    Returns:
        (rows,), in [0, 1]; ``nan`` where all numbers are zero.

    Raises:
        ShapeError: If a row has a single number.

    Reference:
        Hoyer, "Non-negative matrix factorization with sparseness constraints", 2004, section 3.1.

    Example:
        >>> hoyer_sparsity(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, -3.0, 0.0]]))
        array([0., 1.])
    """
    size = _magnitudes(values)
    root, length = np.sqrt(size.shape[1]), np.sqrt((size**2).sum(axis=1))
    return (root - size.sum(axis=1) / np.where(length > 0, length, np.nan)) / (root - 1)


def gini_index(values: Images) -> Float[np.ndarray, "_"]:
    r"""How unevenly the mass of each row is spread over its numbers: 0 if evenly, near 1 if one holds all.

    .. math:: G = \frac{2 \sum_k k \, |v|_{(k)}}{d \, \lVert v \rVert_1} - \frac{d + 1}{d}
        \qquad (|v|_{(1)} \le \dots \le |v|_{(d)})

    Args:
        values: (rows, ...), changes or heat maps of more than one number each; signs do not count.

    Returns:
        (rows,), in [0, 1 - 1/d]; ``nan`` where all numbers are zero.

    Raises:
        ShapeError: If a row has a single number.

    Reference:
        Hurley, Rickard, "Comparing Measures of Sparsity", 2009, equation (10).

    Example:
        >>> gini_index(np.array([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, -3.0, 0.0]]))
        array([0.  , 0.75])
    """
    size = np.sort(_magnitudes(values), axis=1)
    count, total = size.shape[1], size.sum(axis=1)
    ranks = np.arange(1, count + 1)
    return 2 * (ranks * size).sum(axis=1) / (count * np.where(total > 0, total, np.nan)) - (count + 1) / count


def total_variation(images: Images) -> Float[np.ndarray, "_"]:
    r"""The sum of the absolute differences of neighboring pixels (left and right, above and below), >= 0.

    .. math:: \mathrm{TV}(x) = \sum_{c,i,j} |x_{c,i+1,j} - x_{c,i,j}| + |x_{c,i,j+1} - x_{c,i,j}|

    Args:
        images: (images, channels, height, width) or (images, height, width).

    Returns:
        (images,), in the unit of the pixels.

    Raises:
        ShapeError: If these are no images.

    Reference:
        Rudin, Osher, Fatemi, "Nonlinear total variation based noise removal algorithms", 1992, in its anisotropic form.

    Example:
        >>> total_variation(np.array([[[0.0, 1.0], [0.0, 1.0]]]))
        array([2.])
    """
    if images.ndim not in (3, 4):
        raise ShapeError(f"images must have shape (images, channels, height, width), got {images.shape}.")
    values = images.astype(np.float64)
    steps = (np.abs(np.diff(values, axis=axis)).reshape(len(values), -1).sum(axis=1) for axis in (-1, -2))
    return next(steps) + next(steps)


def roughness(originals: Images, images: Images) -> Float[np.ndarray, "_"]:
    r"""The total variation of a change in units of its size, in [0, 4]; lower is smoother.

    .. math:: \frac{\mathrm{TV}(x' - x)}{\lVert x' - x \rVert_1}

    A change by one flat patch has about its circumference over its area; independent noise has about 2.8 if normal, a
    checkerboard nearly 4, a single pixel 4.

    Args:
        originals: (images, channels, height, width) or (images, height, width).
        images: Of the same shape, after the change.

    Returns:
        (images,); ``nan`` where nothing changed.

    Raises:
        ShapeError: If the shapes differ, or these are no images.

    Example:
        >>> spot = np.zeros((1, 5, 5))
        >>> spot[0, 2, 2] = -0.3
        >>> roughness(np.zeros((1, 5, 5)), spot)
        array([4.])
    """
    change = _change(originals, images)
    size = np.abs(change).reshape(len(change), -1).sum(axis=1)
    return total_variation(change) / np.where(size > 0, size, np.nan)


def _change(originals: np.ndarray, images: np.ndarray) -> np.ndarray:
    check_pair(originals, images)
    return images.astype(np.float64) - originals.astype(np.float64)


def _magnitudes(values: np.ndarray) -> np.ndarray:
    size = np.abs(values.astype(np.float64)).reshape(len(values), -1)
    if size.shape[1] < 2:
        raise ShapeError(f"values must hold more than one number in each row, got shape {values.shape}.")
    return size
