"""What a task of simulation-based inference is: a prior, a simulator and, where known, a likelihood and a posterior."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count, check_event
from counterflow.core.errors import ArgumentError
from counterflow.inference.priors import Prior
from counterflow.inference.simulations import Simulator

__all__ = ["PosteriorSampler", "Task"]

PosteriorSampler = Callable[[int, Tensor, torch.Generator | None], Tensor]
"""``posterior(count, x, generator)``: draws ``(count, parameters)`` given one observation."""


@dataclass(frozen=True, eq=False)
class Task:
    """A problem to infer parameters in.

    Args:
        name: What it is called.
        prior: The law of the parameters before any data.
        simulator: ``simulator(theta, generator)`` gives one row of data for each row of parameters.
        parameters: The names of the parameters.
        data_features: How many numbers an observation has.
        likelihood: ``likelihood(x, theta)``, the natural log-density of data; ``None`` where it has no closed form.
        posterior: Draws of the exact posterior; ``None`` where there is no way to them.

    Example:
        >>> from counterflow.inference import tasks
        >>> task = tasks.two_moons()
        >>> theta = task.prior.sample(5)
        >>> x = task.simulator(theta, torch.Generator().manual_seed(0))
        >>> x.shape, task.log_likelihood(x, theta).shape, task.sample_posterior(100, x[0]).shape
        (torch.Size([5, 2]), torch.Size([5]), torch.Size([100, 2]))
    """

    name: str
    prior: Prior
    simulator: Simulator
    parameters: tuple[str, ...]
    data_features: int
    likelihood: Callable[[Tensor, Tensor], Tensor] | None = None
    posterior: PosteriorSampler | None = None

    def log_likelihood(
        self, x: Float[Tensor, "*batch features"], theta: Float[Tensor, "*batch2 parameters"]
    ) -> Float[Tensor, "*out"]:
        """Compute the natural log-density of data given parameters.

        Args:
            x: Data: one observation, or one for each row of parameters.
            theta: Parameters, in the support of the prior.

        Raises:
            ArgumentError: The task has no likelihood in closed form.
            ShapeError: The last dimensions are not those of the task.
        """
        if self.likelihood is None:
            raise ArgumentError(
                f"the task {self.name!r} has a simulator and no likelihood in closed form. Estimate the posterior from "
                "simulations, for example by fit_posterior."
            )
        check_event(x, (self.data_features,))
        check_event(theta, (len(self.parameters),), "theta")
        return self.likelihood(x, theta)

    def sample_posterior(
        self, count: int, x: Float[Tensor, " features"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "count parameters"]:
        """Draw from the exact posterior of one observation.

        Args:
            count: How many draws.
            x: The observation.
            generator: Where the randomness comes from.

        Raises:
            ArgumentError: The task has no exact posterior.
            ShapeError: The observation has not as many numbers as those of the task.
            UnreliableError: The observation is as good as impossible under the prior.
        """
        if self.posterior is None:
            raise ArgumentError(
                f"the task {self.name!r} has no sampler of its exact posterior. Run a chain on prior and likelihood "
                "where there is one, or estimate the posterior from simulations."
            )
        check_count(count, "count")
        check_event(x, (self.data_features,))
        return self.posterior(count, x, generator)
