"""Exact normalizing flows in PyTorch, and counterfactual explanations that say how plausible they are.

This is the front door: every name below is loaded when it is first used, so that ``import counterflow`` costs next to
nothing. The rooms behind it are ``counterflow.flows``, ``counterflow.tables`` and so on.

Example:
    >>> import counterflow
    >>> counterflow.CounterflowError.__mro__[1]
    <class 'Exception'>
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from counterflow import (
        bijections,
        counterfactuals,
        datasets,
        distributions,
        estimators,
        flows,
        generators,
        geometry,
        inference,
        metrics,
        models,
        persistence,
        plotting,
        tables,
        training,
    )
    from counterflow.core.errors import CounterflowError
    from counterflow.core.outcomes import FitOutcome, RowStatus
    from counterflow.counterfactuals import PPCEF, CounterfactualAnswer, DiCoFlex
    from counterflow.estimators import CounterfactualExplainer, FlowDensity, FlowHMM, FlowRegressor, ImageFlow
    from counterflow.flows import Flow
    from counterflow.plotting import plot, report
    from counterflow.tables import Constraints, Schema
    from counterflow.training import fit

__version__ = "0.1.0"

__all__ = [
    "PPCEF",
    "Constraints",
    "CounterfactualAnswer",
    "CounterfactualExplainer",
    "CounterflowError",
    "DiCoFlex",
    "FitOutcome",
    "Flow",
    "FlowDensity",
    "FlowHMM",
    "FlowRegressor",
    "ImageFlow",
    "RowStatus",
    "Schema",
    "bijections",
    "counterfactuals",
    "datasets",
    "distributions",
    "estimators",
    "fit",
    "flows",
    "generators",
    "geometry",
    "inference",
    "metrics",
    "models",
    "persistence",
    "plot",
    "plotting",
    "report",
    "tables",
    "training",
]

_HOMES = {  # every public name that is not a room, and the module it lives in
    "PPCEF": "counterfactuals",
    "Constraints": "tables",
    "CounterfactualAnswer": "counterfactuals",
    "CounterfactualExplainer": "estimators",
    "CounterflowError": "core.errors",
    "DiCoFlex": "counterfactuals",
    "FitOutcome": "core.outcomes",
    "Flow": "flows",
    "FlowDensity": "estimators",
    "FlowHMM": "estimators",
    "FlowRegressor": "estimators",
    "ImageFlow": "estimators",
    "RowStatus": "core.outcomes",
    "Schema": "tables",
    "fit": "training",
    "plot": "plotting",
    "report": "plotting",
}


def __getattr__(name: str) -> object:
    """Load a public name when it is first used (PEP 562)."""
    if name not in __all__:
        raise AttributeError(f"module 'counterflow' has no attribute '{name}'; it offers {', '.join(__all__)}.")
    home = _HOMES.get(name)
    value = getattr(import_module(f"counterflow.{home}"), name) if home else import_module(f"counterflow.{name}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, whether loaded or not."""
    return [*__all__, "__version__"]
