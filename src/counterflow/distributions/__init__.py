"""Densities in closed form: what flows start from."""

from counterflow.distributions.base import AbstractDistribution
from counterflow.distributions.laplace import Laplace
from counterflow.distributions.mixture import Mixture
from counterflow.distributions.normal import DiagonalNormal, StandardNormal
from counterflow.distributions.student import StudentT
from counterflow.distributions.uniform import Uniform

__all__ = [
    "AbstractDistribution",
    "DiagonalNormal",
    "Laplace",
    "Mixture",
    "StandardNormal",
    "StudentT",
    "Uniform",
]
