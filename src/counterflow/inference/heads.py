"""The flows that give a conditional density its form, and how each is trained."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow import flows
from counterflow.bijections import AbstractBijection, Bounded, Continuous, TruncatedWhitening
from counterflow.core.checks import check_count
from counterflow.flows import Flow
from counterflow.nets import VelocityMLP
from counterflow.training import FitReport, TrainingSettings, fit

_ERRORS = 2.0
_PASSED_ON = ("max_epochs", "patience", "learning_rate", "schedule", "weight_decay", "clip", "compile", "progress")

__all__ = ["ConditionalDensity", "FlowMatchingHead", "Head", "HowToTrain", "SplineHead", "Target", "fit_member"]


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

    def build(self, features: int, context_features: int, generator: torch.Generator) -> list[AbstractBijection]:
        """Make the layers."""
        flow = flows.spline_autoregressive(
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

    def build(self, features: int, context_features: int, generator: torch.Generator) -> list[AbstractBijection]:
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


@dataclass(frozen=True)
class Target:
    """What a density is of: rows of numbers between bounds.

    Args:
        low: Lower bounds; ``-inf`` for none.
        high: Upper bounds; ``inf`` for none.
    """

    low: Float[Tensor, " features"]
    high: Float[Tensor, " features"]

    @classmethod
    def unbounded(cls, features: int) -> "Target":
        """Rows of any numbers."""
        return cls(torch.full((features,), -torch.inf), torch.full((features,), torch.inf))

    @property
    def features(self) -> int:
        """How many numbers a row has."""
        return len(self.low)


class ConditionalDensity(nn.Module):
    r"""A density of rows under what an embedding says of an observation: :math:`\log q(y \mid e(c))`.

    Args:
        head: The form of the flow.
        target: What the density is of; it has no mass beyond its bounds.
        embedding: The network that reads the condition.
        embedded: The length of what it gives.
        linear: Whether the flow starts from the linear regression on what the embedding gives; for embeddings that
            learn nothing.
        generator: Where weights are drawn from.

    Example:
        >>> from counterflow.inference import SplineHead
        >>> from counterflow.inference.heads import Target
        >>> generator = torch.Generator().manual_seed(0)
        >>> density = ConditionalDensity(SplineHead(), Target.unbounded(2), nn.Identity(), 3, generator=generator)
        >>> density(torch.zeros(5, 2), torch.zeros(5, 3)).shape
        torch.Size([5])
    """

    def __init__(
        self,
        head: Head,
        target: Target,
        embedding: nn.Module,
        embedded: int,
        *,
        linear: bool = True,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        features = target.features
        layers = head.build(features, embedded, generator)
        self.embedding = embedding
        one_sided = target.low.isinf() | target.high.isinf()
        low, high = target.low, target.high
        self.flow = flows.compose(
            [
                Bounded(torch.where(one_sided, low, -torch.inf), torch.where(one_sided, high, torch.inf)),
                TruncatedWhitening(
                    torch.where(one_sided, -torch.inf, low),
                    torch.where(one_sided, torch.inf, high),
                    context_features=embedded if linear else 0,
                ),
                *layers,
            ]
        )

    def forward(
        self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each row."""
        return self.flow(y, None if context is None else self.embedding(context))

    def initialize(self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None) -> None:
        """Let the layers that start from data see some."""
        with torch.no_grad():
            self.flow.initialize(y, None if context is None else self.embedding(context))


@dataclass(frozen=True)
class HowToTrain:
    """What all parts that are trained for one answer share.

    Args:
        settings: Epochs, learning rate and so on.
        batch_size: The most rows of a batch.
        validation: The share of rows held out.
        generator: Where randomness comes from.
    """

    settings: TrainingSettings
    batch_size: int
    validation: float
    generator: torch.Generator

    def fit(self, module: nn.Module, y: Tensor, *, context: Tensor, held: object = None) -> FitReport:
        """Train by maximum likelihood, with a random share held out or with rows of one's own."""
        return fit(
            module,
            y,
            context=context,
            validation=self.validation if held is None else held,  # type: ignore[arg-type]
            batch_size=self.batch_size,
            generator=self.generator,
            **{name: getattr(self.settings, name) for name in _PASSED_ON},
        )


def fit_member(
    density: ConditionalDensity,
    y: Float[Tensor, "rows features"],
    *,
    context: Float[Tensor, "_ *read"],
    how: HowToTrain,
) -> FitReport:
    """Train one density, by flow matching if its flow ends in an equation, else by maximum likelihood.

    By maximum likelihood it keeps its start, the truncated Gaussian regression, unless training betters that on the
    rows held out by more than two standard errors.

    Args:
        density: What is trained.
        y: Rows.
        context: What each is conditioned on, as it was read.
        how: How to train.

    Returns:
        How it went.
    """
    if _is_continuous(density.flow):
        return flows.fit_flow_matching(
            density.flow,
            y,
            context=context,
            embedding=density.embedding,
            validation=how.validation,
            settings=how.settings,
            batch_size=how.batch_size,
            device="cpu",
            generator=how.generator,
        )
    held = max(1, round(how.validation * len(y)))
    order = torch.randperm(len(y), generator=how.generator)
    train, check = order[held:], order[:held]
    density.initialize(y[train], context[train])
    start = {name: value.clone() for name, value in density.state_dict().items()}
    first = _held_out(density, y[check], context[check])
    report = how.fit(density, y[train], context=context[train], held=(y[check], context[check]))
    gain = _held_out(density, y[check], context[check]) - first
    if not gain.mean() > _ERRORS * gain.std() / len(gain) ** 0.5:
        density.load_state_dict(start)
    return report


@torch.no_grad()
def _held_out(density: ConditionalDensity, y: Tensor, context: Tensor) -> Tensor:
    """The log-density of each row held out."""
    return torch.cat([density(*part) for part in zip(y.split(1000), context.split(1000), strict=True)])


def _is_continuous(flow: Flow) -> bool:
    return any(isinstance(part, Continuous) for part in flow.modules())
