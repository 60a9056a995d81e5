"""Gaussian linear uniform: the mean of a normal law under a uniform prior."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.inference.priors import BoxUniform
from counterflow.inference.tasks._gaussian_linear import NOISE, add_noise, noise_log_prob
from counterflow.inference.tasks.sampling import truncated_normal
from counterflow.inference.tasks.task import Task

__all__ = ["gaussian_linear_uniform"]


def gaussian_linear_uniform(features: int = 10) -> Task:
    r"""Make the task of a normal law's mean under a uniform prior; the posterior is a normal law cut to a box.

    .. math:: \theta \sim U[-1, 1]^d, \quad x \mid \theta \sim N(\theta, 0.1\, I)

    Args:
        features: How many parameters, and numbers of an observation.

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.2.

    Example:
        >>> task = gaussian_linear_uniform(2)
        >>> task.sample_posterior(1000, torch.tensor([1.5, 0.0])).amax(0)[0] <= 1
        tensor(True)
    """
    return Task(
        name="gaussian_linear_uniform",
        prior=BoxUniform([-1.0] * features, [1.0] * features),
        simulator=add_noise,
        parameters=tuple(f"theta_{place + 1}" for place in range(features)),
        data_features=features,
        likelihood=noise_log_prob,
        posterior=_sample_posterior,
    )


def _sample_posterior(
    count: int, x: Float[Tensor, " d"], generator: torch.Generator | None
) -> Float[Tensor, "count d"]:
    mean = x.expand(count, -1)
    edge = torch.ones_like(mean)
    return truncated_normal(mean, NOISE * edge, low=-edge, high=edge, generator=generator)
