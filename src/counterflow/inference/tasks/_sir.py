"""SIR: how an epidemic spreads, seen through ten surveys."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import LogNormal

from counterflow.core.runge_kutta import Field
from counterflow.inference.priors import IndependentPrior
from counterflow.inference.tasks.sampling import density_sampler
from counterflow.inference.tasks.task import Task
from counterflow.inference.tasks.trajectories import trajectory

__all__ = ["log_infected", "sir"]

_PEOPLE, _ASKED = 1_000_000, 1000
_TIMES = tuple(17.0 * place for place in range(10))
_CENTERS, _SCALES, _FAR = (math.log(0.4), math.log(0.125)), (0.5, 0.2), 6.0


def sir() -> Task:
    r"""Make the task of an epidemic among a million people that begins with one: the rates of contact and recovery.

    .. math:: \dot S = -\beta \tfrac{S I}{N}, \quad \dot I = \beta \tfrac{S I}{N} - \gamma I, \quad \dot R = \gamma I,
        \quad x_i \sim \mathrm{Binomial}\big(1000, \tfrac{I(t_i)}{N}\big), \quad t_i = 0, 17, \dots, 153 \text{ days}

    .. math:: \beta \sim \mathrm{LogNormal}(\log 0.4, 0.5), \quad \gamma \sim \mathrm{LogNormal}(\log \tfrac18, 0.2)

    Returns:
        The task, with its likelihood, and a posterior that is exact to the resolution of a fine grid.

    Reference:
        Kermack, McKendrick, "A contribution to the mathematical theory of epidemics", 1927; Lueckmann et al.,
        "Benchmarking simulation-based inference", 2021, section T.9.

    Example:
        >>> x = sir().simulator(torch.tensor([[0.4, 0.125]]), torch.Generator().manual_seed(0))
        >>> x.shape, bool((x[0] == x[0].round()).all())
        (torch.Size([1, 10]), True)
    """
    return Task(
        name="sir",
        prior=IndependentPrior([LogNormal(*law) for law in zip(_CENTERS, _SCALES, strict=True)]),
        simulator=_simulate,
        parameters=("beta", "gamma"),
        data_features=len(_TIMES),
        likelihood=_log_likelihood,
        posterior=_sample_posterior,
    )


def log_infected(theta: Float[Tensor, "rows 2"]) -> Float[Tensor, "rows 10"]:
    """Solve for the logarithm of the share of infected people at the times of the surveys.

    In logarithms the share stays positive, and a single case among a million counts as much as it should.
    """
    start = theta.new_tensor([1 - 1 / _PEOPLE, -math.log(_PEOPLE)]).expand(len(theta), 2)
    return trajectory(Field(_velocity, rows=(theta,)), start, times=_TIMES)[..., 1].mT


def _velocity(t: Tensor, y: Tensor, rows: tuple[Tensor, ...], weights: tuple[Tensor, ...]) -> Tensor:
    contact, recovery = rows[0].unbind(-1)
    share, infected = y.unbind(-1)
    return torch.stack([-contact * share * infected.exp(), contact * share - recovery], -1)


def _simulate(theta: Float[Tensor, "rows 2"], generator: torch.Generator | None) -> Float[Tensor, "rows 10"]:
    chances = log_infected(theta).exp().clamp(0.0, 1.0)
    return torch.binomial(torch.full_like(chances, _ASKED), chances, generator=generator)


def _log_likelihood(x: Float[Tensor, "*batch 10"], theta: Float[Tensor, "*batch2 2"]) -> Float[Tensor, "*out"]:
    log_chance = log_infected(theta.reshape(-1, 2)).clamp(max=-1e-6).reshape(*theta.shape[:-1], len(_TIMES))
    ways = math.lgamma(_ASKED + 1) - torch.lgamma(x + 1) - torch.lgamma(_ASKED - x + 1)
    return (ways + x * log_chance + (_ASKED - x) * torch.log(-torch.expm1(log_chance))).sum(-1)


def _sample_posterior(
    count: int, x: Float[Tensor, " 10"], generator: torch.Generator | None
) -> Float[Tensor, "count 2"]:
    """Draw the logarithms of the rates, whose prior is normal."""
    centers, scales = (torch.tensor(values, dtype=torch.float64) for values in (_CENTERS, _SCALES))
    seen = x.double()

    def log_density(log_theta: Tensor) -> Tensor:
        return _log_likelihood(seen, log_theta.exp()) - ((log_theta - centers) / scales).square().sum(-1) / 2

    low, high = centers - _FAR * scales, centers + _FAR * scales
    return density_sampler(log_density, low, high=high)(count, generator).exp().to(x.dtype)
