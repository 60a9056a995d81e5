"""The nearest row that the model accepts, plausible or not."""

from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from counterflow.counterfactuals.ppcef import PPCEF
from counterflow.counterfactuals.task import Task

__all__ = ["Wachter"]


@dataclass(frozen=True)
class Wachter:
    """Distance and validity alone: what a search finds that does not ask whether such rows exist.

    It keeps the schema's rules and is judged like any other method, so its plausible and witness shares show what the
    density term is for.

    Args:
        weight: Weight of the validity hinge.
        margin: How far beyond its cut-off the target's probability must lie during the search.
        norm: The exponent of the distance, unless :meth:`explain` is given one.

    Reference:
        Wachter, Mittelstadt, Russell, "Counterfactual Explanations without Opening the Black Box", 2017, section III,
        with a hinge in place of the squared error.

    Example:
        >>> Wachter(norm=1.0).weight
        5.0
    """

    weight: float = 5.0
    margin: float = 0.02
    norm: float = 2.0

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The best legal row found for each row of the task, whatever its density."""
        method = PPCEF(weight=self.weight, margin=self.margin, cushion=0.0, norm=self.norm, starts=0)
        return method.find(replace(task, min_plausibility=0.0))
