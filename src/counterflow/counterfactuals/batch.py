"""A question about the rows of a frame, made ready to be answered."""

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.counterfactuals.background import Background
from counterflow.counterfactuals.goals import Goal, ValueGoal, Wish
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.search import Deadline
from counterflow.counterfactuals.task import Task
from counterflow.models import AdaptedModel
from counterflow.tables import Rules, TableCodec

__all__ = ["Batch"]

_TINY = 1e-12


class Batch:
    """The rows of one question, compiled: numbers, goals and rules, as a task; and what the real model says of rows.

    Args:
        question: What is asked.
        frame: The rows, of the user's kind.
        background: What was learned from the training table.
        model: The user's model.
        norm: The exponent of the distance, unless the question names one.
        skill: What a method learned.
    """

    def __init__(
        self,
        question: Question,
        frame: Any,
        *,
        background: Background,
        model: AdaptedModel,
        norm: float = 2.0,
        skill: Any = None,
    ) -> None:
        self.question = question
        self.background = background
        self.model = model
        self.frame = frame
        self.codec = TableCodec(background.schema)
        self.numbers = torch.from_numpy(self.codec.to_numbers(frame))
        self.rules = Rules.compile(background.schema, question.constraints, self.numbers, scale=background.scale)
        self.goal = self._goal()
        self.task = Task(
            factuals=self.numbers,
            goal=self.goal,
            rules=self.rules,
            model=model,
            density=background.search,
            pool=background.pool,
            copies=None if question.allow_training_rows else background.copies,
            scale=background.scale,
            cost=self.rules.cost,
            min_plausibility=question.min_plausibility,
            norm=norm if question.norm is None else question.norm,
            deadline=Deadline(question.deadline),
            oracle=self.output if model.stand_in else None,
            skill=skill,
        )
        self.factual_met, self.factual_probability, _ = self.judge(self.numbers, np.arange(len(self.numbers)))

    def output(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """What the user's own model says of rows: log-probabilities, those of a bare decision, or values."""
        frame = self.codec.to_frame(numbers.numpy(), like=self.frame, rows=rows.numpy())
        if self.model.regression:
            return torch.from_numpy(self.model.predict(frame))[:, None]
        said = torch.from_numpy(self.model.probabilities(frame)).clamp(min=_TINY).log()
        if self.question.probability is not None or not self.model.probabilistic:
            return said
        decided = torch.tensor([self.model.class_index(label) for label in self.model.predict(frame).tolist()])
        bare = torch.full_like(said, math.log(_TINY)).scatter(1, decided[:, None], 0.0)
        return torch.where((said.argmax(1) == decided)[:, None], said, bare)

    def judge(
        self, numbers: Tensor, rows: Int[np.ndarray, " some"]
    ) -> tuple[Bool[np.ndarray, " some"], Float[np.ndarray, " some"], list[Any]]:
        """What the user's own model says of rows: whether it is as wished, the target's probability, the decision."""
        frame = self.codec.to_frame(numbers.numpy(), like=self.frame, rows=rows)
        predicted, index = self.model.predict(frame), torch.from_numpy(rows)
        probability = np.full(len(rows), np.nan)
        if self.model.regression:
            return (
                self.goal.of_rows(index).met(torch.from_numpy(predicted)[:, None]).numpy(),
                probability,
                predicted.tolist(),
            )
        if self.model.probabilistic:
            probability = self.model.probabilities(frame)[np.arange(len(rows)), self.goal.target.numpy()[rows]]
        if self.question.probability is None:
            wished = np.array(self.question.desired, dtype=object)[rows]
            met = np.array([label == wish for label, wish in zip(predicted, wished, strict=True)], dtype=np.bool_)
        else:
            low, high = self.question.probability
            met = (probability >= low) & (probability <= high)
        return met, probability, predicted.tolist()

    def _goal(self) -> Wish:
        question, bins = self.question, self.background.bins
        if bins is None:
            target = torch.tensor([self.model.class_index(label) for label in question.desired], dtype=torch.long)
            return Goal.of(target, question.probability)
        limits = [
            (-math.inf if low is None else low, math.inf if high is None else high) for low, high in question.desired
        ]
        low, high = torch.tensor(limits, dtype=torch.float64).reshape(-1, 2).T
        values = self.output(self.numbers, torch.arange(len(self.numbers)))[:, 0]
        return ValueGoal.of(low, high, values=values, edges=bins.tensor, unit=bins.unit)
