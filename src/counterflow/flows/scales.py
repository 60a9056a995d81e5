"""What the flows of images share: how often an image is squeezed, and the logit of bounded pixels before all else."""

import torch

from counterflow.bijections import (
    AbstractBijection,
    AbstractTransformer,
    ActNorm,
    Chain,
    CheckerboardCoupling,
    ConvCoupling,
    Interval,
    PixelWise,
    ScaleShift,
    Shift,
)
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.distributions import StandardNormal
from counterflow.flows.flow import Flow

__all__ = ["Shape", "channel_norm", "choose_levels", "coupling_family", "image_coupling", "image_flow"]

Shape = tuple[int, int, int]

LOG_SCALE_BOUND = 2.0
"""No coupling of an image recipe stretches a pixel by more than the exponential of this."""

MOST_LEVELS = 3
"""How often an image is squeezed at most, unless the caller says otherwise."""


def choose_levels(event_shape: tuple[int, ...], levels: int | None) -> int:
    """Say how often an image is squeezed: as often as asked, or until a side is odd or would shrink to one pixel.

    Args:
        event_shape: ``(channels, height, width)``.
        levels: How often; ``None`` for up to three times.

    Returns:
        The number of levels, at least 0.

    Raises:
        ShapeError: If the points are no images, or a side is no multiple of :math:`2^{levels}`.

    Example:
        >>> choose_levels((1, 28, 28), None), choose_levels((3, 15, 16), None)
        (2, 0)
        >>> choose_levels((1, 28, 28), 3)
        Traceback (most recent call last):
        ...
        counterflow.core.errors.ShapeError: height and width must be multiples of 8 for 3 levels, got (28, 28). Use ...
    """
    if len(event_shape) != 3 or min(event_shape) < 1:
        raise ShapeError(f"event_shape must be (channels, height, width), got {event_shape}. Name three sizes above 0.")
    sides = event_shape[1:]
    possible = min((side & -side).bit_length() - 1 for side in sides)  # how often 2 divides both
    if levels is None:
        kept = possible if min(sides) >> possible > 1 else possible - 1
        return min(max(kept, 0), MOST_LEVELS)
    check_count(levels, "levels", 0)
    if levels > possible:
        raise ShapeError(
            f"height and width must be multiples of {2**levels} for {levels} levels, got {sides}. "
            f"Use levels={possible}, or crop or pad the images."
        )
    return levels


def coupling_family(*, affine: bool) -> AbstractTransformer:
    """Affine couplings with a bounded log-scale, or additive ones.

    Example:
        >>> coupling_family(affine=False)
        Shift()
    """
    return ScaleShift(LOG_SCALE_BOUND) if affine else Shift()


def channel_norm(shape: Shape) -> PixelWise:
    """Normalize each channel over images and pixels.

    Example:
        >>> channel_norm((3, 4, 5)).event_shape
        (3, 4, 5)
    """
    return PixelWise(ActNorm(shape[0]), shape[1:])


def image_coupling(
    shape: Shape,
    transformer: AbstractTransformer,
    *,
    flip: bool,
    hidden: tuple[int, ...],
    context_features: int,
    activation: str,
    generator: torch.Generator | None,
) -> AbstractBijection:
    """Couple channels, or the squares of a checkerboard where there is one channel only.

    Example:
        >>> settings = dict(flip=False, hidden=(4,), context_features=0, activation="relu", generator=None)
        >>> [type(image_coupling((c, 3, 3), Shift(), **settings)).__name__ for c in (1, 2)]
        ['CheckerboardCoupling', 'ConvCoupling']
    """
    coupling = CheckerboardCoupling if shape[0] == 1 else ConvCoupling
    return coupling(
        shape,
        transformer,
        flip=flip if shape[0] == 1 else False,
        hidden=hidden,
        context_features=context_features,
        activation=activation,
        generator=generator,
    )


def image_flow(bijection: AbstractBijection, *, bounds: tuple[float, float] | None, margin: float) -> Flow:
    r"""Put a map of images over the standard normal density, behind the logit of bounded pixels.

    .. math:: y = \operatorname{logit} \left( \alpha + (1 - 2 \alpha) \frac{x - a}{b - a} \right)

    Args:
        bijection: The map.
        bounds: a and b; ``None`` for pixels without bounds, which go in as they are.
        margin: :math:`\alpha`, which keeps the bounds away from infinity.

    Returns:
        The flow.

    Raises:
        ArgumentError: If bounds or margin are out of range.

    Reference:
        Dinh, Sohl-Dickstein, Bengio, "Density estimation using Real NVP", 2017, section 4.1.

    Example:
        >>> from counterflow.bijections import Affine
        >>> image_flow(Affine((1, 2, 2)), bounds=(0.0, 9.0), margin=0.05).bijection.parts[0]
        Interval(low=-0.5, high=9.5, event_shape=(1, 2, 2))
    """
    if bounds is not None:
        if len(bounds) != 2 or not bounds[0] < bounds[1] or not 0 <= margin < 0.5:
            raise ArgumentError(
                f"bounds must be two increasing numbers and margin in [0, 0.5), got {bounds} and {margin}. "
                "For bytes use bounds=(0, 256) and margin=0.05."
            )
        beyond = margin / (1 - 2 * margin) * (bounds[1] - bounds[0])
        logit = Interval(bounds[0] - beyond, bounds[1] + beyond, event_shape=bijection.event_shape)
        bijection = Chain([logit, bijection])
    return Flow(bijection, StandardNormal(bijection.event_shape))
