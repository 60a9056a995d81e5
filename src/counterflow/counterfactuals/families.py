"""The flows that a counterfactual explainer learns: two families for the search, a third for its judge."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from counterflow.bijections import AbstractBijection, Autoregressive, Chain, Coupling, Permutation, ScaleShift, Spline
from counterflow.bijections.whitening import Whitening
from counterflow.core.random import make_generator
from counterflow.distributions import StandardNormal
from counterflow.flows import Flow

__all__ = ["FlowPlan", "plan_search_flows", "plan_witness"]

Family = Literal["maf", "realnvp", "spline_autoregressive"]


@dataclass(frozen=True)
class FlowPlan:
    """A class-conditional flow that begins as the Gaussian of its data, as plain settings.

    Args:
        family: Affine autoregressive, affine coupling or spline autoregressive layers after the whitening.
        layers: How many of them.
        hidden: Widths of their nets' hidden layers.
        seed: Where permutations and first weights come from.
    """

    family: Family
    layers: int
    hidden: tuple[int, ...]
    seed: int

    def build(self, features: int, classes: int) -> Flow:
        """The flow, with fresh weights."""
        generator = make_generator(self.seed)
        parts: list[AbstractBijection] = [Whitening(features, context_features=classes)]
        for layer in range(self.layers):
            parts.append(Permutation.random(features, generator=generator))
            parts.append(self._layer(features, classes, layer, generator))
        return Flow(Chain(parts), StandardNormal(features))

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a saved folder."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "FlowPlan":
        """Read what :meth:`to_dict` gave."""
        return cls(data["family"], data["layers"], tuple(data["hidden"]), data["seed"])

    def _layer(self, features: int, classes: int, layer: int, generator: torch.Generator) -> AbstractBijection:
        transformer = Spline(bins=8) if self.family == "spline_autoregressive" else ScaleShift()
        if self.family == "realnvp":
            return Coupling(
                features,
                transformer,
                flip=bool(layer % 2),
                hidden=self.hidden,
                context_features=classes,
                generator=generator,
            )
        return Autoregressive(features, transformer, hidden=self.hidden, context_features=classes, generator=generator)


def plan_search_flows(rows: int, seed: int) -> tuple[FlowPlan, ...]:
    """The ensemble of the search for a table of so many training rows."""
    width, layers = (64, (3, 6)) if rows >= 1000 else (32, (2, 4))
    return (
        FlowPlan("maf", layers[0], (width, width), seed),
        FlowPlan("realnvp", layers[1], (width, width), seed + 1),
    )


def plan_witness(rows: int, seed: int) -> FlowPlan:
    """The judge of the search: another family, and a stronger one, so that it is at least as good a density."""
    if rows >= 1000:
        return FlowPlan("spline_autoregressive", 3, (96, 96), seed)
    return FlowPlan("spline_autoregressive", 1, (64,), seed)
