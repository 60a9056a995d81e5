"""Probabilistic regression: the whole law p(y | x) by flows, not a number and an error bar.

:func:`fit_regression` learns it from tensors of any shape; :class:`counterflow.FlowRegressor` is its shell for tables.
"""

from counterflow.regression.estimation import fit_regression
from counterflow.regression.fitted import DensityRegression
from counterflow.regression.heads import ContinuousHead, MixtureHead, SplineHead
from counterflow.regression.leaves import LeafModel, Trees, as_leaf_model, fit_trees
from counterflow.regression.maps import DensityMap, density_map, likeliest_places
from counterflow.regression.methods import ConditionalFlow, RegFlow, TreeFlow
from counterflow.regression.mixtures import ConditionalMixture

__all__ = [
    "ConditionalFlow",
    "ConditionalMixture",
    "ContinuousHead",
    "DensityMap",
    "DensityRegression",
    "LeafModel",
    "MixtureHead",
    "RegFlow",
    "SplineHead",
    "TreeFlow",
    "Trees",
    "as_leaf_model",
    "density_map",
    "fit_regression",
    "fit_trees",
    "likeliest_places",
]
