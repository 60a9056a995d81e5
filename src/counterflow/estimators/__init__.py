"""Shells in the manner of scikit-learn around the library's main uses."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterflow.estimators.explainer import CounterfactualExplainer
    from counterflow.estimators.flow_density import FlowDensity
    from counterflow.estimators.image_flow import ImageFlow
    from counterflow.estimators.streaming import explain_stream

__all__ = ["CounterfactualExplainer", "FlowDensity", "ImageFlow", "explain_stream"]

_HOMES = {
    "CounterfactualExplainer": "explainer",
    "FlowDensity": "flow_density",
    "ImageFlow": "image_flow",
    "explain_stream": "streaming",
}


def __getattr__(name: str) -> object:
    """Load an estimator when it is first used: scikit-learn takes its time to import."""
    if name not in _HOMES:
        raise AttributeError(f"module 'counterflow.estimators' has no attribute '{name}'.")
    value = getattr(import_module(f"counterflow.estimators.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
