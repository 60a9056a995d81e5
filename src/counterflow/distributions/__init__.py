"""Densities in closed form: what flows start from."""

from counterflow.distributions.base import AbstractDistribution
from counterflow.distributions.normal import DiagonalNormal, StandardNormal

__all__ = ["AbstractDistribution", "DiagonalNormal", "StandardNormal"]
