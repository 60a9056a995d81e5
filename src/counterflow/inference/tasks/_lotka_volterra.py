"""Lotka-Volterra: hunters and hunted, counted ten times."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import LogNormal

from counterflow.core.numerics import normal_log_prob
from counterflow.core.runge_kutta import Field
from counterflow.inference.priors import IndependentPrior
from counterflow.inference.tasks.task import Task
from counterflow.inference.tasks.trajectories import trajectory

__all__ = ["log_populations", "lotka_volterra"]

_START, _NOISE = (30.0, 1.0), 0.1
_TIMES = tuple(2.1 * place for place in range(10))
_LOWEST, _HIGHEST = math.log(1e-10), math.log(1e4)


def lotka_volterra() -> Task:
    r"""Make the task of a population X and its predators Y: four rates, from ten noisy counts of each.

    .. math:: \dot X = \alpha X - \beta X Y, \quad \dot Y = -\gamma Y + \delta X Y, \quad X(0) = 30,\ Y(0) = 1

    .. math:: x_i \sim \mathrm{LogNormal}(\log X(t_i), 0.1),\ \mathrm{LogNormal}(\log Y(t_i), 0.1), \quad
        t_i = 0, 2.1, \dots, 18.9

    .. math:: \alpha, \gamma \sim \mathrm{LogNormal}(-0.125, 0.5), \quad \beta, \delta \sim \mathrm{LogNormal}(-3, 0.5)

    An observation has the ten counts of X, then those of Y.

    Returns:
        The task, with its likelihood.

    Reference:
        Lotka, "Analytical note on certain rhythmic relations in organic systems", 1920; Lueckmann et al.,
        "Benchmarking simulation-based inference", 2021, section T.10.

    Example:
        >>> x = lotka_volterra().simulator(torch.tensor([[0.9, 0.05, 0.9, 0.05]]), torch.Generator().manual_seed(0))
        >>> x.shape, bool((x > 0).all())
        (torch.Size([1, 20]), True)
    """
    return Task(
        name="lotka_volterra",
        prior=IndependentPrior([LogNormal(center, 0.5) for center in (-0.125, -3.0, -0.125, -3.0)]),
        simulator=_simulate,
        parameters=("alpha", "beta", "gamma", "delta"),
        data_features=2 * len(_TIMES),
        likelihood=_log_likelihood,
    )


def log_populations(theta: Float[Tensor, "rows 4"]) -> Float[Tensor, "rows 20"]:
    """Solve for the logarithms of both populations at the times of the counts.

    They are held between those of 1e-10 and 10,000, as the benchmark has it.
    """
    start = theta.new_tensor(_START).log().expand(len(theta), 2)
    states = trajectory(Field(_velocity, rows=(theta,)), start, times=_TIMES)
    return states.permute(1, 2, 0).flatten(1).clamp(_LOWEST, _HIGHEST)


def _velocity(t: Tensor, y: Tensor, rows: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> Tensor:
    birth, eaten, death, fed = rows[0].unbind(-1)
    prey, predators = y.exp().unbind(-1)
    return torch.stack([birth - eaten * predators, fed * prey - death], -1)


def _simulate(theta: Float[Tensor, "rows 4"], generator: torch.Generator | None) -> Float[Tensor, "rows 20"]:
    center = log_populations(theta)
    return (center + _NOISE * torch.randn(center.shape, generator=generator, dtype=theta.dtype)).exp()


def _log_likelihood(x: Float[Tensor, "*batch 20"], theta: Float[Tensor, "*batch2 4"]) -> Float[Tensor, "*out"]:
    center = log_populations(theta.reshape(-1, 4)).reshape(*theta.shape[:-1], 2 * len(_TIMES))
    return (normal_log_prob((x.log() - center) / _NOISE) - math.log(_NOISE) - x.log()).sum(-1)
