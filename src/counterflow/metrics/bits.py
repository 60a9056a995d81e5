"""Bits per dimension: how many bits a model needs for one number of an image."""

import math
from typing import TypeVar

import numpy as np
from torch import Tensor

from counterflow.core.checks import check_count, check_positive

__all__ = ["bits_per_dimension"]

Numbers = TypeVar("Numbers", float, np.ndarray, Tensor)


def bits_per_dimension(log_prob: Numbers, dimensions: int, *, step: float = 1.0) -> Numbers:
    r"""Bits that a lossless code made of the model needs for each number of an image; lower is better.

    .. math:: -\frac{\log p(x) + D \log \delta}{D \log 2}

    A density is per unit of each number. Where neighboring gray levels are one unit apart (0, 1, ..., 255), the cell of
    an image has volume 1 and nothing is to be added. Where the bytes were divided by 256 before a density was computed
    of them, cells have sides of :math:`\delta = 1/256`, which adds 8 bits a number.

    Args:
        log_prob: Natural log-likelihoods, one for each image: log-probabilities of images of whole numbers, or
            log-densities of images with uniform noise of one cell added, whose mean bounds them from below.
        dimensions: D, how many numbers an image has: channels times height times width.
        step: :math:`\delta`, the distance of neighboring gray levels in the units of ``log_prob``.

    Returns:
        Bits, of the shape of ``log_prob``.

    Raises:
        ArgumentError: If ``dimensions`` or ``step`` is not positive.

    Reference:
        Theis, van den Oord, Bethge, "A Note on the Evaluation of Generative Models", 2016, section 3.1.

    Example:
        >>> bits_per_dimension(3 * math.log(1 / 256), 3)  # three bytes, all values alike
        8.0
        >>> bits_per_dimension(0.0, 3, step=1 / 256)  # the same as a density on the unit cube
        8.0
    """
    check_count(dimensions, "dimensions")
    check_positive(step, "step")
    return -(log_prob / dimensions + math.log(step)) / math.log(2)
