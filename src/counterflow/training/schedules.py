"""Learning-rate schedules as pure functions of the losses so far, so that a resumed run needs no memory of them."""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

__all__ = ["SCHEDULES", "constant", "cosine", "plateau"]


def constant(losses: Sequence[float], *, max_epochs: int, patience: int) -> float:
    """The factor 1 in every epoch.

    Example:
        >>> constant([3.0, 2.0], max_epochs=4, patience=30)
        1.0
    """
    return 1.0


def cosine(losses: Sequence[float], *, max_epochs: int, patience: int) -> float:
    r"""Half a cosine from 1 down to 0: :math:`(1 + \cos(\pi t / T)) / 2` in epoch :math:`t` of :math:`T`.

    Args:
        losses: The loss after each finished epoch; only their number counts.
        max_epochs: The number of epochs :math:`T`.
        patience: Without effect here.

    Returns:
        The factor of the learning rate for the next epoch.

    Reference:
        Loshchilov and Hutter (2017), "SGDR: stochastic gradient descent with warm restarts", equation 5.

    Example:
        >>> cosine([3.0, 2.0], max_epochs=4, patience=30)
        0.5
    """
    return (1 + math.cos(math.pi * min(len(losses) / max_epochs, 1.0))) / 2


def plateau(losses: Sequence[float], *, max_epochs: int, patience: int) -> float:
    """Half the factor whenever the loss has not fallen for more than a third of ``patience`` epochs.

    Args:
        losses: The loss after each finished epoch.
        max_epochs: Without effect here.
        patience: The patience of early stopping, in epochs.

    Returns:
        The factor of the learning rate for the next epoch.

    Example:
        >>> plateau([1.0, 1.1, 1.2], max_epochs=100, patience=3)
        0.5
    """
    best, waited, factor = math.inf, 0, 1.0
    for loss in losses:
        best, waited = (loss, 0) if loss < best else (best, waited + 1)
        if waited > patience // 3:
            waited, factor = 0, factor / 2
    return factor


SCHEDULES: Mapping[str, Callable[..., float]] = MappingProxyType(
    {"cosine": cosine, "plateau": plateau, "constant": constant}
)
"""Every schedule by name: a function of the losses so far that gives the factor of the learning rate."""
