"""What every way of training a hidden Markov model of flows needs: the series, its held-out part, and a first fit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from counterflow.hmm.blocks import checked_lengths
from counterflow.hmm.model import FlowMarkovModel, observed
from counterflow.hmm.smoothing import Smoothed
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["Series", "Weighted", "deal", "fit_posteriors", "held_out_loss", "hold_out", "judge", "weighted_loss"]

_ROWS_TO_INITIALIZE = 4096
_ROWS_TO_CHOOSE_FROM = 1 << 16


@dataclass(frozen=True)
class Series:
    """Sequences one below the other, and which observations train and which judge.

    Args:
        x: The observations, NaN where there was none.
        lengths: Rows of each sequence.
        held: Which rows are held out: in training they count as missing.
    """

    x: Float[Tensor, "rows features"]
    lengths: list[int]
    held: Bool[Tensor, " rows"]

    @property
    def made(self) -> Bool[Tensor, " rows"]:
        """The rows that train."""
        return observed(self.x) & ~self.held

    @property
    def judged(self) -> Bool[Tensor, " rows"]:
        """The rows that judge."""
        return observed(self.x) & self.held


class Weighted(NamedTuple):
    """Observations, and how much each state answers for them."""

    x: Float[Tensor, "rows features"]
    shares: Float[Tensor, "rows states"]


def hold_out(
    x: Float[Tensor, "rows features"],
    lengths: Sequence[int] | None = None,
    *,
    share: float,
    stretch: int = 50,
    generator: torch.Generator | None = None,
) -> Series:
    """Hold out stretches of a series, from anywhere in it.

    For training they are observations that were not made, so that nothing is cut apart; they are judged by how well
    what came before predicts them.

    Args:
        x: The observations.
        lengths: Rows of each sequence.
        share: The share of rows to hold out, in [0, 1).
        stretch: The most rows of a stretch, at least 1; there are four stretches or more.
        generator: Where the randomness comes from.

    Returns:
        The series.

    Raises:
        DataError: The lengths do not add up to the rows.

    Example:
        >>> series = hold_out(torch.zeros(1000, 1), share=0.1, generator=torch.Generator().manual_seed(0))
        >>> int(series.held.sum())
        100
    """
    rows, lengths = len(x), checked_lengths(lengths, len(x))
    stretch = max(1, min(stretch, int(rows * share / 4)))
    stretches = -(-rows // stretch)
    chosen = torch.zeros(stretches, dtype=torch.bool)
    chosen[torch.randperm(stretches, generator=generator)[: round(stretches * share)]] = True
    return Series(x, lengths, chosen.repeat_interleave(stretch)[:rows].to(x.device))


def judge(model: FlowMarkovModel, series: Series) -> Float[Tensor, ""]:
    """Minus the mean predictive log-density of the rows that judge, each given all that came before it."""
    return -model.filter(series.x, series.lengths).log_predictive[series.judged].mean()


def held_out_loss(series: Series) -> Callable[[nn.Module], Tensor] | None:
    """The loss that stops a training: that of :func:`judge`; ``None`` if nothing is held out."""
    if not bool(series.judged.any()):
        return None
    return lambda module: judge(next(part for part in module.modules() if isinstance(part, FlowMarkovModel)), series)


def deal(x: Tensor, shares: Tensor, *, batch_size: int, generator: torch.Generator) -> Iterator[Weighted]:
    """Batches of about one size in random order."""
    order = torch.randperm(len(x), generator=generator)
    for chosen in order.tensor_split(-(-len(x) // batch_size)):
        yield Weighted(x[chosen], shares[chosen])


def weighted_loss(model: nn.Module, batch: Weighted) -> Float[Tensor, ""]:
    r"""Minus the expected log-density of observations: :math:`-\frac1n \sum_t \sum_j \gamma_t(j) \log p_j(x_t)`.

    Args:
        model: Gives the log-density of each observation under each state.
        batch: The observations and their :math:`\gamma`.

    Returns:
        A scalar, in nats.
    """
    return -(batch.shares * model(batch.x)).sum(1).mean()


def fit_posteriors(
    model: FlowMarkovModel,
    series: Series,
    *,
    start: Smoothed,
    settings: TrainingSettings,
    batch_size: int = 500,
    pseudo_count: float = 0.1,
    generator: torch.Generator,
) -> FitReport:
    """Fit flows and law to given posteriors of the states: one long M-step, with which every training begins.

    Args:
        model: The model, changed in place. Layers that start from data see observations of their state.
        series: What to learn from.
        start: The posteriors.
        settings: Epochs, learning rate and so on.
        batch_size: The most rows of a batch.
        pseudo_count: What is added to every expected count of starts and transitions.
        generator: Where the randomness comes from.

    Returns:
        The report of the run.
    """
    x, shares = series.x[series.made], start.log_posterior[series.made].exp()
    some = torch.randperm(len(x), generator=generator)[:_ROWS_TO_CHOOSE_FROM]
    for flow, share in zip(model.flows, shares[some].T, strict=True):
        count = min(len(some), _ROWS_TO_INITIALIZE)
        drawn = torch.multinomial(share + 1e-9, count, replacement=True, generator=generator)
        flow.initialize(x[some[drawn]].to(flow.dtype))
    model.set_law(start.starts, start.transitions, pseudo_count=pseudo_count)
    return optimise(
        model,
        weighted_loss,
        lambda dealer: deal(x, shares, batch_size=batch_size, generator=dealer),
        validate=held_out_loss(series),
        settings=settings,
        generator=generator,
    )
