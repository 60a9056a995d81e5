"""From a question about rows to an answer: search, then judge exactly what is returned."""

import time
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ModelError
from counterflow.core.outcomes import RowStatus
from counterflow.core.threads import one_thread
from counterflow.counterfactuals.answer import AnswerIndex, CounterfactualAnswer
from counterflow.counterfactuals.background import Background
from counterflow.counterfactuals.diversity import lock_for_next_rank
from counterflow.counterfactuals.evidence import Evidence, map_projection
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.search import Deadline
from counterflow.counterfactuals.task import Goal, Task
from counterflow.models import AdaptedModel
from counterflow.tables import Rules, TableCodec
from counterflow.tables.frames import row_labels

_Flags = Bool[np.ndarray, " answers"]

__all__ = ["Method", "explain"]

_ROWS_AT_ONCE = 4096
_MAP_ROWS = 400


@runtime_checkable
class Method(Protocol):
    """What a counterfactual method is: a frozen config that finds legal rows for a task."""

    @property
    def norm(self) -> float:
        """The exponent of the distance, unless the question names one."""
        ...

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The best legal row for each row of the task; the factual itself where there is none."""
        ...


class _Batch:
    """The rows of one question, compiled: numbers, goals, rules, and the answers so far."""

    def __init__(
        self, question: Question, method: Method, background: Background, model: AdaptedModel, frame: Any
    ) -> None:
        self.question = question
        self.background = background
        self.model = model
        self.frame = frame
        self.codec = TableCodec(background.schema)
        self.numbers = torch.from_numpy(self.codec.to_numbers(frame))
        target = torch.tensor([model.class_index(label) for label in question.desired])
        self.goal = Goal.of(target, question.probability)
        self.rules = Rules.compile(background.schema, question.constraints, self.numbers)
        self.task = Task(
            factuals=self.numbers,
            goal=self.goal,
            rules=self.rules,
            model=model,
            density=background.search,
            pool=background.pool,
            copies=None if question.allow_training_rows else background.copies,
            scale=background.scale,
            cost=torch.tensor([column.cost for column in background.schema.columns], dtype=torch.float64),
            min_plausibility=question.min_plausibility,
            norm=method.norm if question.norm is None else question.norm,
            deadline=Deadline(question.deadline),
        )
        self.factual_met, self.factual_probability, _ = self.judge(self.numbers, np.arange(len(self.numbers)))

    def judge(
        self, numbers: Tensor, rows: Int[np.ndarray, " some"]
    ) -> tuple[Bool[np.ndarray, " some"], Float[np.ndarray, " some"], list[Any]]:
        """What the user's own model says of rows: whether it is as wished, the target's probability, the decision."""
        frame = self.codec.to_frame(numbers.numpy(), like=self.frame, rows=rows)
        predicted = self.model.predict(frame)
        probability = np.full(len(rows), np.nan)
        target = self.goal.target.numpy()[rows]
        if self.model.probabilistic:
            probability = self.model.probabilities(frame)[np.arange(len(rows)), target]
        if self.question.probability is None:
            wished = np.array(self.question.desired, dtype=object)[rows]
            met = np.array([label == wish for label, wish in zip(predicted, wished, strict=True)], dtype=np.bool_)
        else:
            low, high = self.question.probability
            met = (probability >= low) & (probability <= high)
        return met, probability, predicted.tolist()


@one_thread()
def explain(
    question: Question,
    frame: Any,
    *,
    method: Method,
    background: Background,
    model: AdaptedModel,
    provenance: dict[str, Any],
) -> CounterfactualAnswer:
    """Answer a question about the rows of a frame.

    Args:
        question: What is asked.
        frame: The rows, of the user's kind.
        method: How to search.
        background: What was learned from the training table.
        model: The user's model; the search uses its formula, the verdict the model itself.
        provenance: Hashes and versions to carry along.

    Returns:
        ``question.count`` answers a row, in input order.

    Raises:
        ModelError: If the model is a black box, which a search by gradients cannot use, or if a range of probability is
            asked of a model that has no probabilities.
    """
    if question.probability is not None and not model.probabilistic:
        raise ModelError(f"{model.name} has no probabilities, so no range of them can be asked: leave probability out.")
    began = time.monotonic()
    batch = _Batch(question, method, background, model, frame)
    ranks = _search(batch, method)
    answers, rows = torch.stack(ranks, 1).flatten(0, 1), np.repeat(np.arange(len(batch.numbers)), question.count)
    return _judged(batch, answers, rows, provenance, began)


def _search(batch: _Batch, method: Method) -> list[Tensor]:
    """For each rank one answer a row; later ranks may not use what earlier ones relied on most."""
    asked = torch.from_numpy(np.flatnonzero(~batch.factual_met))
    ranks: list[Tensor] = []
    with batch.model.borrowed():
        for _ in range(batch.question.count):
            numbers = batch.numbers.clone()
            for rows in asked.split(_ROWS_AT_ONCE):
                task = batch.task.of_rows(rows)
                found = [earlier[rows] for earlier in ranks]
                numbers[rows] = method.find(lock_for_next_rank(task, found))
            ranks.append(numbers)
    return ranks


def _judged(
    batch: _Batch, answers: Tensor, rows: Int[np.ndarray, " answers"], provenance: dict[str, Any], began: float
) -> CounterfactualAnswer:
    """The record of exactly the rows that are returned."""
    index, question, labels = torch.from_numpy(rows), batch.question, row_labels(batch.frame)
    verdict = _verdict(batch, answers, rows)
    return CounterfactualAnswer(
        schema=batch.background.schema,
        numbers=answers.numpy(),
        factual_numbers=batch.numbers.numpy()[rows],
        frame=batch.codec.to_frame(answers.numpy(), like=batch.frame, rows=rows),
        factuals=batch.frame,
        index=AnswerIndex(rows, [labels[row] for row in rows], np.arange(len(rows)) % question.count),
        desired=[question.desired[row] for row in rows],
        distance=batch.task.of_rows(index).distance(answers).numpy(),
        factual_probability=batch.factual_probability[rows],
        witness_report=batch.background.report,
        evidence=_evidence(batch, answers, index, verdict["log_density"]),
        settings=question.to_dict(),
        provenance=provenance,
        seconds=time.monotonic() - began,
        **verdict,
    )


def _verdict(batch: _Batch, answers: Tensor, rows: Int[np.ndarray, " answers"]) -> dict[str, Any]:
    """What the model, both densities and the rules say of each answer, by the names of the record's fields."""
    index, level, background = torch.from_numpy(rows), batch.question.min_plausibility, batch.background
    target, rules = batch.goal.target[index], batch.rules.take(index)
    met, probability, predicted = batch.judge(answers, rows)
    log_density = background.search.log_density(answers, target)
    plausibility = background.search.plausibility(log_density, target)
    witness_plausibility = background.witness.plausibility(background.witness.log_density(answers, target), target)
    status = _statuses(
        already=batch.factual_met[rows],
        repeated=_repeats(answers, rows) & rules.changed(answers).any(1).numpy(),
        met=met,
        plausible=plausibility >= level,
        frozen=~rules.can_change.numpy(),
        late=batch.task.deadline.passed(),
    )
    return {
        "status": status,
        "predicted": predicted,
        "valid": met,
        "plausibility": plausibility,
        "plausible": plausibility >= level,
        "witness": witness_plausibility >= level,
        "witness_plausibility": witness_plausibility,
        "log_density": log_density,
        "probability": probability,
        "kept": np.array([not broken for broken in rules.violations(answers)], dtype=np.bool_),
    }


