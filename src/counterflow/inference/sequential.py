"""Sequential posterior estimation with truncated proposals: all simulations go where one observation matters."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import Bounded
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, UnreliableError
from counterflow.core.random import make_generator
from counterflow.inference.posterior import ObservedPosterior, Posterior
from counterflow.inference.posterior_estimation import fit_posterior
from counterflow.inference.priors import Prior, as_prior
from counterflow.inference.simulating import simulate
from counterflow.inference.simulations import Simulations, Simulator

__all__ = ["SequentialPosterior", "SequentialRound", "TruncatedPrior", "fit_sequential_posterior"]

_DRAWS_OF_BOUNDARY = 10_000
_TRIES_AT_ONCE = 10_000
_MOST_TRIES = 2_000_000
_FEWEST_ACCEPTED = 1e-3
_PADDING = 0.1


@dataclass(frozen=True, eq=False)
class TruncatedPrior:
    r"""The prior, cut off where a posterior has next to no mass.

    .. math:: \tilde p(\theta) \propto p(\theta)\, 1 \left[ q(\theta \mid x) \ge \tau \right]

    Args:
        prior: The prior.
        posterior: q at the observation.
        log_threshold: :math:`\log \tau`.
        acceptance: The share of the prior that is left, estimated.

    Reference:
        Deistler, Goncalves, Macke, "Truncated proposals for scalable and hassle-free simulation-based inference",
        2022, section 3.1.
    """

    prior: Prior
    posterior: ObservedPosterior
    log_threshold: float
    acceptance: float

    @property
    def features(self) -> int:
        """The number of parameters."""
        return self.prior.features

    @property
    def low(self) -> Float[Tensor, " features"]:
        """The lower bounds of the prior."""
        return self.prior.low

    @property
    def high(self) -> Float[Tensor, " features"]:
        """The upper bounds of the prior."""
        return self.prior.high

    @torch.no_grad()
    def contains(self, theta: Float[Tensor, "rows features"]) -> Tensor:
        """Which parameters are left."""
        parts = [self.posterior.log_prob(part) >= self.log_threshold for part in theta.split(_TRIES_AT_ONCE)]
        return torch.cat(parts)

    def log_prob(self, theta: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density, as exactly as ``acceptance`` is known."""
        return torch.where(self.contains(theta), self.prior.log_prob(theta) - math.log(self.acceptance), -torch.inf)

    @torch.no_grad()
    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count features"]:
        """Draw parameters by rejection: from the prior, or from a box around the posterior where little is left.

        Raises:
            UnreliableError: If two million tries are not enough.
        """
        generator = make_generator(generator)
        if self.acceptance >= _FEWEST_ACCEPTED:
            return self._by_rejection(count, generator)
        return self._within_a_box(count, generator)

    def _by_rejection(self, count: int, generator: torch.Generator) -> Tensor:
        return self._collected(count, lambda: self.prior.sample(_TRIES_AT_ONCE, generator=generator))

    def _within_a_box(self, count: int, generator: torch.Generator) -> Tensor:
        """Try even draws of a box around the posterior's own (over coordinates without bounds), by the prior there."""
        spread = Bounded(self.low, self.high)
        u, _ = spread.to_latent(self.posterior.sample(_DRAWS_OF_BOUNDARY, generator=generator))
        low, high = u.amin(0), u.amax(0)
        low, high = low - _PADDING * (high - low), high + _PADDING * (high - low)

        def tries() -> Tensor:
            shares = torch.rand(_TRIES_AT_ONCE, self.features, generator=generator)
            theta, log_det = spread.to_data(low + (high - low) * shares)
            height = self.prior.log_prob(theta) + log_det
            return theta[torch.rand(_TRIES_AT_ONCE, generator=generator).log() < height - height.max()]

        return self._collected(count, tries)

    def _collected(self, count: int, tries: Callable[[], Tensor]) -> Tensor:
        kept: list[Tensor] = []
        for _ in range(_MOST_TRIES // _TRIES_AT_ONCE):
            theta = tries()
            kept.append(theta[self.contains(theta)])
            if sum(map(len, kept)) >= count:
                return torch.cat(kept)[:count]
        raise UnreliableError(
            f"only {sum(map(len, kept))} of {count} draws of the truncated prior were found in {_MOST_TRIES} tries. "
            "Use fewer rounds, or a larger mass."
        )


class SequentialRound(NamedTuple):
    """One round.

    Args:
        simulations: How many were run for it, failures included.
        used: How many of all so far lie where the proposal still is, and were learned from.
        acceptance: The share of the prior that its proposal left.
        held_out: The mean log-density of held-out parameters, in nats.
    """

    simulations: int
    used: int
    acceptance: float
    held_out: float


@dataclass(frozen=True, eq=False)
class SequentialPosterior:
    """A posterior that is right for one observation.

    Args:
        posterior: For data like the observation; for others it is not amortized.
        x: The observation.
        rounds: What each round did.
        simulations: All that were run.
        proposal: The prior as the last round left it.
    """

    posterior: Posterior
    x: Float[Tensor, "*shape"]
    rounds: tuple[SequentialRound, ...]
    simulations: Simulations
    proposal: Prior

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count parameters"]:
        """Draw parameters."""
        return self.posterior.sample(count, self.x, generator=generator)

    def log_prob(self, theta: Float[Tensor, "*_"]) -> Float[Tensor, " rows"]:
        """Compute their natural log-density."""
        return self.posterior.log_prob(theta, self.x)


def fit_sequential_posterior(
    simulator: Simulator,
    prior: object,
    *,
    x: Float[Tensor, "*shape"],
    rounds: int = 5,
    simulations: int = 1000,
    mass: float = 1e-4,
    workers: int = 1,
    generator: torch.Generator | None = None,
    progress: bool = True,
    **how: Any,
) -> SequentialPosterior:
    r"""Learn the posterior of one observation in rounds: truncated sequential neural posterior estimation.

    .. math:: \theta \sim p(\theta)\, 1 \left[ \theta \in S_r \right], \quad
        S_r = \{ \theta : q_{r-1}(\theta \mid x_o) \ge \tau \}, \quad
        Q_{r-1} \left( q_{r-1}(\theta \mid x_o) < \tau \right) = \epsilon

    Each round simulates where the posterior of the round before has its mass, and learns a new one from all
    simulations that lie there. There the proposal is the prior times a constant, so the plain loss stays right.

    Args:
        simulator: As for :func:`~counterflow.inference.simulate`.
        prior: The prior.
        x: The observation.
        rounds: How many rounds.
        simulations: Runs in each round.
        mass: :math:`\epsilon`, the share of the posterior that a truncation cuts off, in (0, 0.1]. What is cut off is
            lost: a posterior that is too narrow in an early round stays so.
        workers: How many processes simulate.
        generator: Where randomness comes from.
        progress: Show progress bars on an interactive terminal.
        **how: Further settings of :func:`~counterflow.inference.fit_posterior`: head, embedding, members and so on.

    Returns:
        The posterior, with what each round did.

    Raises:
        ArgumentError: If a setting is out of its range.
        UnreliableError: If a truncated prior cannot be drawn from.

    Reference:
        Deistler, Goncalves, Macke, "Truncated proposals for scalable and hassle-free simulation-based inference",
        2022, algorithm 1.

    Example:
        >>> from counterflow.inference import BoxUniform
        >>> noisy = lambda theta, generator: theta + 0.05 * torch.randn(theta.shape, generator=generator)
        >>> found = fit_sequential_posterior(
        ...     noisy,
        ...     BoxUniform([-2.0], [2.0]),
        ...     x=torch.tensor([1.0]),
        ...     rounds=2,
        ...     simulations=300,
        ...     max_epochs=10,
        ...     generator=torch.Generator().manual_seed(0),
        ... )
        >>> found.rounds[1].acceptance < 0.3
        True
    """
    check_count(rounds, "rounds")
    check_count(simulations, "simulations", 20)
    if not 0 < mass <= 0.1:
        raise ArgumentError(f"mass must be above 0 and at most 0.1, got {mass}. The paper's value is 1e-4.")
    prior, generator = as_prior(prior), make_generator(generator)
    missing = bool(x.isnan().any())
    run = {"count": simulations, "workers": workers, "missing": missing, "generator": generator, "progress": progress}
    proposal: Prior = prior
    every = simulate(simulator, proposal, **run)
    done: list[SequentialRound] = []
    while True:
        used = _within(every, proposal)
        posterior = fit_posterior(used, prior, generator=generator, progress=progress, **how)
        held_out = -sum(report.best_validation for report in posterior.reports) / len(posterior.reports)
        share = proposal.acceptance if isinstance(proposal, TruncatedPrior) else 1.0
        done.append(SequentialRound(simulations, len(used), share, held_out))
        if len(done) == rounds:
            return SequentialPosterior(posterior, x, tuple(done), every, proposal)
        proposal = _truncated(prior, posterior.at(x), mass=mass, generator=generator)
        every = every.join(simulate(simulator, proposal, **run))


def _within(simulations: Simulations, proposal: Prior) -> Simulations:
    """Those whose parameters the proposal may give: among them it is the prior times a constant."""
    if not isinstance(proposal, TruncatedPrior):
        return simulations
    inside = proposal.contains(simulations.theta)
    return replace(simulations, theta=simulations.theta[inside], x=simulations.x[inside])


def _truncated(
    prior: Prior, posterior: ObservedPosterior, *, mass: float, generator: torch.Generator
) -> TruncatedPrior:
    _, log_q = posterior.sample_and_log_prob(_DRAWS_OF_BOUNDARY, generator=generator)
    threshold = float(log_q.quantile(mass))
    whole = TruncatedPrior(prior, posterior, threshold, 1.0)
    inside = whole.contains(prior.sample(_DRAWS_OF_BOUNDARY, generator=generator)).double().mean()
    return replace(whole, acceptance=max(float(inside), 1.0 / _DRAWS_OF_BOUNDARY))
