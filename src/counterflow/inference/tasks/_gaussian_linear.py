"""Gaussian linear: the mean of a normal law under a normal prior."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import MultivariateNormal

from counterflow.core.numerics import normal_log_prob
from counterflow.inference.priors import as_prior
from counterflow.inference.tasks.task import Task

__all__ = ["NOISE", "add_noise", "gaussian_linear", "noise_log_prob"]

NOISE = math.sqrt(0.1)
"""The standard deviation of the noise, and of the prior."""


def gaussian_linear(features: int = 10) -> Task:
    r"""Make the task of a normal law's mean under a normal prior; the posterior is normal.

    .. math:: \theta \sim N(0, 0.1\, I), \quad x \mid \theta \sim N(\theta, 0.1\, I), \quad
        \theta \mid x \sim N(\tfrac12 x, 0.05\, I)

    Args:
        features: How many parameters, and numbers of an observation.

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.1.

    Example:
        >>> draws = gaussian_linear(2).sample_posterior(4000, torch.ones(2), generator=torch.Generator().manual_seed(0))
        >>> draws.mean(0).round(decimals=1), draws.var(0).round(decimals=2)
        (tensor([0.5000, 0.5000]), tensor([0.0500, 0.0500]))
    """
    return Task(
        name="gaussian_linear",
        prior=as_prior(MultivariateNormal(torch.zeros(features), NOISE**2 * torch.eye(features))),
        simulator=add_noise,
        parameters=tuple(f"theta_{place + 1}" for place in range(features)),
        data_features=features,
        likelihood=noise_log_prob,
        posterior=_sample_posterior,
    )


def add_noise(theta: Float[Tensor, "rows d"], generator: torch.Generator | None) -> Float[Tensor, "rows d"]:
    """Simulate: the parameters with normal noise."""
    return theta + NOISE * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)


def noise_log_prob(x: Float[Tensor, "*batch d"], theta: Float[Tensor, "*batch2 d"]) -> Float[Tensor, "*out"]:
    """Compute the log-density of that noise."""
    return (normal_log_prob((x - theta) / NOISE) - math.log(NOISE)).sum(-1)


def _sample_posterior(
    count: int, x: Float[Tensor, " d"], generator: torch.Generator | None
) -> Float[Tensor, "count d"]:
    return x / 2 + NOISE / math.sqrt(2) * torch.randn(count, len(x), generator=generator, dtype=x.dtype)