def _statuses(
    *, already: _Flags, repeated: _Flags, met: _Flags, plausible: _Flags, frozen: _Flags, late: bool
) -> tuple[RowStatus, ...]:
    """How each row ended: the first of these that is so."""
    cases = {
        RowStatus.ALREADY_DESIRED: already,
        RowStatus.REPEATED: repeated,
        RowStatus.FOUND: met & plausible,
        RowStatus.VALID_NOT_PLAUSIBLE: met,
        RowStatus.NO_LEGAL_CHANGE: frozen,
        RowStatus.OUT_OF_TIME if late else RowStatus.NOT_VALID: np.ones_like(met),
    }
    kinds = list(cases)
    return tuple(kinds[place] for place in np.stack(list(cases.values())).argmax(0))


def _repeats(answers: Tensor, rows: Int[np.ndarray, " answers"]) -> Bool[np.ndarray, " answers"]:
    """Which answers equal an answer of an earlier rank to the same row."""
    keys = [(int(row), answer.tobytes()) for row, answer in zip(rows, answers.numpy(), strict=True)]
    seen: set[tuple[int, bytes]] = set()
    repeated = []
    for key in keys:
        repeated.append(key in seen)
        seen.add(key)
    return np.array(repeated, dtype=np.bool_)


def _evidence(batch: _Batch, answers: Tensor, index: Tensor, log_density: Float[np.ndarray, " answers"]) -> Evidence:
    """The numbers behind the pictures."""
    background, target = batch.background, batch.goal.target[index]
    classes = batch.model.classes or ()
    names = {int(k): str(classes[int(k)]) for k in target.unique()}
    thresholds = background.search.threshold(batch.question.min_plausibility)
    factuals = batch.numbers[index]
    changed = torch.nonzero((factuals != answers).any(1))[:, 0]
    factual_log_density = log_density.copy()
    factual_log_density[changed.numpy()] = background.search.log_density(factuals[changed], target[changed])
    pool = torch.cat([rows[:_MAP_ROWS] for rows in background.pool])
    labels = [str(classes[k]) for k, rows in enumerate(background.pool) for _ in rows[:_MAP_ROWS]]
    to_map = map_projection(pool, background.scale)
    return Evidence(
        scale=background.scale.numpy(),
        thresholds={name: float(thresholds[k]) for k, name in names.items()},
        calibration={name: background.search.calibration[k].tolist() for k, name in names.items()},
        factual_log_density=factual_log_density,
        map_labels=labels,
        map_rows=to_map(pool),
        map_factuals=to_map(factuals),
        map_answers=to_map(answers),
    )
