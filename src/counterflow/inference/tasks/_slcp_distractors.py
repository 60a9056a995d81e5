"""The task of a simple likelihood and a complex posterior, hidden among numbers that tell nothing."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.inference.tasks import _slcp
from counterflow.inference.tasks.task import Task

__all__ = ["slcp_distractors"]

_DISTRACTORS, _PARTS, _SEED = 92, 20, 42


class _Noise(NamedTuple):
    """The mixture of Student laws with two degrees of freedom, and the order in which all numbers are shown."""

    centers: Float[Tensor, "parts d"]
    factors: Float[Tensor, "parts d d"]
    order: Tensor


def slcp_distractors() -> Task:
    """Make the task :func:`slcp` with 92 numbers that tell nothing, shuffled among the eight that do.

    The distractors come from a fixed mixture of 20 Student laws with two degrees of freedom. Mixture and order are
    those of the benchmark, made again from its seed.

    Returns:
        The task, with exact posterior, and the likelihood of the eight. That of the others is the same for all
        parameters, and lost in rounding: the factors of their covariances have condition numbers of 1e12 to 1e18.

    Reference:
        Greenberg, Nonnenmacher, Macke, "Automatic posterior transformation for likelihood-free inference", 2019,
        section 4.2; Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.4.

    Example:
        >>> task = slcp_distractors()
        >>> task.data_features, task.simulator(task.prior.sample(3), None).shape
        (100, torch.Size([3, 100]))
    """
    plain = _slcp.slcp()
    return Task(
        name="slcp_distractors",
        prior=plain.prior,
        simulator=_simulate,
        parameters=plain.parameters,
        data_features=plain.data_features + _DISTRACTORS,
        likelihood=_log_likelihood,
        posterior=_sample_posterior,
    )


@cache
def _noise() -> _Noise:
    """The benchmark's own distractors: numpy promises that this stream of random numbers never changes."""
    stream = np.random.RandomState(_SEED)
    centers = np.stack([15 * stream.normal(size=_DISTRACTORS) for _ in range(_PARTS)])
    factors = np.stack([3 * _random_factor(stream) for _ in range(_PARTS)])
    order = stream.permutation(_DISTRACTORS + 8)
    return _Noise(torch.from_numpy(centers), torch.from_numpy(factors), torch.from_numpy(order))


def _random_factor(stream: np.random.RandomState) -> np.ndarray:
    lower = np.tril(stream.normal(size=(_DISTRACTORS, _DISTRACTORS)))
    return lower + np.diag(np.exp(stream.normal(size=_DISTRACTORS)))


def _simulate(theta: Float[Tensor, "rows 5"], generator: torch.Generator | None) -> Float[Tensor, "rows 100"]:
    told = _slcp.simulate(theta, generator)
    return torch.cat([told, _distractors(len(theta), theta.dtype, generator)], dim=1)[:, _noise().order]


def _distractors(rows: int, dtype: torch.dtype, generator: torch.Generator | None) -> Float[Tensor, "rows 92"]:
    """Normal draws divided by the root of an exponential one: with two degrees of freedom that is Student's law."""
    centers, factors, _ = _noise()
    chosen = torch.randint(_PARTS, (rows,), generator=generator)
    normal = torch.randn(rows, _DISTRACTORS, generator=generator, dtype=torch.float64)
    shares = 1 - torch.rand(rows, 1, generator=generator, dtype=torch.float64)  # in (0, 1]
    drawn = torch.empty_like(normal)
    for part in range(_PARTS):
        here = chosen == part
        drawn[here] = centers[part] + normal[here] @ factors[part].mT / (-shares[here].log()).sqrt()
    return drawn.to(dtype)


def _log_likelihood(x: Float[Tensor, "*batch 100"], theta: Float[Tensor, "*batch2 5"]) -> Float[Tensor, "*out"]:
    return _slcp.log_likelihood(_telling(x), theta)


def _telling(x: Float[Tensor, "*batch 100"]) -> Float[Tensor, "*batch 8"]:
    """The numbers that tell something, in their own order."""
    return x[..., _noise().order.argsort()[:8]]


def _sample_posterior(
    count: int, x: Float[Tensor, " 100"], generator: torch.Generator | None
) -> Float[Tensor, "count 5"]:
    return _slcp.sample_posterior(count, _telling(x), generator)
