r"""DiCoFlex: counterfactuals from one conditional flow, many for each row in one pass.

.. math:: \max_\theta\; \mathbb{E}_{x, y', p, m}\; \mathbb{E}_{x' \sim \hat q_K(\cdot \mid x, y', p, m)}
    \log p_\theta(x' \mid x, y', p, m)

where :math:`\hat q_K` is uniform on the K nearest rows that the model decides as wished, under the distance
:math:`d_{p,m}` of :mod:`.neighbors`. The exponent p and the protected columns m are conditions of the flow, drawn anew
for every example, so that both are free when it is asked.

Reference:
    Furman, Movsum-zada, Marszałek, Zięba, Śmieja, "DiCoFlex: Model-agnostic diverse counterfactuals with flexible
    control", NeurIPS 2025, arXiv 2505.23700.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.core.random import derive_seed, make_generator
from counterflow.counterfactuals.background import Background
from counterflow.counterfactuals.dicoflex.finding import pick_answers, without_needless
from counterflow.counterfactuals.dicoflex.learning import learn_drafter
from counterflow.counterfactuals.dicoflex.skill import DiCoFlexSkill
from counterflow.counterfactuals.lesson import Lesson
from counterflow.counterfactuals.task import Task
from counterflow.persistence import SavedFolder

__all__ = ["DiCoFlex"]

_ROWS_AT_ONCE = 512
_LOOKED_AT = 8


@dataclass(frozen=True)
class DiCoFlex:
    """Settings of learning and of drawing.

    Args:
        temperature: Of the draws: below 1, likely changes become likelier. Above 0.
        norm: The exponent of the distance, unless :meth:`explain` is given one.
        draws: How many draws each row gets, from which its answers are chosen.
        sparse: Undo needless changes of the answers afterwards. Without it, many rows are answered quicker.
        norms: The exponents that the flow is trained for; between them it interpolates.
        neighbors: K, the number of neighbors whose law the flow learns; more make draws more diverse and go farther.
        pool: The most rows of a class that may be neighbors.
        steady: The share of them that is kept: those whose decision is the steadiest, in (0, 1].
        questions: How many questions (a row, a class, an exponent, a mask) the flow is trained on.
        epochs: Passes over the questions.
        rehearsals: Rounds in which the flow goes on with those of its own draws that the model decides as wished.
        bins: Into how many bins numbers are cut.
        hidden: Widths of the layers that read a question.
        width: The length of the flow's hidden state.

    Raises:
        ArgumentError: A setting is outside its range.

    Example:
        >>> DiCoFlex(temperature=0.7, neighbors=16).norms
        (2.0, 1.0, 0.5, 0.1, 0.01)
    """

    temperature: float = 0.8
    norm: float = 2.0
    draws: int = 64
    sparse: bool = True
    norms: tuple[float, ...] = (2.0, 1.0, 0.5, 0.1, 0.01)
    neighbors: int = 128
    pool: int = 20_000
    steady: float = 0.35
    questions: int = 30_000
    epochs: int = 24
    rehearsals: int = 2
    bins: int = 24
    hidden: tuple[int, ...] = (256, 256)
    width: int = 128

    def __post_init__(self) -> None:
        least = {"draws": 1, "neighbors": 1, "pool": 1, "questions": 20, "epochs": 1, "rehearsals": 0, "bins": 2}
        for name, value in {**least, "width": 1}.items():
            if getattr(self, name) < value:
                raise ArgumentError(f"{name} must be at least {value}, got {getattr(self, name)}.")
        for name, value in {"temperature": self.temperature, "norm": self.norm, "steady": self.steady}.items():
            if not value > 0:
                raise ArgumentError(f"{name} must be above 0, got {value}.")
        if self.steady > 1 or not self.norms or min(self.norms) <= 0 or not self.hidden:
            raise ArgumentError(
                "steady must lie in (0, 1], norms must be numbers above 0 and hidden must name a width, got "
                f"steady={self.steady}, norms={self.norms}, hidden={self.hidden}."
            )

    def learn(self, lesson: Lesson) -> DiCoFlexSkill:
        """Find neighbors, train the flow on them, and rehearse."""
        drafter, masks = learn_drafter(self, lesson)
        return DiCoFlexSkill(drafter, norms=(min(self.norms), max(self.norms)), masks=masks)

    def restore(self, config: Mapping[str, Any], folder: SavedFolder, background: Background) -> DiCoFlexSkill:
        """Build the skill again from a saved folder."""
        return DiCoFlexSkill.from_parts(config, folder, background.schema)

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The best of the draws of each row, the factual itself if nothing may change."""
        return self.find_many(task, 1)[0]

    def find_many(self, task: Task, count: int) -> Float[Tensor, "ranks rows columns"]:
        """The best of the draws of each row, then those that differ most from it and from each other."""
        skill = skill_of(task)
        ranks = task.factuals.expand(count, *task.factuals.shape).clone()
        generator = make_generator(derive_seed(0, "draws"))
        for rows in torch.arange(len(task.factuals)).split(_ROWS_AT_ONCE):
            if task.deadline.passed():
                break
            some = task.of_rows(rows)
            draws = skill.draft(
                some.rules,
                some.goal.target,
                norm=task.norm,
                count=max(self.draws, count),
                temperature=self.temperature,
                generator=generator,
            )
            picked = pick_answers(some, draws, count=count, most=_LOOKED_AT)
            ranks[:, rows] = without_needless(some, picked) if self.sparse else picked
        return ranks


def skill_of(task: Task) -> DiCoFlexSkill:
    """What was learned.

    Raises:
        ArgumentError: Nothing was.
    """
    if not isinstance(task.skill, DiCoFlexSkill):
        raise ArgumentError(
            "DiCoFlex draws from a flow that it learned, got a task without it. Fit an explainer with "
            "method='dicoflex', or hand explain() the skill that DiCoFlex().learn gave."
        )
    return task.skill
