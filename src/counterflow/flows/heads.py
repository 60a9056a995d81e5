"""The layers that give a conditional density its form, as settings: what stands behind an embedding."""

from dataclasses import asdict, dataclass
from typing import Any

import torch

from counterflow.bijections import AbstractBijection, Continuous
from counterflow.core.checks import check_count
from counterflow.flows._spline import spline_autoregressive
from counterflow.nets import VelocityMLP

__all__ = ["FlowMatchingHead", "Head", "SplineHead", "head_from_plain", "head_to_plain"]


@dataclass(frozen=True)
class SplineHead:
    """An autoregressive spline flow, trained by maximum likelihood: quick and exact.

    Args:
        layers: Number of autoregressive maps.
        hidden: Widths of the hidden layers of each map's net.
        bins: Bins of each spline.

    Reference:
        Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019.

    Example:
        >>> SplineHead(layers=2).bins
        8
    """

    layers: int = 3
    hidden: tuple[int, ...] = (64, 64)
    bins: int = 8

    def __post_init__(self) -> None:
        check_count(self.layers, "layers")
        check_count(self.bins, "bins", 2)

    def build(self, features: int, *, context_features: int, generator: torch.Generator) -> list[AbstractBijection]:
        """Make the layers."""
        flow = spline_autoregressive(
            features,
            context_features=context_features,
            layers=self.layers,
            hidden=self.hidden,
            bins=self.bins,
            generator=generator,
        )
        return [flow.bijection]


@dataclass(frozen=True)
class FlowMatchingHead:
    """A continuous flow, trained by flow matching: few assumptions, slower draws.

    Args:
        hidden: Widths of the hidden layers of the velocity.
        conditioning: How time and context enter it: ``"concat"``, ``"squash"`` or ``"film"``.

    Reference:
        Wildberger et al., "Flow Matching for Scalable Simulation-Based Inference", 2023, equation 7.

    Example:
        >>> FlowMatchingHead().conditioning
        'film'
    """

    hidden: tuple[int, ...] = (128, 128)
    conditioning: str = "film"

    def build(self, features: int, *, context_features: int, generator: torch.Generator) -> list[AbstractBijection]:
        """Make the equation."""
        velocity = VelocityMLP(
            features,
            context_features=context_features,
            hidden=self.hidden,
            conditioning=self.conditioning,
            activation="silu",
            generator=generator,
        )
        return [Continuous(velocity, features, context_features=context_features)]


Head = SplineHead | FlowMatchingHead

_HEADS: dict[str, type[SplineHead] | type[FlowMatchingHead]] = {
    "spline": SplineHead,
    "flow_matching": FlowMatchingHead,
}


def head_to_plain(head: Head) -> dict[str, Any]:
    """A head as plain data.

    Example:
        >>> head_from_plain(head_to_plain(SplineHead(layers=2))).layers
        2
    """
    kind = next(name for name, form in _HEADS.items() if isinstance(head, form))
    return {"kind": kind, **asdict(head), "hidden": list(head.hidden)}


def head_from_plain(plain: dict[str, Any]) -> Head:
    """Read what :func:`head_to_plain` gave."""
    settings = {**plain, "hidden": tuple(plain["hidden"])}
    return _HEADS[settings.pop("kind")](**settings)
