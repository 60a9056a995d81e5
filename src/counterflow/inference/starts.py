"""Normal laws to start from: Laplace's at a mode, and the best along the way to one (Pathfinder)."""

import math
from typing import NamedTuple, cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, SolverError
from counterflow.core.random import make_generator
from counterflow.distributions import Gaussian
from counterflow.inference.proposals import LogDensity, checked_density

__all__ = ["laplace", "pathfinder"]

_SUFFICIENT, _SHRINK, _TINIEST = 1e-4, 0.5, 1e-10


def laplace(log_density: LogDensity, start: Float[Tensor, " d"], *, steps: int = 200) -> Gaussian:
    r"""Find a mode of a density and fit a normal law to its curvature there.

    .. math:: \mathcal{N}\big(x^*,\ (-\nabla^2 \log p(x^*))^{-1}\big)

    Args:
        log_density: The natural log-density up to a constant, of points ``(rows, d)``, twice differentiable.
        start: Where to climb from.
        steps: The most steps of the climb.

    Returns:
        The law.

    Raises:
        SolverError: If the curvature at the end is not that of a maximum.

    Reference:
        MacKay, "Information Theory, Inference, and Learning Algorithms", 2003, chapter 27.

    Example:
        >>> law = laplace(lambda x: -2 * (x[:, 0] - 3).square(), torch.zeros(1))
        >>> law.mean.round(decimals=3), law.covariance.round(decimals=3)
        (tensor([3.]), tensor([[0.2500]]))
    """
    way = _climb(log_density, start, steps)
    precision = -cast("Tensor", torch.autograd.functional.hessian(lambda x: log_density(x[None])[0], way[-1].x))
    try:
        law = Gaussian.from_natural(precision @ way[-1].x, (precision + precision.mT) / 2)
    except ArgumentError as error:
        raise SolverError(
            f"the climb from {start.tolist()[:5]} did not end in a maximum: the curvature there is not that of one. "
            "Start elsewhere, or use pathfinder, which needs none."
        ) from error
    return Gaussian(law.mean.detach(), factor=law.factor.detach())


def pathfinder(
    log_density: LogDensity,
    start: Float[Tensor, " d"],
    *,
    steps: int = 100,
    draws: int = 20,
    generator: torch.Generator | None = None,
) -> Gaussian:
    r"""Climb towards a mode, and take of the normal laws on the way the one with the highest evidence bound.

    .. math:: \mathcal{N}(x_t + H_t \nabla \log p(x_t),\ H_t), \qquad
        \arg\max_t \; \mathbb{E}_{q_t} [\log p(x) - \log q_t(x)]

    with :math:`H_t` the estimate of the inverse curvature that BFGS keeps. A mode may lie where there is hardly any
    mass, as that of a funnel does; on the way there is more.

    Args:
        log_density: The natural log-density up to a constant, of points ``(rows, d)``, differentiable.
        start: Where to climb from: outside of the bulk of the density is best.
        steps: The most steps of the climb.
        draws: Draws for each estimate of the bound.
        generator: Where they are drawn from.

    Returns:
        The best law.

    Raises:
        SolverError: If no law on the way has a bound that is finite.

    Reference:
        Zhang, Carpenter, Gelman, Vehtari, "Pathfinder: Parallel quasi-Newton variational inference", 2022, algorithm 1,
        with whole matrices.

    Example:
        >>> law = pathfinder(lambda x: -2 * (x - 3).square().sum(1), torch.zeros(2))
        >>> law.mean.round(decimals=2)
        tensor([3., 3.])
    """
    check_count(draws, "draws")
    way = _climb(log_density, start, steps)
    generator = make_generator(generator, start.device)
    inverse = torch.eye(len(start), dtype=start.dtype, device=start.device)
    best, law = -math.inf, None
    for before, after in zip(way, way[1:], strict=False):
        inverse = _bfgs(inverse, after.x - before.x, before.gradient - after.gradient)
        lower, failed = torch.linalg.cholesky_ex(inverse)
        if failed:
            continue
        one = Gaussian(after.x + inverse @ after.gradient, factor=lower)
        x, log_q = one.sample_and_log_prob(draws, generator=generator)
        with torch.no_grad():
            bound = float((checked_density(log_density, x) - log_q).mean())
        if bound > best:
            best, law = bound, one
    if law is None:
        raise SolverError(f"no law on the way from {start.tolist()[:5]} has a finite evidence bound. Start elsewhere.")
    return law


class _Point(NamedTuple):
    x: Tensor
    value: Tensor
    gradient: Tensor


def _at(log_density: LogDensity, x: Tensor) -> _Point:
    x = x.detach().requires_grad_()
    value = checked_density(log_density, x[None])[0]
    (gradient,) = torch.autograd.grad(value, x)
    return _Point(x.detach(), value.detach(), gradient)


def _climb(log_density: LogDensity, start: Tensor, steps: int) -> list[_Point]:
    """The way of BFGS with backtracking uphill, from a start until steps are tiny."""
    check_count(steps, "steps")
    way = [_at(log_density, start)]
    if not way[0].value.isfinite():
        raise ArgumentError(f"log_density must be finite at the start, got {float(way[0].value)}. Start elsewhere.")
    inverse = torch.eye(len(start), dtype=start.dtype, device=start.device) / way[0].gradient.norm().clamp(min=1.0)
    for _ in range(steps):
        here = way[-1]
        direction = inverse @ here.gradient
        slope, length = direction @ here.gradient, 1.0
        new = _at(log_density, here.x + direction)
        while not (new.value >= here.value + _SUFFICIENT * length * slope and new.gradient.isfinite().all()):
            length *= _SHRINK
            if length < _TINIEST:
                return way
            new = _at(log_density, here.x + length * direction)
        way.append(new)
        inverse = _bfgs(inverse, new.x - here.x, here.gradient - new.gradient)
        if (new.x - here.x).norm() <= 1e3 * torch.finfo(new.x.dtype).eps * (1 + new.x.norm()):
            return way
    return way


def _bfgs(inverse: Tensor, step: Tensor, change: Tensor) -> Tensor:
    """Let the estimate of the inverse curvature agree with one step more; steps along which it falls change nothing."""
    curvature = step @ change
    if not curvature > torch.finfo(step.dtype).eps * change.square().sum():
        return inverse
    eye = torch.eye(len(step), dtype=step.dtype, device=step.device)
    left = eye - torch.outer(step, change) / curvature
    return left @ inverse @ left.mT + torch.outer(step, step) / curvature
