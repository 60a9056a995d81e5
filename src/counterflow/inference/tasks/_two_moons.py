"""Two moons: a posterior of two crescents."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.numerics import normal_log_prob
from counterflow.inference.priors import BoxUniform
from counterflow.inference.tasks.sampling import draw_until
from counterflow.inference.tasks.task import Task

__all__ = ["two_moons"]

_MIDDLE, _RADIUS, _WIDTH = 0.25, 0.1, 0.01


def two_moons() -> Task:
    r"""Make the task of two moons: two parameters of which an observation tells two crescents, one of them mirrored.

    .. math:: x = \begin{pmatrix} r \cos a + 0.25 \\ r \sin a \end{pmatrix}
        + \frac{1}{\sqrt 2} \begin{pmatrix} -|\theta_1 + \theta_2| \\ -\theta_1 + \theta_2 \end{pmatrix}, \quad
        a \sim U(-\tfrac{\pi}{2}, \tfrac{\pi}{2}),\ r \sim N(0.1, 0.01^2), \quad \theta \sim U[-1, 1]^2

    Returns:
        The task, with likelihood and exact posterior.

    Reference:
        Greenberg, Nonnenmacher, Macke, "Automatic posterior transformation for likelihood-free inference", 2019,
        section A.5.1; Lueckmann et al., "Benchmarking simulation-based inference", 2021, section T.8.

    Example:
        >>> task = two_moons()
        >>> draws = task.sample_posterior(2000, torch.zeros(2), generator=torch.Generator().manual_seed(0))
        >>> (draws.sum(1) > 0).double().mean().round(decimals=1).item()  # half of them lie in the one crescent
        0.5
    """
    return Task(
        name="two_moons",
        prior=BoxUniform([-1.0, -1.0], [1.0, 1.0]),
        simulator=_simulate,
        parameters=("theta_1", "theta_2"),
        data_features=2,
        likelihood=_log_likelihood,
        posterior=_sample_posterior,
    )


def _simulate(theta: Float[Tensor, "rows 2"], generator: torch.Generator | None) -> Float[Tensor, "rows 2"]:
    return _crescent(len(theta), theta.dtype, generator) + _shift(theta)


def _crescent(rows: int, dtype: torch.dtype, generator: torch.Generator | None) -> Float[Tensor, "rows 2"]:
    angle = math.pi * (torch.rand(rows, generator=generator, dtype=dtype) - 0.5)
    radius = _RADIUS + _WIDTH * torch.randn(rows, generator=generator, dtype=dtype)
    return torch.stack([_MIDDLE + radius * angle.cos(), radius * angle.sin()], dim=1)


def _shift(theta: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 2"]:
    first, second = theta.unbind(-1)
    return torch.stack([-(first + second).abs(), second - first], dim=-1) / math.sqrt(2)


def _log_likelihood(x: Float[Tensor, "*batch 2"], theta: Float[Tensor, "*batch2 2"]) -> Float[Tensor, "*out"]:
    """Polar coordinates have the volume r, and angles are spread over a half circle."""
    place = x - _shift(theta) - x.new_tensor([_MIDDLE, 0.0])
    radius = place.norm(dim=-1)
    density = normal_log_prob((radius - _RADIUS) / _WIDTH) - math.log(_WIDTH) - radius.log() - math.log(math.pi)
    return torch.where(place[..., 0] >= 0, density, -torch.inf)


def _sample_posterior(
    count: int, x: Float[Tensor, " 2"], generator: torch.Generator | None
) -> Float[Tensor, "count 2"]:
    """Draw where in the crescent the noise was, solve for the parameters, and keep those that the prior allows."""

    def draw(tries: int) -> Tensor:
        away = _crescent(tries, x.dtype, generator) - x
        side = torch.where(torch.rand(tries, generator=generator) < 0.5, -1.0, 1.0).to(x.dtype)
        total, difference = side * away[:, 0], -away[:, 1]
        theta = torch.stack([total - difference, total + difference], dim=1) / math.sqrt(2)
        return theta[(away[:, 0] >= 0) & (theta.abs() <= 1).all(1)]

    return draw_until(count, draw)
