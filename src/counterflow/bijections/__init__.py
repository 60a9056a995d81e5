"""Invertible maps between data and latent, each giving value and log-determinant in one pass."""

from counterflow.bijections.actnorm import ActNorm
from counterflow.bijections.base import AbstractBijection, AbstractDataDependent
from counterflow.bijections.chain import Chain
from counterflow.bijections.coupling import Coupling
from counterflow.bijections.permutation import Permutation
from counterflow.bijections.transformers import AbstractTransformer, ScaleShift, Shift

__all__ = [
    "AbstractBijection",
    "AbstractDataDependent",
    "AbstractTransformer",
    "ActNorm",
    "Chain",
    "Coupling",
    "Permutation",
    "ScaleShift",
    "Shift",
]
