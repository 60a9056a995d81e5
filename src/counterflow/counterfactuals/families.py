"""The flows that a counterfactual explainer learns: two families for the search, a third for its judge."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from counterflow.bijections import (
    AbstractBijection,
    Autoregressive,
    Chain,
    Coupling,
    Permutation,
    ScaleShift,
    Spline,
    Whitening,
)
from counterflow.core.random import make_generator
from counterflow.counterfactuals.recipe_plans import RecipePlan
from counterflow.distributions import StandardNormal
from counterflow.flows import Flow

__all__ = ["FlowPlan", "Plan", "Schooling", "plan_from_dict", "plan_search_flows", "plan_witness_flows", "schooling"]

Family = Literal["maf", "spline_coupling", "spline_autoregressive"]

_FEW, _SMALL, _MANY_A_DIMENSION = 400, 1000, 50


@dataclass(frozen=True)
class FlowPlan:
    """A class-conditional flow that begins as the Gaussian of its data, as plain settings.

    Args:
        family: The layers after the whitening: affine autoregressive, spline coupling or spline autoregressive.
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

    def _layer(self, features: int, classes: int, layer: int, generator: torch.Generator) -> AbstractBijection:
        transformer = Spline(bins=8) if self.family.startswith("spline") else ScaleShift()
        if self.family == "spline_coupling":
            return Coupling(
                features,
                transformer,
                flip=bool(layer % 2),
                hidden=self.hidden,
                context_features=classes,
                generator=generator,
            )
        return Autoregressive(features, transformer, hidden=self.hidden, context_features=classes, generator=generator)


Plan = FlowPlan | RecipePlan
"""How a flow is built: as the library's own, or by a recipe of the user's choice."""


def plan_from_dict(data: dict[str, Any]) -> Plan:
    """Read what ``to_dict`` of either kind gave."""
    if "settings" in data:
        return RecipePlan(data["family"], data["settings"], data["seed"])
    return FlowPlan(data["family"], data["layers"], tuple(data["hidden"]), data["seed"])


@dataclass(frozen=True)
class Schooling:
    """How long and how carefully a flow is trained: few rows need small steps, decay and patience."""

    validation: float
    max_epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    schedule: Literal["cosine", "constant"]
    weight_decay: float


def plan_search_flows(rows: int, seed: int) -> tuple[FlowPlan, ...]:
    """The ensemble of the search for a table of so many training rows."""
    affine = FlowPlan("maf", 3, (64, 64), seed) if rows >= _SMALL else FlowPlan("maf", 2, (32, 32), seed)
    return affine, FlowPlan("spline_coupling", 2, (64, 64), seed + 1)


def plan_witness_flows(rows: int, seed: int) -> tuple[FlowPlan, ...]:
    """The judge of the search: another family, and a stronger one, so that it is at least as good a density.

    On few rows it is a mixture of three, which knows them better than any one alone.
    """
    if rows >= _SMALL:
        return (FlowPlan("spline_autoregressive", 3, (96, 96), seed),)
    return tuple(FlowPlan("spline_autoregressive", 1, (64,), seed + member) for member in range(3))


def schooling(plan: FlowPlan | RecipePlan, rows: int, *, dimension: int) -> Schooling:
    """How to train a plan on so many rows of so many dimensions: where rows are few for them, weights are held down."""
    if rows < _SMALL:
        rate, decay = (5e-3, 0.1) if rows >= _MANY_A_DIMENSION * dimension else (1e-3, 1.0)
        return Schooling(0.15, 300, 25, 32 if rows < _FEW else 64, rate, "constant", decay)
    epochs = {"maf": 45, "spline_autoregressive": 18}.get(plan.family, 36)
    batch = 256 * max(1, round(rows / 20_000))
    return Schooling(0.1, epochs, 10, batch, 5e-3 if epochs != 36 else 3e-3, "cosine", 0.0)
