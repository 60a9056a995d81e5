"""A posterior known up to its constant, and four ways to draw from it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections import Affine, Bounded
from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError
from counterflow.core.random import make_generator
from counterflow.flows import Flow, compose, spline_coupling
from counterflow.inference.ensemble_chains import run_ensemble_chains
from counterflow.inference.importance import importance_sample
from counterflow.inference.priors import Prior
from counterflow.inference.proposals import DefensiveMixture
from counterflow.inference.rejection import rejection_sample
from counterflow.inference.variational import fit_variational

__all__ = ["PosteriorTarget"]


_PILOT = 20_000
"""Draws of the proposal from which the bound of rejection sampling is taken."""

_ENOUGH = 200
"""So many effective draws make the prior a proposal that will do."""

_SLACK = 0.7
"""What is added to the largest log-ratio seen: the bound is twice the largest ratio."""


@dataclass(frozen=True, eq=False)
class PosteriorTarget:
    r"""The posterior of one observation, up to its constant: :math:`\log p(x \mid \theta) + \log p(\theta)`.

    Drawing works in coordinates :math:`u` without bounds, :math:`\theta = f^{-1}(u)` with f of
    :class:`~counterflow.bijections.Bounded`, so that no draw leaves the prior's support.

    Args:
        log_likelihood: From parameters ``(rows, parameters)`` to ``(rows,)``, differentiable for ``"variational"``.
        prior: The prior.

    Example:
        >>> from torch.distributions import Normal
        >>> from counterflow.inference import IndependentPrior
        >>> likelihood = lambda theta: Normal(theta[:, 0], 1.0).log_prob(torch.tensor(2.0))
        >>> target = PosteriorTarget(likelihood, IndependentPrior([Normal(0.0, 1.0)]))
        >>> theta = target.sample(2000, method="rejection", generator=torch.Generator().manual_seed(0))
        >>> round(theta.mean().item(), 1), round(theta.var().item(), 1)
        (1.0, 0.5)
    """

    log_likelihood: Callable[[Tensor], Tensor]
    prior: Prior

    def log_density(self, theta: Float[Tensor, "rows parameters"]) -> Float[Tensor, " rows"]:
        """Compute the unnormalized natural log-density in the space of the parameters; ``-inf`` off the support."""
        log_prior = self.prior.log_prob(theta)
        inside = log_prior > -torch.inf
        safe = torch.where(inside.unsqueeze(1), theta, self._somewhere.to(theta))
        return torch.where(inside, self.log_likelihood(safe) + log_prior, -torch.inf)

    def sample(
        self,
        count: int,
        *,
        method: str = "mcmc",
        proposal: Flow | None = None,
        steps: int = 1000,
        generator: torch.Generator | None = None,
        progress: bool = True,
    ) -> Float[Tensor, "count parameters"]:
        """Draw parameters.

        Args:
            count: How many.
            method: ``"mcmc"``, an ensemble of walkers (the package emcee), started from the prior's best draws;
                ``"importance"``, draws of a proposal taken in proportion to their weights; ``"rejection"``, with a
                bound taken from draws; ``"variational"``, a flow trained on the target, whose draws are approximate
                and are not judged.
            proposal: For all but ``"mcmc"``: a flow over the coordinates without bounds, as :meth:`fit_proposal` gives
                it. ``None`` fits one, unless the prior's own draws will do for ``"rejection"`` or ``"importance"``.
            steps: Steps of each walker, or of training a proposal.
            generator: Where randomness comes from.
            progress: Show a progress bar on an interactive terminal.

        Returns:
            The draws, ``(count, parameters)``.

        Raises:
            UnreliableError: If the method's own diagnostics say that the draws are not to be trusted.
            ArgumentError: If there is no such method.
            MissingExtra: If emcee is not installed.

        Reference:
            Foreman-Mackey et al., "emcee: The MCMC Hammer", 2013, for the walkers.
        """
        check_count(count, "count")
        generator = make_generator(generator)
        match method:
            case "mcmc":
                start = self._best_of_prior(generator)
                u = run_ensemble_chains(
                    self._log_density_free, start, count=count, steps=steps, generator=generator, progress=progress
                )
            case "variational":
                flow = proposal or self.fit_proposal(steps=steps, generator=generator, progress=progress)
                u = flow.sample(count, generator=generator)
            case "importance" | "rejection":
                law = self._proposal(proposal, steps=steps, generator=generator, progress=progress)
                draw = self._resampled if method == "importance" else self._accepted
                u = draw(law, count, generator=generator)
            case _:
                raise ArgumentError(
                    f"method must be 'mcmc', 'importance', 'rejection' or 'variational', got {method!r}. Choose one."
                )
        return self._spread.to_data(u)[0]

    def fit_proposal(
        self, *, steps: int = 1000, generator: torch.Generator | None = None, progress: bool = True
    ) -> Flow:
        """Train a spline flow on the target by variational inference, over the coordinates without bounds.

        Args:
            steps: Steps of training, the first third of them on a flattened target.
            generator: Where randomness comes from.
            progress: Show a progress bar on an interactive terminal.
        """
        generator = make_generator(generator)
        flow = spline_coupling(self.prior.features, layers=4, hidden=(64, 64), generator=generator)
        flow = compose([_scale_of(self._best_of_prior(generator)), flow.bijection])
        fit_variational(
            self._log_density_free,
            flow,
            draws=256,
            steps=steps,
            learning_rate=3e-3,
            annealing=0.3,
            generator=generator,
            progress=progress,
        )
        return flow

    def _log_density_free(self, u: Tensor) -> Tensor:
        """The log-density over the coordinates without bounds."""
        theta, log_det = self._spread.to_data(u)
        return (self.log_density(theta) + log_det).nan_to_num(nan=-torch.inf, posinf=-torch.inf)

    def _proposal(
        self, flow: Flow | None, *, steps: int, generator: torch.Generator, progress: bool
    ) -> "_FreePrior | DefensiveMixture":
        """The prior where it will do, else a flow with a tenth of the prior mixed in."""
        prior = _FreePrior(self.prior, self._spread)
        if flow is None:
            pilot = importance_sample(self._log_density_free, prior, n=_PILOT, generator=generator)
            if pilot.trustworthy and pilot.effective_draws >= _ENOUGH:
                return prior
            flow = self.fit_proposal(steps=steps, generator=generator, progress=progress)
        return DefensiveMixture(flow, prior, share=0.1)

    def _resampled(self, law: Any, count: int, *, generator: torch.Generator) -> Tensor:
        found = importance_sample(self._log_density_free, law, n=max(_PILOT, 5 * count), generator=generator)
        return found.resample(count, generator=generator)

    def _accepted(self, law: Any, count: int, *, generator: torch.Generator) -> Tensor:
        pilot = importance_sample(self._log_density_free, law, n=_PILOT, generator=generator)
        bound = float(pilot.log_weights.max()) + _SLACK
        found = rejection_sample(self._log_density_free, law, n=count, log_bound=bound, generator=generator)
        return found.points

    def _best_of_prior(self, generator: torch.Generator) -> Tensor:
        """Draws of the prior in proportion to a power of their likelihood that leaves many different ones."""
        u = _FreePrior(self.prior, self._spread).sample(_PILOT, generator=generator)
        with torch.no_grad():
            likelihood = torch.cat([self.log_likelihood(part) for part in self._spread.to_data(u)[0].split(2_000)])
        likelihood = likelihood.nan_to_num(nan=-torch.inf)
        power = 1.0
        while power > 1e-6 and 1 / (power * likelihood).softmax(0).square().sum() < _ENOUGH:
            power *= 0.7
        return u[torch.multinomial((power * likelihood).softmax(0), 1000, replacement=True, generator=generator)]

    @cached_property
    def _somewhere(self) -> Tensor:
        """A point inside of the support, where the likelihood may be asked."""
        return self.prior.sample(1, generator=make_generator(0))

    @cached_property
    def _spread(self) -> Bounded:
        """From parameters to coordinates without bounds."""
        return Bounded(self.prior.low, self.prior.high)


@dataclass(frozen=True, eq=False)
class _FreePrior:
    """The prior over the coordinates without bounds."""

    prior: Prior
    spread: Bounded

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        return self.spread.to_latent(self.prior.sample(n, generator=generator))[0]

    def log_prob(self, u: Tensor) -> Tensor:
        theta, log_det = self.spread.to_data(u)
        return self.prior.log_prob(theta) + log_det

    def sample_and_log_prob(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        u = self.sample(n, generator=generator)
        return u, self.log_prob(u)


def _scale_of(u: Tensor) -> Affine:
    """The map that standardizes some draws."""
    return Affine(u.shape[1], shift=u.mean(0), scale=u.std(0).clamp(min=1e-3))
