"""Densities whose normalizer is known and which can be drawn from exactly, and one real posterior."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = [
    "TARGETS",
    "Counted",
    "Target",
    "banana",
    "bent",
    "cauchy",
    "eight_schools",
    "funnel",
    "modes",
    "schools_exactly",
    "straightened",
]

_LOG_2PI = math.log(2 * math.pi)
_BEND, _SCALE = 0.03, 10.0


class Target(NamedTuple):
    """What is asked of a proposal.

    Args:
        log_density: Up to a constant.
        log_z: The logarithm of its normalizer.
        draw: Exact draws: ``draw(count, generator)``.
        features: How many numbers a point has.
        known: Functions of points ``(rows, k)`` whose means under the target are known.
        means: These means.
    """

    log_density: Callable[[Tensor], Tensor]
    log_z: float
    draw: Callable[[int, torch.Generator], Tensor]
    features: int
    known: Callable[[Tensor], Tensor]
    means: tuple[float, ...]


class Counted:
    """A log-density that counts how often it was asked, with a gradient and without."""

    def __init__(self, log_density: Callable[[Tensor], Tensor]) -> None:
        self._log_density = log_density
        self.gradients = self.values = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Answer, and count."""
        if x.requires_grad:
            self.gradients += len(x)
        else:
            self.values += len(x)
        return self._log_density(x)


def funnel(features: int = 10, *, log_z: float = 1.3) -> Target:
    """Neal's funnel: v normal with deviation 3, all else normal with variance exp(v)."""

    def log_density(x: Tensor) -> Tensor:
        v, rest = x[:, 0], x[:, 1:]
        neck = -v.square() / 18 - math.log(3) - _LOG_2PI / 2
        return log_z + neck - (rest.square() * (-v).exp()[:, None] + v[:, None] + _LOG_2PI).sum(1) / 2

    def draw(count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, features, generator=generator)
        return torch.cat([3 * z[:, :1], z[:, 1:] * (1.5 * z[:, :1]).exp()], dim=1)

    def known(x: Tensor) -> Tensor:
        return torch.stack([x[:, 0], x[:, 0].square() / 9, (x[:, 1].square() * (-x[:, 0]).exp())], dim=1)

    return Target(log_density, log_z, draw, features, known, (0.0, 1.0, 1.0))


def _turn(features: int) -> Tensor:
    """A rotation, so that no axis is the banana's own."""
    return torch.linalg.qr(torch.randn(features, features, generator=torch.Generator().manual_seed(5)))[0]


def bent(white: Tensor) -> Tensor:
    """Points of the banana from independent standard normal numbers; volume grows by the scale alone."""
    second = white[:, 1] - _BEND * _SCALE**2 * (white[:, 0].square() - 1)
    return torch.cat([_SCALE * white[:, :1], second[:, None], white[:, 2:]], dim=1) @ _turn(white.shape[1]).mT


def straightened(x: Tensor) -> Tensor:
    """The inverse of :func:`bent`."""
    y = x @ _turn(x.shape[1])
    second = y[:, 1] + _BEND * (y[:, 0].square() - _SCALE**2)
    return torch.cat([y[:, :1] / _SCALE, second[:, None], y[:, 2:]], dim=1)


def banana(features: int = 10, *, log_z: float = -2.1) -> Target:
    """A normal law, long in one direction and bent along it, turned so that no axis is its own."""

    def log_density(x: Tensor) -> Tensor:
        return log_z - math.log(_SCALE) - (straightened(x).square() + _LOG_2PI).sum(1) / 2

    def draw(count: int, generator: torch.Generator) -> Tensor:
        return bent(torch.randn(count, features, generator=generator))

    def known(x: Tensor) -> Tensor:
        white = straightened(x)
        return torch.stack([white[:, 0].square(), white[:, 1], white[:, 1].square()], dim=1)

    return Target(log_density, log_z, draw, features, known, (1.0, 0.0, 1.0))


