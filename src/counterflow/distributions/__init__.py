"""Densities in closed form: what flows start from."""

from counterflow.distributions.base import AbstractDistribution
from counterflow.distributions.laplace import Laplace
from counterflow.distributions.mixture import Mixture
from counterflow.distributions.normal import DiagonalNormal, StandardNormal
from counterflow.distributions.normal_mixture import NormalMixture
from counterflow.distributions.student import StudentT
from counterflow.distributions.torus import Torus
from counterflow.distributions.uniform import Uniform

__all__ = [
    "AbstractDistribution",
    "DiagonalNormal",
    "Laplace",
    "Mixture",
    "NormalMixture",
    "StandardNormal",
    "StudentT",
    "Torus",
    "Uniform",
]
