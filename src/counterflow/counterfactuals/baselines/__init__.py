"""Methods to compare with: they know nothing of density."""

from counterflow.counterfactuals.baselines.growing_spheres import GrowingSpheres
from counterflow.counterfactuals.baselines.nearest import Nearest, nearest_rows
from counterflow.counterfactuals.baselines.wachter import Wachter

__all__ = ["GrowingSpheres", "Nearest", "Wachter", "nearest_rows"]