def modes(features: int = 10, *, log_z: float = 0.7, distance: float = 5.0) -> Target:
    """Four normal laws of unlike weights and widths, their means at one distance from the origin."""
    means = torch.randn(4, features, generator=torch.Generator().manual_seed(11))
    means = distance * means / means.norm(dim=1, keepdim=True)
    widths, weights = torch.tensor([0.8, 1.0, 1.0, 1.2]), torch.tensor([0.1, 0.2, 0.3, 0.4])

    def parts(x: Tensor) -> Tensor:
        away = (x[:, None] - means).square().sum(2) / widths.square()
        return weights.log() - features * (widths.log() + _LOG_2PI / 2) - away / 2

    def draw(count: int, generator: torch.Generator) -> Tensor:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        return means[chosen] + widths[chosen, None] * torch.randn(count, features, generator=generator)

    def log_density(x: Tensor) -> Tensor:
        return log_z + parts(x).logsumexp(1)

    return Target(log_density, log_z, draw, features, lambda x: parts(x).softmax(1), tuple(weights.tolist()))


def cauchy(features: int = 10) -> Target:
    """Cauchy's law in many dimensions: tails that no bounded stretching of a normal law has."""
    half = (features + 1) / 2
    constant = math.lgamma(half) - half * math.log(math.pi)

    def log_density(x: Tensor) -> Tensor:
        return constant - half * torch.log1p(x.square().sum(1))

    def draw(count: int, generator: torch.Generator) -> Tensor:
        z = torch.randn(count, features + 1, generator=generator)
        return z[:, :-1] / z[:, -1:].abs()

    return Target(log_density, 0.0, draw, features, lambda x: (x.norm(dim=1, keepdim=True) < 3).float(), (math.nan,))


_EFFECTS = torch.tensor([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
_ERRORS = torch.tensor([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def _normal(x: Tensor, mean: Tensor | float, deviation: Tensor | float) -> Tensor:
    return torch.distributions.Normal(mean, deviation).log_prob(x)


def eight_schools(x: Tensor) -> Tensor:
    """The joint log-density of mu, log tau and the effects of the eight schools, with the data put in.

    Reference:
        Rubin, "Estimation in parallel randomized experiments", 1981; priors mu ~ N(0, 5^2), tau ~ half-Cauchy(5).
    """
    mu, log_tau, theta = x[:, :1], x[:, 1:2], x[:, 2:]
    tau = log_tau.exp()
    prior = _normal(mu, 0.0, 5.0) + math.log(2 / (5 * math.pi)) - torch.log1p((tau / 5).square()) + log_tau
    return prior[:, 0] + (_normal(theta, mu, tau) + _normal(_EFFECTS, theta, _ERRORS)).sum(1)


def schools_exactly(points: int = 20_001) -> tuple[float, Tensor]:
    """The normalizer's logarithm and the means of mu, log tau and the effects, by one integral over log tau.

    Given tau everything is normal: mu and the effects are integrated by hand, log tau on a grid.
    """
    log_tau = torch.linspace(-14, 9, points, dtype=torch.float64)[:, None]
    y, error, tau = _EFFECTS.double(), _ERRORS.double(), log_tau.exp()
    precision = 1 / (error**2 + tau**2)
    spread = 1 / (1 / 25 + precision.sum(1, keepdim=True))  # of mu, given tau
    mu = spread * (precision * y).sum(1, keepdim=True)
    evidence = _normal(y, 0.0, precision.rsqrt()).sum(1, keepdim=True) + (spread / 25).log() / 2 + mu**2 / spread / 2
    prior = math.log(2 / (5 * math.pi)) - torch.log1p((tau / 5) ** 2) + log_tau
    theta = (y / error**2 + mu / tau**2) / (1 / error**2 + 1 / tau**2)
    logs = (evidence + prior)[:, 0]
    shares = logs.softmax(0)
    means = shares @ torch.cat([mu, log_tau, theta], dim=1)
    return float(logs.logsumexp(0) + (log_tau[1] - log_tau[0]).log()), means


TARGETS = {"funnel": funnel, "banana": banana, "modes": modes}
