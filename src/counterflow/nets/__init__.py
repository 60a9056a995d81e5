"""Conditioners: plain modules that map a point and a context to the parameters of a bijection."""

from counterflow.nets.linear import ACTIVATIONS, make_linear
from counterflow.nets.mlp import MLP, Constant, make_conditioner

__all__ = ["ACTIVATIONS", "MLP", "Constant", "make_conditioner", "make_linear"]
