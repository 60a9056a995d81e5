"""The settings of a PointFlow, checked when they are made."""

from dataclasses import dataclass
from typing import Literal

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.training.settings import check_choice

__all__ = ["PointFlowSettings"]


@dataclass(frozen=True, kw_only=True)
class PointFlowSettings:
    """How a :class:`~counterflow.pointclouds.PointFlow` is built.

    Args:
        dimensions: Of the space, 2 or 3.
        latent_features: Length of a shape's latent.
        points: The flow over points: ``"coupling"``, quick in both directions, or ``"continuous"``, as in the paper.
        variational: Whether the encoder gives a law of latents; else it gives a latent, and the prior is fitted to
            latents afterwards.
        noise: The largest deviation of the noise that is added to points in training, in units of the clouds' overall
            deviation. How much was added is told to the flow, and samples are drawn as for none (SoftFlow); 0 for
            density as it is. Clouds on thin surfaces want some, such as 0.05.
        encoder: Widths of the layers that each point goes through.
        head: Widths of the hidden layers behind the pooling.
        embedding: Width of what both kinds of flow are told of a latent.
        layers: Couplings over points; each moves one coordinate. A continuous flow has one equation.
        hidden: Widths of the hidden layers of each coupling's net, or of the velocity.
        bins: Bins of each coupling's spline.
        prior_layers: Couplings of the flow over latents.
        prior_hidden: Widths of their nets' hidden layers.

    Raises:
        ArgumentError: A value is out of its range or not among its choices.

    Example:
        >>> PointFlowSettings(dimensions=2, latent_features=8).points
        'coupling'
    """

    dimensions: int = 3
    latent_features: int = 32
    points: Literal["coupling", "continuous"] = "coupling"
    variational: bool = True
    noise: float = 0.0
    encoder: tuple[int, ...] = (64, 128, 256)
    head: tuple[int, ...] = (128,)
    embedding: int = 128
    layers: int = 9
    hidden: tuple[int, ...] = (96, 96)
    bins: int = 8
    prior_layers: int = 4
    prior_hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        check_choice(self.dimensions, (2, 3), "dimensions")
        check_choice(self.points, ("coupling", "continuous"), "points")
        for name in ("latent_features", "embedding", "layers", "prior_layers"):
            check_count(getattr(self, name), name)
        check_count(self.bins, "bins", 2)
        for name, least in (("encoder", 1), ("head", 0), ("hidden", 1), ("prior_hidden", 0)):
            _check_widths(getattr(self, name), name, least)
        if not 0 <= self.noise < float("inf"):
            raise ArgumentError(f"noise must be at least 0 and finite, got {self.noise}. Use 0 for none.")

    @property
    def context_features(self) -> int:
        """What the embedding reads: the latent, and how much noise was added if any ever is."""
        return self.latent_features + (self.noise > 0)


def _check_widths(widths: object, name: str, least: int) -> None:
    if not isinstance(widths, tuple | list):
        raise ArgumentError(f"{name} must be a tuple of widths, one for each layer, got {widths!r}. Write (64, 64).")
    check_count(len(widths), f"the number of widths in {name}", least)
    for width in widths:
        check_count(width, f"each width in {name}")
