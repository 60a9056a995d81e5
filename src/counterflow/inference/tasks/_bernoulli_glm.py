"""Bernoulli GLM: the filter of a neuron that spikes or not in each of a hundred moments."""

from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal
from torch.nn.functional import softplus

from counterflow.inference.priors import Prior, as_prior
from counterflow.inference.tasks.sampling import concave_sampler
from counterflow.inference.tasks.task import Task

__all__ = ["bernoulli_glm", "bernoulli_glm_raw", "design_matrix", "prior_precision"]

_MOMENTS, _WEIGHTS, _SEED = 100, 9, 42


def bernoulli_glm() -> Task:
    r"""Make the task of a generalized linear model of spikes: an offset and a filter of nine weights.

    .. math:: z_t \sim \mathrm{Bernoulli}\big(\sigma(\beta + \textstyle\sum_j f_j\, v_{t-j})\big), \quad
        x = V^\top z, \quad \beta \sim N(0, 2), \quad f \sim N\big(0, (F^\top F)^{-1}\big)

    The stimulus v is white noise, that of the benchmark; V has a column of ones and one for each lag, so that x, which
    is sufficient, holds the number of spikes and the sum of the stimulus before them. The prior holds filters smooth:
    F takes second differences, and :math:`\sqrt{(i - 1) / 9}` is added on its diagonal.

    Returns:
        The task, with a likelihood up to a term that does not depend on the parameters (how many trains of spikes have
        the same x), and exact posterior.

    Reference:
        Goncalves et al., "Training deep neural density estimators to identify mechanistic models of neural dynamics",
        2020; Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.5.

    Example:
        >>> task = bernoulli_glm()
        >>> x = task.simulator(task.prior.sample(3), None)
        >>> x.shape, bool((x[:, 0] == x[:, 0].round()).all())  # the first number counts spikes
        (torch.Size([3, 10]), True)
    """
    return Task(
        name="bernoulli_glm",
        prior=_prior(),
        simulator=_simulate,
        parameters=_NAMES,
        data_features=1 + _WEIGHTS,
        likelihood=_log_likelihood,
        posterior=_sample_posterior,
    )


def bernoulli_glm_raw() -> Task:
    """Make the task :func:`bernoulli_glm` with the hundred zeros and ones themselves as data.

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.6.

    Example:
        >>> task = bernoulli_glm_raw()
        >>> task.simulator(task.prior.sample(50), None).unique()
        tensor([0., 1.])
    """
    return Task(
        name="bernoulli_glm_raw",
        prior=_prior(),
        simulator=_spikes,
        parameters=_NAMES,
        data_features=_MOMENTS,
        likelihood=_raw_log_likelihood,
        posterior=_sample_raw_posterior,
    )


_NAMES = ("offset", *(f"filter_{place + 1}" for place in range(_WEIGHTS)))


@cache
def design_matrix() -> Float[Tensor, "100 10"]:
    """Make V: ones, and the stimulus as it was so many moments ago, zero before its beginning.

    The stimulus is the benchmark's own: numpy promises that this stream of random numbers never changes.
    """
    stimulus = np.random.RandomState(_SEED).randn(_MOMENTS)
    lagged = [np.concatenate([np.zeros(lag), stimulus[: _MOMENTS - lag]]) for lag in range(_WEIGHTS)]
    return torch.from_numpy(np.stack([np.ones(_MOMENTS), *lagged], axis=1)).float()


def prior_precision() -> Float[Tensor, "10 10"]:
    """Make the precision of the prior: one half for the offset, and that of smooth filters."""
    difference = torch.eye(_WEIGHTS) - torch.diag(torch.ones(_WEIGHTS - 1), -1)
    smooth = difference @ difference + torch.diag((torch.arange(_WEIGHTS) / _WEIGHTS).sqrt())
    return torch.block_diag(torch.tensor([[0.5]]), smooth.mT @ smooth)


def _prior() -> Prior:
    return as_prior(MultivariateNormal(torch.zeros(1 + _WEIGHTS), precision_matrix=prior_precision()))


def _spikes(theta: Float[Tensor, "rows 10"], generator: torch.Generator | None) -> Float[Tensor, "rows 100"]:
    chances = (theta @ design_matrix().to(theta).mT).sigmoid()
    return torch.bernoulli(chances, generator=generator)


def _simulate(theta: Float[Tensor, "rows 10"], generator: torch.Generator | None) -> Float[Tensor, "rows 10"]:
    return _spikes(theta, generator) @ design_matrix().to(theta)


def _log_likelihood(x: Float[Tensor, "*batch 10"], theta: Float[Tensor, "*batch2 10"]) -> Float[Tensor, "*out"]:
    r""":math:`\theta^\top x - \sum_t \log(1 + e^{(V \theta)_t})`."""
    return (x * theta).sum(-1) - softplus(theta @ design_matrix().to(theta).mT).sum(-1)


def _raw_log_likelihood(x: Float[Tensor, "*batch 100"], theta: Float[Tensor, "*batch2 10"]) -> Float[Tensor, "*out"]:
    return _log_likelihood(x @ design_matrix().to(theta), theta)


def _sample_posterior(
    count: int, x: Float[Tensor, " 10"], generator: torch.Generator | None
) -> Float[Tensor, "count 10"]:
    seen, precision = x.double(), prior_precision().double()

    def log_density(theta: Tensor) -> Tensor:
        return _log_likelihood(seen, theta) - ((theta @ precision) * theta).sum(-1) / 2

    return concave_sampler(log_density, torch.zeros_like(seen))(count, generator).to(x.dtype)


def _sample_raw_posterior(
    count: int, x: Float[Tensor, " 100"], generator: torch.Generator | None
) -> Float[Tensor, "count 10"]:
    return _sample_posterior(count, x @ design_matrix().to(x), generator)
