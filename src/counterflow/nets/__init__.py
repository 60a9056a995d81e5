"""Conditioners: plain modules that map a point and a context to the parameters of a bijection."""

from counterflow.nets.linear import ACTIVATIONS, make_linear
from counterflow.nets.masked import MaskedLinear, MaskedMLP
from counterflow.nets.mlp import MLP, Constant, make_conditioner
from counterflow.nets.residual import ResidualMLP
from counterflow.nets.stepwise import Stepwise

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Constant",
    "MaskedLinear",
    "MaskedMLP",
    "ResidualMLP",
    "Stepwise",
    "make_conditioner",
    "make_linear",
]
