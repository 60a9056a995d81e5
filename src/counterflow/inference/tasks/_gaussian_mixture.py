"""Gaussian mixture: the common mean of a wide and a narrow normal law."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.numerics import normal_log_prob
from counterflow.inference.priors import BoxUniform
from counterflow.inference.tasks.sampling import truncated_normal
from counterflow.inference.tasks.task import Task

__all__ = ["gaussian_mixture"]

_SCALES, _EDGE = (1.0, 0.1), 10.0


def gaussian_mixture() -> Task:
    r"""Make the task of the common mean of a wide and a narrow normal law: a sharp peak in a broad one.

    .. math:: \theta \sim U[-10, 10]^2, \quad x \mid \theta \sim \tfrac12 N(\theta, I) + \tfrac12 N(\theta, 0.01\, I)

    Each observation chooses its own part of the mixture (in version 1.0 of the benchmark a whole batch shared one).

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Sisson, Fan, Tanaka, "Sequential Monte Carlo without likelihoods", 2007; Lueckmann et al., "Benchmarking
        simulation-based inference", 2021, section T.7.

    Example:
        >>> task, generator = gaussian_mixture(), torch.Generator().manual_seed(0)
        >>> draws = task.sample_posterior(1000, torch.zeros(2), generator=generator)
        >>> float((draws.norm(dim=1) < 0.3).float().mean().round(decimals=1))
        0.5
    """
    return Task(
        name="gaussian_mixture",
        prior=BoxUniform([-_EDGE] * 2, [_EDGE] * 2),
        simulator=_simulate,
        parameters=("theta_1", "theta_2"),
        data_features=2,
        likelihood=_log_likelihood,
        posterior=_sample_posterior,
    )


def _simulate(theta: Float[Tensor, "rows 2"], generator: torch.Generator | None) -> Float[Tensor, "rows 2"]:
    scale = theta.new_tensor(_SCALES)[torch.randint(2, (len(theta), 1), generator=generator)]
    return theta + scale * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)


def _log_likelihood(x: Float[Tensor, "*batch 2"], theta: Float[Tensor, "*batch2 2"]) -> Float[Tensor, "*out"]:
    parts = [(normal_log_prob((x - theta) / scale) - math.log(scale)).sum(-1) for scale in _SCALES]
    return torch.stack(parts).logsumexp(0) - math.log(2)


def _sample_posterior(
    count: int, x: Float[Tensor, " 2"], generator: torch.Generator | None
) -> Float[Tensor, "count 2"]:
    """Choose a part by how much of it lies in the box, and draw from what lies there."""
    scales = torch.tensor(_SCALES, dtype=torch.float64)
    away = x.double().abs()[:, None]  # mirrored to the right, where both bounds lie on the left of the mean
    inside = torch.special.ndtr((_EDGE - away) / scales) - torch.special.ndtr((-_EDGE - away) / scales)
    chosen = torch.multinomial(inside.prod(0), count, replacement=True, generator=generator)
    scale = scales[chosen].to(x.dtype)[:, None].expand(-1, 2)
    mean = x.expand(count, -1)
    edge = torch.full_like(mean, _EDGE)
    return truncated_normal(mean, scale, low=-edge, high=edge, generator=generator)
