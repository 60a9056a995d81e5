r"""A differentiable stand-in for a model that has no formula: a small network that learned its answers.

A forest, a booster or any function of rows answers in steps, which have no gradient. The stand-in is trained on rows of
the table and on rows made up around them, to the model's own answers; a search may then follow its slope. It is never
asked for a verdict: what it finds is judged, and repaired where need be, with the model itself.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.errors import ModelError
from counterflow.core.random import derive_seed, make_generator
from counterflow.core.threads import one_thread
from counterflow.models.adapted import AdaptedModel
from counterflow.models.agreement import StandInReport
from counterflow.models.formulas import OwnFormula
from counterflow.models.made_up import made_up_rows
from counterflow.models.stand_in_net import StandInNet
from counterflow.tables.codec import TableCodec
from counterflow.tables.schema import Schema
from counterflow.training import Batch, TensorBatches, TrainingSettings, optimise

__all__ = ["distill", "restore_stand_in", "stand_in_parts"]

_HIDDEN = (128, 128)
_BATCH = 256
_HELD_OUT, _MOST_HELD_OUT = 0.2, 2000
_VALIDATION = 0.1
_LEAST = 1e-4


class _Lessons(NamedTuple):
    """Rows, and what the model says of them: probabilities, or values."""

    numbers: Tensor
    answers: Tensor


@one_thread()
def distill(
    model: AdaptedModel,
    schema: Schema,
    numbers: Float[np.ndarray, "rows columns"],
    *,
    like: Any,
    codec: TableCodec | None = None,
    seed: int = 0,
    progress: bool = False,
    questions: int = 20_000,
) -> AdaptedModel:
    """Train a stand-in for a black box, and put it in the place of the formula that is missing.

    Up to half of the questions are rows of the table, the others are made up around these
    (:func:`~counterflow.models.made_up.made_up_rows`); the model is asked about all of them at once. A fifth of the
    table (2,000 rows at most) is kept aside, and measures how well the stand-in answers for the model.

    Args:
        model: An adapted model; one that has a formula comes back as it is.
        schema: The columns.
        numbers: The rows of the table, in the codec's form.
        like: The same rows as a frame of the user's kind.
        codec: The codec of ``schema``, if there is one already.
        seed: The seed of everything drawn at random.
        progress: Show a progress bar.
        questions: About how many rows the model may be asked about.

    Returns:
        The model with a formula, ``stand_in`` true and a ``stand_in_report``.

    Raises:
        ModelError: If the model fails on a row that the table can hold.

    Example:
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> from counterflow.models import adapt
        >>> from counterflow.tables import Column
        >>> x = np.random.default_rng(0).normal(size=(400, 1))
        >>> schema = Schema((Column("x0"),))
        >>> tree = adapt(DecisionTreeClassifier(max_depth=1).fit(x, x[:, 0] > 0.5), schema, like=x)
        >>> model = distill(tree, schema, x, like=x, questions=1000)
        >>> model.stand_in, model.stand_in_report.agreement > 0.95
        (True, True)
    """
    if model.differentiable:
        return model
    generator = make_generator(derive_seed(seed, "stand-in"))
    asking = _Asking(model, codec or TableCodec(schema), like)
    rows = torch.from_numpy(numbers)
    order = torch.randperm(len(rows), generator=generator)
    held = min(_MOST_HELD_OUT, max(1, round(_HELD_OUT * len(rows))))
    lessons = _ask(asking, schema, rows, order[held:] if held < len(rows) else order, questions, generator)
    net = StandInNet.for_table(
        schema,
        rows,
        outputs=lessons.answers.shape[1],
        hidden=_HIDDEN,
        values=lessons.answers if model.regression else None,
        generator=generator,
    )
    _train(net, lessons, regression=model.regression, generator=generator, progress=progress)
    report = _examine(net, asking, rows, order[:held], asked=len(lessons.numbers))
    return replace(model, formula=OwnFormula(net), stand_in=True, stand_in_report=report)


class _Asking:
    """Puts questions to the model: rows as numbers in, its answers as a table of numbers out."""

    def __init__(self, model: AdaptedModel, codec: TableCodec, like: Any) -> None:
        self.model, self.codec, self.like = model, codec, like

    def __call__(self, numbers: Tensor, rows: Tensor) -> Tensor:
        """Probabilities (n, K) or values (n, 1) of rows, each dressed with the further columns of a table's row."""
        frame = self.codec.to_frame(numbers.numpy(), like=self.like, rows=rows.numpy())
        if self.model.regression:
            return torch.from_numpy(self.model.predict(frame))[:, None]
        return torch.from_numpy(self.model.probabilities(frame))


