"""Proposals that learn from all draws made so far, whoever made them."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count, check_positive
from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import ProposalOutcome
from counterflow.core.random import make_generator
from counterflow.flows import Flow, initialize
from counterflow.inference.importance import WORST_SHAPE, ImportanceSample, importance_sample
from counterflow.inference.pareto import smooth_weights
from counterflow.inference.proposals import DefensiveMixture, LogDensity, checked_density
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["ProposalFit", "ProposalRound", "fit_proposal"]

_STEPS_AN_EPOCH, _PATIENCE, _HELD_OUT = 50, 5, 0.1
_BATCH_OF_DENSITIES = 10_000


class ProposalRound(NamedTuple):
    r"""One round: fresh draws of the proposal as it was, judged before anything learned from them.

    Args:
        evaluations: How often the target had been asked by then.
        effective_share: Kish's share of effective draws among the fresh ones, at most 1.
        shape: :math:`\hat k` of the tail of their weights.
        exponent: The power of the buffer's weights that was trained on next; 1 is the target itself, NaN: none was.
        report: How that training ended; ``None`` after the last round.
    """

    evaluations: int
    effective_share: float
    shape: float
    exponent: float
    report: FitReport | None


@dataclass(frozen=True, eq=False)
class ProposalFit:
    """A trained proposal, and how it came about.

    Args:
        proposal: The flow with the broad law mixed in, for :func:`~counterflow.inference.importance_sample`,
            :func:`~counterflow.inference.rejection_sample` or :func:`~counterflow.inference.independence_metropolis`.
        sample: All draws that were made, weighted by the mixture of all laws they came from: estimates from them ask
            the target nothing more. Later laws learned from earlier draws, so that a mode half found makes the
            normalizer too small; fresh draws of the proposal say so.
        rounds: One record for each round; the last is that of the flow as it is now.
        outcome: How it ended; ``outcome.sentence`` says it in words.
    """

    proposal: DefensiveMixture
    sample: ImportanceSample
    rounds: tuple[ProposalRound, ...]
    outcome: ProposalOutcome

    @property
    def trustworthy(self) -> bool:
        """Whether the weights of the last fresh draws have a tail that is light enough: a shape of at most 0.7."""
        return self.rounds[-1].shape <= WORST_SHAPE


class _Settings(NamedTuple):
    steps: int
    batch_size: int
    learning_rate: float
    progress: bool


def fit_proposal(
    log_density: LogDensity,
    flow: Flow,
    *,
    broad: Any = None,
    given: Sequence[tuple[Tensor, Any]] = (),
    rounds: int = 10,
    draws: int = 4000,
    share: float = 0.1,
    least_effective: float = 0.1,
    enough: float = 0.95,
    steps: int = 500,
    batch_size: int = 512,
    learning_rate: float = 1e-3,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> ProposalFit:
    r"""Train a flow to propose draws of a target, on a buffer of the draws of all proposals before it.

    .. math:: \min_\theta \; -\sum_i W_i^{(\beta)} \log q_\theta(x_i), \qquad
        W_i^{(\beta)} \propto \left( \frac{\tilde p(x_i)}{\sum_s n_s\, q_s(x_i)} \right)^\beta

    The divergence is :math:`\mathrm{KL}(p \,\|\, q)`: it punishes places of the target where no draw is made. Weights
    know of all laws :math:`q_s` that filled the buffer, so that no draw is thrown away, and their tail is smoothed by a
    Pareto law. While they are uneven a power :math:`\beta < 1` evens them: the largest for which ``least_effective`` of
    the buffer counts. The target is asked once for each draw, and its gradient never.

    Args:
        log_density: The target's natural log-density up to a constant: from ``(rows, *event)`` to ``(rows,)``; ``-inf``
            where there is none. It need not be differentiable.
        flow: What is trained, in place.
        broad: What is mixed into each proposal: a law that is everywhere where the target is, with ``sample`` and
            ``log_prob``; ``None`` takes the flow as it comes. A mode that neither visits stays unknown.
        given: More draws to learn from, each with the law they were drawn from, which has ``log_prob``.
        rounds: The most rounds of training.
        draws: Fresh draws in each round.
        share: The share of ``broad``, in (0, 1).
        least_effective: The share of the buffer that must count in training, in (0, 1).
        enough: The share of fresh draws that count, in (0, 1], at which training ends.
        steps: Steps of Adam in each round, in epochs of 50; they end early when a held-out tenth no longer gains.
        batch_size: Points of each step, drawn from the buffer in proportion to their weights.
        learning_rate: At the start of each round; it falls along a cosine.
        generator: Where all draws come from.
        progress: Show progress bars on an interactive terminal.

    Returns:
        The proposal and the record of its rounds.

    Raises:
        ArgumentError: A setting is out of its range, or the target is NaN or infinite somewhere or zero at all draws.

    Reference:
        Cornuet, Marin, Mira, Robert, "Adaptive multiple importance sampling", 2012, for the weights; Koblents, Miguez,
        "A population Monte Carlo scheme with transformed weights", 2015, for their power; Mueller et al., "Neural
        importance sampling", 2019, for flows.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> def bar(x):  # uniform on (1, 2): no gradient leads there
        ...     return torch.where((x[:, 0] > 1) & (x[:, 0] < 2), 0.0, -torch.inf)
        >>> flow = flows.spline_coupling(1, layers=2, hidden=(16,), bound=3.0, generator=generator)
        >>> found = fit_proposal(bar, flow, rounds=3, draws=1000, steps=100, learning_rate=1e-2, generator=generator)
        >>> found.rounds[0].effective_share < 0.2, found.rounds[-1].effective_share > 0.6
        (True, True)
    """
    counts = {"rounds": rounds, "draws": draws, "steps": steps, "batch_size": batch_size}
    _check(counts, least_effective=least_effective, enough=enough, learning_rate=learning_rate)
    settings = _Settings(steps, batch_size, learning_rate, progress)
    generator = make_generator(generator, flow.device)
    broad = copy.deepcopy(flow) if broad is None else broad
    buffer, done = _Buffer(), []
    for points, law in given:
        buffer.add(points, law, checked_density(log_density, points))
    while True:
        current = DefensiveMixture(copy.deepcopy(flow), broad, share=share)
        fresh = importance_sample(log_density, current, n=draws, generator=generator)
        buffer.add(fresh.points, current, _targets(fresh, current))
        judged = ProposalRound(len(buffer.points), fresh.effective_draws / draws, fresh.shape, math.nan, None)
        reached = judged.effective_share >= enough and judged.shape <= WORST_SHAPE
        if reached or len(done) == rounds:
            outcome = ProposalOutcome.ENOUGH if reached else ProposalOutcome.MAX_ROUNDS
            return ProposalFit(DefensiveMixture(flow, broad, share=share), buffer.sample(), (*done, judged), outcome)
        weights, exponent = buffer.weights(least_effective)
        report = _train(flow, buffer.points, weights, settings=settings, generator=generator)
        done.append(judged._replace(exponent=exponent, report=report))


class _Buffer:
    """All draws, what the target says of them, and the mixture of all laws they came from."""

    def __init__(self) -> None:
        self.points, self._targets, self._mixed = (torch.zeros(0) for _ in range(3))
        self._laws: list[tuple[float, Any]] = []

    @torch.no_grad()
    def add(self, points: Tensor, law: Any, targets: Tensor) -> None:
        """Take in draws of one more law."""
        count = math.log(len(points))
        known = [weight + _log_prob(law, points) for weight, law in [*self._laws, (count, law)]]
        new = torch.stack(known).logsumexp(0)
        if not self._laws:
            self.points, self._targets, self._mixed = points, targets, new
        else:
            old = torch.logaddexp(self._mixed, count + _log_prob(law, self.points))
            self._mixed = torch.cat([old, new])
            self.points, self._targets = torch.cat([self.points, points]), torch.cat([self._targets, targets])
        self._laws.append((count, law))

    def sample(self) -> ImportanceSample:
        """All draws, each weighted by the mixture."""
        log_weights = self._targets - self._mixed + math.log(len(self.points))
        return ImportanceSample(self.points, log_weights, *smooth_weights(log_weights))

    def weights(self, least: float) -> tuple[Float[Tensor, " n"], float]:
        """The smoothed weights to their largest power with enough effective draws, and that power."""
        smoothed = self.sample().smoothed.double()
        exponent = _largest_exponent(smoothed, least * float(smoothed.isfinite().sum()))
        return (exponent * smoothed).softmax(0), exponent


@torch.no_grad()
def _targets(fresh: ImportanceSample, law: DefensiveMixture) -> Float[Tensor, " n"]:
    """What the target said of weighted draws, without asking it again."""
    return fresh.log_weights + _log_prob(law, fresh.points)


def _log_prob(law: Any, points: Tensor) -> Tensor:
    return torch.cat([law.log_prob(part) for part in points.split(_BATCH_OF_DENSITIES)])


def _largest_exponent(log_weights: Float[Tensor, " n"], least: float) -> float:
    """The largest power, at most 1, of weights of which so many draws are effective; found by bisection."""

    def effective(exponent: float) -> float:
        return float(1 / (exponent * log_weights).softmax(0).square().sum())

    if effective(1.0) >= least:
        return 1.0
    low, high = 0.0, 1.0
    while high - low > 1e-3 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if effective(middle) >= least else (low, middle)
    return (low + high) / 2


def _train(
    flow: Flow, points: Tensor, weights: Tensor, *, settings: _Settings, generator: torch.Generator
) -> FitReport:
    """Maximum likelihood on draws from the buffer in proportion to their weights, with a tenth held out."""
    device = points.device
    away = torch.rand(len(points), generator=generator, device=device) < _HELD_OUT
    kept, shares = points[~away], weights[~away]
    held, held_shares = points[away], (weights[away] / weights[away].sum()).to(points.dtype)

    def pick(count: int, generator: torch.Generator) -> Tensor:
        return kept[torch.multinomial(shares, count, replacement=True, generator=generator)]

    def batches(generator: torch.Generator) -> Iterator[Tensor]:
        for _ in range(min(_STEPS_AN_EPOCH, settings.steps)):
            yield pick(settings.batch_size, generator)

    initialize(flow, pick(settings.batch_size, generator))
    epochs = -(-settings.steps // _STEPS_AN_EPOCH)
    return optimise(
        flow,
        lambda module, x: -module(x).mean(),
        batches,
        validate=lambda module: -(held_shares * module(held)).sum(),
        settings=TrainingSettings(
            max_epochs=epochs,
            patience=min(epochs, _PATIENCE),
            learning_rate=settings.learning_rate,
            compile=False,
            progress=settings.progress,
        ),
        generator=generator,
    )


def _check(counts: dict[str, int], *, least_effective: float, enough: float, learning_rate: float) -> None:
    for name, value in counts.items():
        check_count(value, name)
    check_positive(learning_rate, "learning_rate")
    if not (0 < least_effective < 1 and 0 < enough <= 1):
        raise ArgumentError(
            f"least_effective must be in (0, 1) and enough in (0, 1], got {least_effective} and {enough}. "
            "They are shares of draws."
        )
