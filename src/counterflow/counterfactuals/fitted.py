"""A fitted explainer as this room sees it, and what it is asked as a task."""

from typing import Any, Protocol, runtime_checkable

from torch import Tensor

from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.counterfactuals.background import Background
from counterflow.counterfactuals.explaining import _Batch
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.task import Task
from counterflow.models import AdaptedModel

__all__ = ["Fitted", "task_of"]


@runtime_checkable
class Fitted(Protocol):
    """What is needed of a fitted :class:`~counterflow.CounterfactualExplainer`."""

    background_: Background
    model_: AdaptedModel

    def explain(self, rows: Any, desired: Any) -> CounterfactualAnswer:
        """Find counterfactuals of rows."""
        ...


class _Still:
    """A method that leaves every row as it is."""

    norm = 2.0

    def find(self, task: Task) -> Tensor:
        return task.factuals


def task_of(explainer: Fitted, rows: Any, question: Question) -> Task:
    """The rows of a frame with everything that is known of them: numbers, wishes, rules, the model and the densities.

    Args:
        explainer: A fitted explainer.
        rows: A frame of the user's kind.
        question: What is asked of every row.

    Returns:
        The task, all rows in it, in the order of the frame.
    """
    batch = _Batch(question, _Still(), explainer.background_, model=explainer.model_, frame=rows, skill=None)
    return batch.task
