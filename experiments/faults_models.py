"""Posteriors known in closed form, and the ways in which they can be wrong."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["CASES", "FAULTS", "Case", "Mixture", "Product", "faulty"]


@dataclass(frozen=True)
class Mixture:
    """Mixtures of normal laws, one for each row, all with one covariance.

    Args:
        log_weights: ``(rows, modes)``, normalized.
        means: ``(rows, modes, parameters)``.
        covariance: ``(parameters, parameters)``.
    """

    log_weights: Tensor
    means: Tensor
    covariance: Tensor

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """``(rows, count, parameters)``."""
        mode = torch.multinomial(self.log_weights.exp(), count, replacement=True, generator=generator)
        center = self.means.gather(1, mode.unsqueeze(-1).expand(-1, -1, self.means.shape[-1]))
        noise = torch.randn(center.shape, generator=generator, dtype=center.dtype)
        return center + noise @ torch.linalg.cholesky(self.covariance).T

    def log_prob(self, points: Tensor) -> Tensor:
        """From ``(rows, n, parameters)`` to ``(rows, n)``."""
        factor = torch.linalg.cholesky(self.covariance)
        away = (points.unsqueeze(2) - self.means.unsqueeze(1)) @ torch.linalg.inv(factor).T
        constant = factor.diagonal().log().sum() + len(factor) / 2 * math.log(2 * math.pi)
        return (self.log_weights.unsqueeze(1) - away.square().sum(-1) / 2).logsumexp(-1) - constant


@dataclass(frozen=True)
class Product:
    """Laws with the marginals of a mixture and no dependence between them.

    Args:
        joint: The mixture.
    """

    joint: Mixture

    def sample(self, count: int, *, generator: torch.Generator) -> Tensor:
        """``(rows, count, parameters)``."""
        parts = [self.joint.sample(count, generator=generator)[..., k] for k in range(self.joint.means.shape[-1])]
        return torch.stack(parts, -1)

    def log_prob(self, points: Tensor) -> Tensor:
        """From ``(rows, n, parameters)`` to ``(rows, n)``."""
        joint = self.joint
        marginals = [
            Mixture(joint.log_weights, joint.means[..., k, None], joint.covariance[k, k].view(1, 1)).log_prob(
                points[..., k, None]
            )
            for k in range(points.shape[-1])
        ]
        return torch.stack(marginals).sum(0)


@dataclass(frozen=True)
class Case:
    """A prior that is a mixture of normal laws, and data that are the parameters and normal noise.

    Args:
        means: ``(modes, parameters)``, of the prior; its modes are of equal weight.
        covariance: Of each.
        noise: The variance of the data.
        faults: The faults that this case can have.
    """

    means: Tensor
    covariance: Tensor
    noise: float
    faults: tuple[str, ...]

    def prior(self, rows: int) -> Mixture:
        """The prior, once for each row."""
        modes = len(self.means)
        weights = torch.full((rows, modes), -math.log(modes), dtype=torch.float64)
        return Mixture(weights, self.means.expand(rows, -1, -1), self.covariance)

    def simulate(self, theta: Tensor, *, generator: torch.Generator) -> Tensor:
        """Data of the same shape as the parameters."""
        return theta + self.noise**0.5 * torch.randn(theta.shape, generator=generator, dtype=theta.dtype)

    def log_likelihood(self, theta: Tensor, x: Tensor | None) -> Tensor:
        """Of points ``(rows, n, parameters)``, up to a constant."""
        if x is None:
            raise ValueError("the likelihood needs the data")
        return -(theta - x.unsqueeze(1)).square().sum(-1) / (2 * self.noise)

    def posterior(self, x: Tensor) -> Mixture:
        """The exact posterior of each row."""
        eye = torch.eye(x.shape[1], dtype=x.dtype)
        precision = torch.linalg.inv(self.covariance)
        covariance = torch.linalg.inv(precision + eye / self.noise)
        means = (self.means @ precision + x.unsqueeze(1) / self.noise) @ covariance
        evidence = torch.distributions.MultivariateNormal(self.means, self.covariance + self.noise * eye)
        return Mixture(evidence.log_prob(x.unsqueeze(1)).log_softmax(-1), means, covariance)


def _heaviest(exact: Mixture) -> Mixture:
    best = exact.log_weights.argmax(1)
    rows = torch.arange(len(best))
    return Mixture(torch.zeros(len(best), 1).double(), exact.means[rows, best].unsqueeze(1), exact.covariance)


def _moved(exact: Mixture) -> Mixture:
    return replace(exact, means=exact.means + 0.3 * exact.covariance.diagonal().sqrt())


FAULTS: dict[str, Callable[[Case, Tensor], Mixture | Product]] = {
    "exact": lambda case, x: case.posterior(x),
    "too narrow": lambda case, x: replace(case.posterior(x), covariance=case.posterior(x).covariance * 0.8**2),
    "too wide": lambda case, x: replace(case.posterior(x), covariance=case.posterior(x).covariance * 1.25**2),
    "biased": lambda case, x: _moved(case.posterior(x)),
    "posterior = prior": lambda case, x: case.prior(len(x)),
    "one mode dropped": lambda case, x: _heaviest(case.posterior(x)),
    "correlations ignored": lambda case, x: Product(case.posterior(x)),
}
"""From a case and data ``(rows, parameters)`` to the posteriors that are claimed."""

_ONE_MODE = ("exact", "too narrow", "too wide", "biased", "posterior = prior")
CASES = {
    "gaussian_linear": Case(torch.zeros(1, 10).double(), 0.1 * torch.eye(10).double(), 0.1, _ONE_MODE),
    "two_modes": Case(
        torch.tensor([[1.0, 1.0], [-1.0, -1.0]]).double(),
        torch.tensor([[0.25, 0.20], [0.20, 0.25]]).double(),
        1.0,
        tuple(FAULTS),
    ),
}


def faulty(name: str, fault: str, x: Tensor) -> Mixture | Product:
    """The posterior that is claimed for each row of data."""
    return FAULTS[fault](CASES[name], x)
