"""A fitted explainer as this room sees it, and what it is asked without a search."""

from typing import Any, Protocol, runtime_checkable

from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.counterfactuals.background import Background
from counterflow.counterfactuals.batch import Batch
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.reasons import Reasons, attribute
from counterflow.counterfactuals.task import Task
from counterflow.models import AdaptedModel
from counterflow.tables import Constraints, Table

__all__ = ["Fitted", "principal_reasons", "task_of"]


@runtime_checkable
class Fitted(Protocol):
    """What is needed of a fitted :class:`~counterflow.CounterfactualExplainer`."""

    background_: Background
    model_: AdaptedModel

    def explain(
        self,
        rows: Any,
        desired: Any,
        *,
        count: int = 1,
        constraints: Constraints | None = None,
        min_plausibility: float = 0.1,
    ) -> CounterfactualAnswer:
        """Find counterfactuals of rows."""
        ...


def task_of(explainer: Fitted, rows: Any, question: Question) -> Task:
    """The rows of a frame with everything that is known of them: numbers, wishes, rules, the model and the densities.

    Args:
        explainer: A fitted explainer.
        rows: A frame of the user's kind.
        question: What is asked of every row.

    Returns:
        The task, all rows in it, in the order of the frame.
    """
    return Batch(question, rows, background=explainer.background_, model=explainer.model_).task


def principal_reasons(
    explainer: Fitted, rows: Any, *, desired: Any, k: int = 4, pairs: int = 32, random_state: int = 0
) -> Reasons:
    """The values of each row that moved the model's decision most, without any search.

    Args:
        explainer: A fitted explainer.
        rows: A frame of the user's kind.
        desired: The decision that was wished for all rows; of a regressor an interval.
        k: How many reasons a row has at most.
        pairs: How many plausible rows each row is compared with, see :func:`.reasons.attribute`.
        random_state: Where the orders of the columns come from.

    Returns:
        The reasons of each row, in input order. They speak of the model, and are no legal notice.

    Raises:
        ArgumentError: The decision does not exist, or ``k`` or ``pairs`` is below 1.
        DataError: The rows do not fit the schema.
    """
    wishes = [desired] * len(Table(rows))
    task = task_of(explainer, rows, Question(wishes))
    found = attribute(task, pairs=pairs, seed=random_state)
    return Reasons(task.rules.schema, task.factuals.numpy(), wishes, found, most=k)
