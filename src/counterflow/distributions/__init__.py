"""Densities in closed form: what flows start from."""

from counterflow.distributions.base import AbstractDistribution
from counterflow.distributions.gaussian import Gaussian
from counterflow.distributions.gaussian_kernel import GaussianKernel
from counterflow.distributions.gaussian_mixture import GaussianMixture
from counterflow.distributions.laplace import Laplace
from counterflow.distributions.mixture import Mixture
from counterflow.distributions.normal import DiagonalNormal, StandardNormal
from counterflow.distributions.normal_factors import NaturalParameters
from counterflow.distributions.normal_mixture import NormalMixture
from counterflow.distributions.student import StudentT
from counterflow.distributions.torus import Torus
from counterflow.distributions.uniform import Uniform

__all__ = [
    "AbstractDistribution",
    "DiagonalNormal",
    "Gaussian",
    "GaussianKernel",
    "GaussianMixture",
    "Laplace",
    "Mixture",
    "NaturalParameters",
    "NormalMixture",
    "StandardNormal",
    "StudentT",
    "Torus",
    "Uniform",
]
