"""The architectures of `density.py`: one for each data set, the same in every library."""

from dataclasses import dataclass

__all__ = ["SHAPES", "Shape"]


@dataclass(frozen=True)
class Shape:
    """Masked autoregressive maps whose order is reversed from layer to layer, with two hidden layers and ReLU each.

    Args:
        features: Number of features.
        layers: Number of maps.
        hidden: Width of both hidden layers.
        bins: Bins of the rational-quadratic splines; 0 for affine maps.
        bound: Splines act on [-bound, bound].
        rate: The largest learning rate.
    """

    features: int
    layers: int
    hidden: int
    bins: int = 0
    bound: float = 5.0
    rate: float = 1e-3


SHAPES = {
    "power": Shape(6, layers=3, hidden=64, bins=8),
    "bsds300": Shape(63, layers=5, hidden=512, rate=2e-3),
}
