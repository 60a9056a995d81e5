"""Methods to compare with: they know nothing of density."""

from counterflow.counterfactuals.baselines.wachter import Wachter

__all__ = ["Wachter"]
