"""Simple likelihood, complex posterior: a normal law whose deviations are squares of parameters."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.numerics import LOG_SQRT_2PI
from counterflow.inference.priors import BoxUniform
from counterflow.inference.tasks.sampling import density_sampler, draw_until
from counterflow.inference.tasks.task import Task

__all__ = ["log_likelihood", "sample_posterior", "simulate", "slcp"]

_EDGE, _POINTS = 3.0, 4


def slcp() -> Task:
    r"""Make the task of a simple likelihood with a complex posterior: four points of a normal law in the plane.

    .. math:: x_{1..4} \sim N(m, S), \quad m = (\theta_1, \theta_2), \quad
        S = \begin{pmatrix} s_1^2 & \rho s_1 s_2 \\ \rho s_1 s_2 & s_2^2 \end{pmatrix}, \quad
        s_1 = \theta_3^2,\ s_2 = \theta_4^2,\ \rho = \tanh \theta_5, \quad \theta \sim U[-3, 3]^5

    As the signs of two parameters leave no trace, the posterior has four modes.

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Papamakarios, Sterratt, Murray, "Sequential neural likelihood", 2019, section A.1; Lueckmann et al.,
        "Benchmarking simulation-based inference", 2021, section T.3.

    Example:
        >>> task = slcp()
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = task.simulator(torch.tensor([[0.5, 1.0, 1.2, -1.0, 0.3]]), generator)
        >>> draws = task.sample_posterior(400, x[0], generator=generator)
        >>> sorted({tuple(signs) for signs in draws[:, 2:4].sign().int().tolist()})
        [(-1, -1), (-1, 1), (1, -1), (1, 1)]
    """
    return Task(
        name="slcp",
        prior=BoxUniform([-_EDGE] * 5, [_EDGE] * 5),
        simulator=simulate,
        parameters=tuple(f"theta_{place + 1}" for place in range(5)),
        data_features=2 * _POINTS,
        likelihood=log_likelihood,
        posterior=sample_posterior,
    )


def simulate(theta: Float[Tensor, "rows 5"], generator: torch.Generator | None) -> Float[Tensor, "rows 8"]:
    """Draw four points, each by the Cholesky factor of the covariance."""
    first, second = torch.randn(2, len(theta), _POINTS, generator=generator, dtype=theta.dtype)
    rho = theta[:, 4:].tanh()
    across = rho * first + (1 - rho.square()).sqrt() * second
    points = [theta[:, :1] + theta[:, 2:3].square() * first, theta[:, 1:2] + theta[:, 3:4].square() * across]
    return torch.stack(points, dim=2).flatten(1)


def log_likelihood(x: Float[Tensor, "*batch 8"], theta: Float[Tensor, "*batch2 5"]) -> Float[Tensor, "*out"]:
    """Compute the normal log-density of the four points."""
    points = x.unflatten(-1, (_POINTS, 2)) - theta[..., None, :2]
    squares = (points[..., :, None] * points[..., None, :]).sum(-3)
    return _log_kernel(squares, theta[..., 2:], points=_POINTS) - 2 * _POINTS * LOG_SQRT_2PI


def _log_kernel(squares: Float[Tensor, "*batch 2 2"], shape: Float[Tensor, "*batch2 3"], *, points: int) -> Tensor:
    r"""The logarithm of :math:`|S|^{-n/2} \exp(-\tfrac12 \operatorname{tr} S^{-1} Q)`.

    It is finite for correlations near one: :math:`1 - \tanh^2 t = \cosh^{-2} t`.
    """
    first, second = shape[..., 0].square(), shape[..., 1].square()
    cosh = shape[..., 2].cosh()
    cross = squares[..., 0, 1] / (first * second)
    trace = squares[..., 0, 0] / first.square() - 2 * shape[..., 2].tanh() * cross
    trace = cosh.square() * (trace + squares[..., 1, 1] / second.square())
    return -points * (first.log() + second.log() - cosh.log()) - trace / 2


def sample_posterior(count: int, x: Float[Tensor, " 8"], generator: torch.Generator | None) -> Float[Tensor, "count 5"]:
    r"""Draw from the posterior.

    With the mean integrated out, what is left of the likelihood is
    :math:`|S|^{-3/2} \exp(-\tfrac12 \operatorname{tr} S^{-1} A)` with A the points' squares about their own mean:
    three parameters are drawn from that density, the signs of two by a coin, the mean from :math:`N(\bar x, S / 4)`,
    and all are kept where that mean lies in the prior's box.
    """
    points = x.double().unflatten(-1, (_POINTS, 2))
    center = points.mean(0)
    squares = (points - center).mT @ (points - center)
    low = torch.tensor([0.0, 0.0, -_EDGE], dtype=torch.float64)
    high = torch.full((3,), _EDGE, dtype=torch.float64)

    sampler = density_sampler(lambda shape: _log_kernel(squares, shape, points=_POINTS - 1), low, high=high)

    def draw(tries: int) -> Tensor:
        shape = sampler(tries, generator)
        sides = torch.randint(2, (tries, 2), generator=generator) * 2 - 1
        zero = torch.zeros(tries, 2, dtype=torch.float64)
        noise = simulate(torch.cat([zero, shape], 1), generator)[:, :2] / math.sqrt(_POINTS)
        theta = torch.cat([center + noise, sides * shape[:, :2], shape[:, 2:]], 1)
        return theta[(theta[:, :2].abs() <= _EDGE).all(1)]

    return draw_until(count, draw).to(x.dtype)
