"""How one conditional density is trained: by maximum likelihood behind a regression, or by flow matching."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import Continuous
from counterflow.flows import Flow, fit_flow_matching
from counterflow.inference.heads import ConditionalDensity
from counterflow.training import FitReport, TrainingSettings, fit

__all__ = ["HowToTrain", "fit_member", "usual_batch_size"]

_ERRORS = 2.0
_PASSED_ON = ("max_epochs", "patience", "learning_rate", "schedule", "weight_decay", "clip", "compile", "progress")


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


def usual_batch_size(rows: int) -> int:
    """A tenth of the rows, from 50 to 200: small data need many steps an epoch, large ones short steps.

    Example:
        >>> usual_batch_size(1000), usual_batch_size(10_000)
        (100, 200)
    """
    return min(200, max(50, rows // 10))


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
        How it went; its history is that of standardized rows.
    """
    if _is_continuous(density.flow):
        return fit_flow_matching(
            density.flow,
            y,
            context=context,
            embedding=density.embedding,
            validation=how.validation,
            settings=how.settings,
            batch_size=how.batch_size,
            generator=how.generator,
        )
    held = max(1, round(how.validation * len(y)))
    order = torch.randperm(len(y), generator=how.generator)
    train, check = order[held:], order[:held]
    density.initialize(y[train], context[train])
    rest = _Rest(density)
    z, log_det = density.standardized(y, context)
    start = {name: value.clone() for name, value in rest.state_dict().items()}
    first = _held_out(rest, z[check], context[check])
    report = how.fit(rest, z[train], context=context[train], held=(z[check], context[check]))
    gain = _held_out(rest, z[check], context[check]) - first
    if not gain.mean() > _ERRORS * gain.std() / len(gain) ** 0.5:
        rest.load_state_dict(start)
    return replace(report, best_validation=report.best_validation - log_det[check].mean().item())


class _Rest(nn.Module):
    """What of a conditional density is trained: all behind the regression, which is fitted once."""

    def __init__(self, density: ConditionalDensity) -> None:
        super().__init__()
        self.embedding = density.embedding
        self.flow = density.rest()

    def forward(self, z: Tensor, context: Tensor) -> Tensor:
        return self.flow(z, self.embedding(context))


@torch.no_grad()
def _held_out(density: nn.Module, y: Tensor, context: Tensor) -> Tensor:
    """The log-density of each row held out."""
    return torch.cat([density(*part) for part in zip(y.split(1000), context.split(1000), strict=True)])


def _is_continuous(flow: Flow) -> bool:
    return any(isinstance(part, Continuous) for part in flow.modules())
