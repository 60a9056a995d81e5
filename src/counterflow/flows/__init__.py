"""Flows: one recipe per paper, and :func:`compose` for bijections of your own."""

from counterflow.flows._linear import linear
from counterflow.flows._maf import iaf, maf
from counterflow.flows._nice import nice
from counterflow.flows._planar import planar, radial, sylvester
from counterflow.flows._realnvp import realnvp
from counterflow.flows._spline import spline_autoregressive, spline_coupling
from counterflow.flows.facade import FlowDistribution
from counterflow.flows.flow import Flow
from counterflow.flows.recipe import RECIPES, from_config, load
from counterflow.flows.tools import change_context, compose, initialize

__all__ = [
    "RECIPES",
    "Flow",
    "FlowDistribution",
    "change_context",
    "compose",
    "from_config",
    "iaf",
    "initialize",
    "linear",
    "load",
    "maf",
    "nice",
    "planar",
    "radial",
    "realnvp",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
]
