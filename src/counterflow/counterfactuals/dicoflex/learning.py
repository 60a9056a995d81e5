"""Train the flow of DiCoFlex on the neighbors of a table's rows, by maximum likelihood."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from jaxtyping import Bool
from torch import Tensor

from counterflow.core.errors import TrainingError
from counterflow.core.outcomes import FitOutcome
from counterflow.core.random import derive_seed, make_generator
from counterflow.counterfactuals.dicoflex.drafter import Drafter
from counterflow.counterfactuals.dicoflex.examples import Examples, collect_examples
from counterflow.counterfactuals.dicoflex.options import Options
from counterflow.counterfactuals.dicoflex.pools import steady_rows
from counterflow.counterfactuals.dicoflex.rehearsal import rehearse
from counterflow.counterfactuals.lesson import Lesson
from counterflow.training import FitReport, TrainingSettings, optimise

if TYPE_CHECKING:
    from counterflow.counterfactuals.dicoflex.config import DiCoFlex

__all__ = ["Schooling", "learn_drafter", "train_drafter"]

_HELD_OUT = 0.05
_OWN_DRAWS = 12


@dataclass(frozen=True)
class Schooling:
    """How long the flow is trained.

    Args:
        epochs: Passes over the questions; each sees another of a question's neighbors, with fresh noise.
        batch_size: Questions a batch.
        learning_rate: Adam's first step; it falls to zero along half a cosine.
        clip: The largest norm of a gradient.
    """

    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 3e-3
    clip: float = 5.0


def learn_drafter(settings: "DiCoFlex", lesson: Lesson) -> tuple[Drafter, Bool[Tensor, "masks columns"]]:
    """Find the neighbors of many questions, train a flow on them, and let it rehearse.

    Args:
        settings: How.
        lesson: The table and the model's decisions.

    Returns:
        The flow, and the different sets of locked columns that it was trained on.

    Raises:
        DataError: No row has a neighbor of another class.
        TrainingError: The flow could not be trained.
    """
    seed, numbers, schema = derive_seed(lesson.seed, "dicoflex"), lesson.numbers, lesson.background.schema
    examples = _examples(settings, lesson, derive_seed(seed, "examples"))
    options = Options.measure(schema, numbers, bins=settings.bins)
    weights = make_generator(derive_seed(seed, "weights"))
    classes = lesson.background.search.classes
    drafter = Drafter(options, classes, hidden=settings.hidden, width=settings.width, generator=weights)
    first = Schooling(epochs=settings.epochs)
    later = replace(first, epochs=max(1, settings.epochs // 2), learning_rate=first.learning_rate / 3)
    questions = examples
    for turn in range(settings.rehearsals + 1):
        name = str(turn)
        lesson.tell(f"Training the flow of DiCoFlex on {len(questions):,} questions (turn {turn + 1}).")
        train_drafter(
            drafter,
            questions,
            schooling=first if turn == 0 else later,
            seed=derive_seed(seed, "training", name),
            progress=lesson.progress,
            checkpoint=None if lesson.checkpoint is None else lesson.checkpoint / f"dicoflex-{name}",
            resume=lesson.resume,
        )
        if turn < settings.rehearsals:
            draws = make_generator(derive_seed(seed, "rehearsal", name))
            questions, _ = rehearse(drafter, examples, decide=lesson.decide, count=_OWN_DRAWS, generator=draws)
    return drafter.eval(), examples.locked.unique(dim=0)


def _examples(settings: "DiCoFlex", lesson: Lesson, seed: int) -> Examples:
    """The questions and their neighbors among the steadiest rows of each class."""
    generator, background = make_generator(seed), lesson.background
    lesson.tell(f"Finding the neighbors of {settings.questions:,} questions for DiCoFlex.")
    pools = [
        steady_rows(
            lesson.numbers,
            lesson.labels,
            label,
            most=settings.pool,
            share=settings.steady,
            decide=lesson.decide,
            generator=generator,
        )
        for label in range(background.search.classes)
    ]
    return collect_examples(
        background.schema,
        lesson.numbers,
        lesson.labels,
        pools=pools,
        scale=background.scale,
        decide=lesson.decide,
        norms=settings.norms,
        count=settings.questions,
        neighbors=settings.neighbors,
        generator=generator,
    )


class _Batches:
    """Questions in a new order every epoch, each with one of its answers, encoded with fresh noise."""

    def __init__(self, drafter: Drafter, examples: Examples, size: int) -> None:
        self.drafter = drafter
        self.examples = examples
        self.size = min(size, len(examples))

    def __call__(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        order = torch.randperm(len(self.examples), generator=generator)
        for rows in order.split(self.size):
            if len(rows) == self.size:
                yield self.of_rows(rows, generator)

    def of_rows(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Points, their contexts and their log-weights."""
        examples = self.examples.of_rows(rows)
        answers = examples.one_answer(generator)
        noise = torch.rand(answers.shape, generator=generator, dtype=answers.dtype)
        points, log_weight = self.drafter.options.encode(examples.factuals, answers, noise)
        context = self.drafter.context(examples.factuals, examples.target, locked=examples.locked, norm=examples.norm)
        return points.to(context.dtype), context, log_weight.to(context.dtype)


def train_drafter(
    drafter: Drafter,
    examples: Examples,
    *,
    schooling: Schooling,
    seed: int,
    progress: bool = False,
    checkpoint: Path | None = None,
    resume: bool = False,
) -> FitReport:
    """Maximize the likelihood of neighbors, given what was asked.

    Args:
        drafter: The flow, trained in place.
        examples: Questions and their neighbors; a twentieth is held out.
        schooling: How long.
        seed: Where all randomness comes from.
        progress: Show a progress bar.
        checkpoint: A folder that follows the training.
        resume: Go on from the checkpoint.

    Returns:
        The report; its losses are nats a row in the data's own units.

    Raises:
        TrainingError: The loss stopped being a number again and again.
    """
    order = torch.randperm(len(examples), generator=make_generator(derive_seed(seed, "held out")))
    cut = max(1, round(_HELD_OUT * len(examples)))
    held = _Batches(drafter, examples.of_rows(order[:cut]), cut)
    fixed = held.of_rows(torch.arange(cut), make_generator(derive_seed(seed, "held-out noise")))
    report = optimise(
        drafter,
        _negative_log_likelihood,
        _Batches(drafter, examples.of_rows(order[cut:]), schooling.batch_size),
        validate=lambda module: _negative_log_likelihood(module, fixed),
        settings=TrainingSettings(
            max_epochs=schooling.epochs,
            learning_rate=schooling.learning_rate,
            clip=schooling.clip,
            compile=False,
            progress=progress,
        ),
        generator=make_generator(derive_seed(seed, "training")),
        checkpoint=checkpoint,
        resume=resume,
        identity=[examples.factuals, examples.locked, examples.target],
    )
    if report.outcome is FitOutcome.DIVERGED:
        raise TrainingError(f"the flow of DiCoFlex could not be trained. {report.outcome.sentence}")
    return report


def _negative_log_likelihood(module: torch.nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    points, context, log_weight = batch
    return -(module(points, context) + log_weight).mean()