def _ask(
    asking: _Asking, schema: Schema, rows: Tensor, known: Tensor, questions: int, generator: torch.Generator
) -> _Lessons:
    """The model's answers to rows of the table and to made-up ones, in random order."""
    real = known[: questions // 2]
    made, begun = made_up_rows(schema, rows[known], count=questions - len(real), generator=generator)
    numbers, sources = torch.cat((rows[real], made)), torch.cat((real, known[begun]))
    order = torch.randperm(len(numbers), generator=generator)
    return _Lessons(numbers[order], asking(numbers[order], sources[order]))


def _train(net: StandInNet, lessons: _Lessons, *, regression: bool, generator: torch.Generator, progress: bool) -> None:
    """Fit the perceptron to the answers, with early stopping on a tenth of them."""
    answers = (lessons.answers - net.value_center) / net.value_scale if regression else lessons.answers
    with torch.no_grad():
        batch = Batch(net.encode(lessons.numbers).float(), answers.float())
    held = max(1, round(_VALIDATION * len(lessons.numbers)))
    train, check = batch.each(lambda part: part[held:]), batch.each(lambda part: part[:held])
    loss = _squared if regression else _cross_entropy
    settings = TrainingSettings(
        max_epochs=20, patience=8, learning_rate=1e-2, weight_decay=0.01, compile=False, progress=progress
    )
    optimise(
        net.mlp,
        loss,
        TensorBatches(train, _BATCH),
        validate=lambda module: loss(module, check),
        settings=settings,
        generator=generator,
    )
    net.double().eval().requires_grad_(False)


def _cross_entropy(module: nn.Module, batch: Batch) -> Tensor:
    """Between the model's probabilities and the stand-in's."""
    answers = torch.as_tensor(batch.context).clamp(_LEAST, 1.0 - _LEAST)
    return nn.functional.cross_entropy(module(batch.x), answers / answers.sum(1, keepdim=True))


def _squared(module: nn.Module, batch: Batch) -> Tensor:
    return (module(batch.x) - batch.context).square().mean()


def _examine(net: StandInNet, asking: _Asking, rows: Tensor, held: Tensor, *, asked: int) -> StandInReport:
    """Compare the stand-in with the model on rows that it was not trained on."""
    theirs = asking(rows[held], held)
    with torch.no_grad():
        ours = net(rows[held])
    if asking.model.regression:
        spread = (theirs - theirs.mean()).square().mean()
        agreement = 1.0 - (ours - theirs).square().mean() / spread.clamp(min=1e-12)
        error = (ours - theirs).abs().mean()
    else:
        agreement = (ours.argmax(1) == theirs.argmax(1)).double().mean()
        error = (ours.softmax(1) - theirs).abs().mean()
    return StandInReport(len(held), float(agreement), float(error), asked, regression=asking.model.regression)


def stand_in_parts(model: AdaptedModel) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A stand-in as plain settings and tensors, for a saved folder.

    Raises:
        ModelError: If the model has none.
    """
    net = model.formula.module if isinstance(model.formula, OwnFormula) else None
    if not isinstance(net, StandInNet) or model.stand_in_report is None:
        raise ModelError(f"{model.name} has no stand-in that could be saved. Make one with models.distill.")
    config, tensors = net.to_parts()
    return config | {"report": model.stand_in_report.to_dict()}, tensors


def restore_stand_in(
    model: AdaptedModel, config: Mapping[str, Any], *, schema: Schema, tensors: Mapping[str, Tensor]
) -> AdaptedModel:
    """Give a black box the stand-in back that :func:`stand_in_parts` took apart.

    Args:
        model: The adapted model.
        config: The settings.
        schema: The columns.
        tensors: The tensors.

    Returns:
        The model with its stand-in; one that has a formula of its own comes back as it is.
    """
    if model.differentiable:
        return model
    net = StandInNet.from_parts(config, tensors, schema=schema)
    report = StandInReport.from_dict(config["report"])
    return replace(model, formula=OwnFormula(net), stand_in=True, stand_in_report=report)
