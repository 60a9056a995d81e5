"""Flows: one recipe per paper, and :func:`compose` for bijections of your own."""

from counterflow.flows._circular import circular_spline
from counterflow.flows._compiled import CompiledFlow, compiled
from counterflow.flows._continuous import continuous
from counterflow.flows._flow_matching import fit_flow_matching
from counterflow.flows._gaussianization import gaussianization
from counterflow.flows._glow import glow
from counterflow.flows._image_realnvp import image_realnvp
from counterflow.flows._linear import linear
from counterflow.flows._maf import iaf, maf
from counterflow.flows._monotone import neural_autoregressive, unconstrained_monotone
from counterflow.flows._nice import nice
from counterflow.flows._planar import planar, radial, sylvester
from counterflow.flows._polynomial import bernstein, sum_of_squares
from counterflow.flows._realnvp import realnvp
from counterflow.flows._residual import residual
from counterflow.flows._spline import spline_autoregressive, spline_coupling
from counterflow.flows._transformer import transformer_autoregressive
from counterflow.flows.bases import with_base
from counterflow.flows.facade import FlowDistribution
from counterflow.flows.flow import Flow
from counterflow.flows.gaussians import as_gaussian, from_gaussian
from counterflow.flows.recipe import RECIPES, TABLE_RECIPES, from_config, load
from counterflow.flows.surjective import SurjectiveFlow, dequantized
from counterflow.flows.tools import change_context, compose, initialize, reversible

__all__ = [
    "RECIPES",
    "TABLE_RECIPES",
    "CompiledFlow",
    "Flow",
    "FlowDistribution",
    "SurjectiveFlow",
    "as_gaussian",
    "bernstein",
    "change_context",
    "circular_spline",
    "compiled",
    "compose",
    "continuous",
    "dequantized",
    "fit_flow_matching",
    "from_config",
    "from_gaussian",
    "gaussianization",
    "glow",
    "iaf",
    "image_realnvp",
    "initialize",
    "linear",
    "load",
    "maf",
    "neural_autoregressive",
    "nice",
    "planar",
    "radial",
    "realnvp",
    "residual",
    "reversible",
    "spline_autoregressive",
    "spline_coupling",
    "sum_of_squares",
    "sylvester",
    "transformer_autoregressive",
    "unconstrained_monotone",
    "with_base",
]
