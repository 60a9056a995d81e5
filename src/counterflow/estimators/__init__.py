"""Shells in the manner of scikit-learn around the library's main uses."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterflow.estimators.explainer import CounterfactualExplainer
    from counterflow.estimators.flow_density import FlowDensity
    from counterflow.estimators.flow_hmm import FlowHMM
    from counterflow.estimators.flow_regressor import FlowRegressor
    from counterflow.estimators.hmm_selection import StateSelection, select_states
    from counterflow.estimators.hmm_stream import HmmStream
    from counterflow.estimators.image_flow import ImageFlow
    from counterflow.estimators.streaming import explain_stream

__all__ = [
    "CounterfactualExplainer",
    "FlowDensity",
    "FlowHMM",
    "FlowRegressor",
    "HmmStream",
    "ImageFlow",
    "StateSelection",
    "explain_stream",
    "select_states",
]

_HOMES = {
    "CounterfactualExplainer": "explainer",
    "FlowDensity": "flow_density",
    "FlowHMM": "flow_hmm",
    "FlowRegressor": "flow_regressor",
    "HmmStream": "hmm_stream",
    "ImageFlow": "image_flow",
    "StateSelection": "hmm_selection",
    "explain_stream": "streaming",
    "select_states": "hmm_selection",
}


def __getattr__(name: str) -> object:
    """Load an estimator when it is first used: scikit-learn takes its time to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'counterflow.estimators' has no attribute '{name}'.")
    value = getattr(import_module(f"counterflow.estimators.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
