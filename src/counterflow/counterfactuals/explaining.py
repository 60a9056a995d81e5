"""From a question about rows to an answer: search, then judge exactly what is returned."""

import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import partial
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
from counterflow.counterfactuals.batch import Batch
from counterflow.counterfactuals.diversity import lock_for_next_rank
from counterflow.counterfactuals.evidence import Evidence, map_projection
from counterflow.counterfactuals.question import Question
from counterflow.counterfactuals.reasons import reasons_of
from counterflow.counterfactuals.repair import mend
from counterflow.counterfactuals.task import Task
from counterflow.models import AdaptedModel
from counterflow.tables.frames import row_labels

_Flags = Bool[np.ndarray, " answers"]

__all__ = ["ManyAtOnce", "Method", "explain"]

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


@runtime_checkable
class ManyAtOnce(Protocol):
    """The part of a method that finds several answers for each row itself; others are asked rank by rank."""

    def find_many(self, task: Task, count: int) -> Float[Tensor, "ranks rows columns"]:
        """For each rank the best legal row for each row of the task that differs from those of earlier ranks."""
        ...


@one_thread()
def explain(
    question: Question,
    frame: Any,
    *,
    method: Method,
    background: Background,
    model: AdaptedModel,
    provenance: dict[str, Any],
    skill: Any = None,
    device: str = "cpu",
) -> CounterfactualAnswer:
    """Answer a question about the rows of a frame.

    Args:
        question: What is asked.
        frame: The rows, of the user's kind.
        method: How to search.
        background: What was learned from the training table.
        model: The user's model; the search uses its formula, the verdict the model itself.
        provenance: Hashes and versions to carry along.
        skill: What the method learned, if it learns.
        device: Where flows are computed; all else is done on the CPU.

    Returns:
        ``question.count`` answers a row, in input order.

    Raises:
        ModelError: If a range of probability is asked of a model that has no probabilities.
    """
    if question.probability is not None and (model.regression or not model.probabilistic):
        raise ModelError(f"{model.name} has no probabilities, so no range of them can be asked: leave probability out.")
    began = time.monotonic()
    batch = Batch(question, frame, background=background, model=model, norm=method.norm, skill=skill)
    with _flows_at(device, background, skill):
        ranks, repaired = _search(batch, method)
        answers, rows = torch.stack(ranks, 1).flatten(0, 1), np.repeat(np.arange(len(batch.numbers)), question.count)
        return _judged(batch, answers, rows, repaired.T.flatten(), provenance=provenance, began=began)


@contextmanager
def _flows_at(device: str, *owners: Any) -> Generator[None]:
    """Let all who own flows compute them on a device for a while."""
    with ExitStack() as stack:
        for owner in owners:
            if device != "cpu" and hasattr(owner, "at"):
                stack.enter_context(owner.at(device))
        yield


def _search(batch: Batch, method: Method) -> tuple[list[Tensor], Bool[Tensor, "ranks rows"]]:
    """For each rank one answer a row, and which of them were repaired because a stand-in had led to them."""
    asked = torch.from_numpy(np.flatnonzero(~batch.factual_met))
    ranks = [batch.numbers.clone() for _ in range(batch.question.count)]
    repaired = torch.zeros(len(ranks), len(batch.numbers), dtype=torch.bool)
    with batch.model.borrowed():
        for rows in asked.split(_ROWS_AT_ONCE):
            task = batch.task.of_rows(rows)
            for rank, (found, mended) in enumerate(_find(task, method, len(ranks))):
                ranks[rank][rows], repaired[rank, rows] = found, mended
    return ranks, repaired


def _find(task: Task, method: Method, count: int) -> list[tuple[Tensor, Tensor]]:
    """Several answers for each row, and whether each was repaired.

    Unless the method sees to it that they differ, each rank locks what earlier ones relied on.
    """
    if count > 1 and isinstance(method, ManyAtOnce):
        return [mend(task, found) for found in method.find_many(task, count)]
    found: list[tuple[Tensor, Tensor]] = []
    for _ in range(count):
        locked = lock_for_next_rank(task, [numbers for numbers, _ in found])
        found.append(mend(locked, method.find(locked)))
    return found


def _judged(
    batch: Batch,
    answers: Tensor,
    rows: Int[np.ndarray, " answers"],
    repaired: Tensor,
    *,
    provenance: dict[str, Any],
    began: float,
) -> CounterfactualAnswer:
    """The record of exactly the rows that are returned."""
    index, question, labels = torch.from_numpy(rows), batch.question, row_labels(batch.frame)
    background = batch.background
    verdict = _verdict(batch, answers, rows)
    target = verdict.pop("density_class")
    return CounterfactualAnswer(
        schema=background.schema,
        numbers=answers.numpy(),
        factual_numbers=batch.numbers.numpy()[rows],
        frame=batch.codec.to_frame(answers.numpy(), like=batch.frame, rows=rows),
        factuals=batch.frame,
        index=AnswerIndex(rows, [labels[row] for row in rows], np.arange(len(rows)) % question.count),
        desired=[question.desired[row] for row in rows],
        distance=batch.task.of_rows(index).distance(answers).numpy(),
        factual_probability=batch.factual_probability[rows],
        witness_report=background.report,
        evidence=_evidence(batch, answers, index, target=target, log_density=verdict["log_density"]),
        settings=question.to_dict(),
        provenance=provenance,
        seconds=time.monotonic() - began,
        repaired=repaired.numpy(),
        copied=(background.copies.contains(answers) & batch.rules.take(index).changed(answers).any(1)).numpy(),
        reasoning=partial(reasons_of, batch.task, question.desired),
        **verdict,
    )


def _verdict(batch: Batch, answers: Tensor, rows: Int[np.ndarray, " answers"]) -> dict[str, Any]:
    """What the model, both densities and the rules say of each answer, by the names of the record's fields."""
    index, level, background = torch.from_numpy(rows), batch.question.min_plausibility, batch.background
    rules = batch.rules.take(index)
    met, probability, predicted = batch.judge(answers, rows)
    target = _density_classes(batch, index, predicted)
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
        "density_class": target,
        "valid": met,
        "plausibility": plausibility,
        "plausible": plausibility >= level,
        "witness": witness_plausibility >= level,
        "witness_plausibility": witness_plausibility,
        "log_density": log_density,
        "probability": probability,
        "kept": np.array([not broken for broken in rules.violations(answers)], dtype=np.bool_),
    }


def _density_classes(batch: Batch, index: Tensor, predicted: list[Any]) -> Tensor:
    """The class under whose density each answer is judged."""
    if batch.background.bins is None:
        return batch.goal.target[index]
    return batch.goal.of_rows(index).labels(torch.tensor(predicted, dtype=torch.float64)[:, None])


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


def _evidence(
    batch: Batch, answers: Tensor, index: Tensor, *, target: Tensor, log_density: Float[np.ndarray, " answers"]
) -> Evidence:
    """The numbers behind the pictures."""
    background = batch.background
    every = [str(label) for label in batch.model.classes or ()] if background.bins is None else background.bins.names
    names = {int(k): every[int(k)] for k in target.unique()}
    thresholds = background.search.threshold(batch.question.min_plausibility)
    factuals = batch.numbers[index]
    changed = torch.nonzero((factuals != answers).any(1))[:, 0]
    factual_log_density = log_density.copy()
    factual_log_density[changed.numpy()] = background.search.log_density(factuals[changed], target[changed])
    pool = torch.cat([rows[:_MAP_ROWS] for rows in background.pool])
    labels = [every[k] for k, rows in enumerate(background.pool) for _ in rows[:_MAP_ROWS]]
    to_map = map_projection(pool, background.scale)
    return Evidence(
        scale=background.scale.numpy(),
        density_class=[names[k] for k in target.tolist()],
        thresholds={name: float(thresholds[k]) for k, name in names.items()},
        calibration={name: background.search.calibration[k].tolist() for k, name in names.items()},
        factual_log_density=factual_log_density,
        map_labels=labels,
        map_rows=to_map(pool),
        map_factuals=to_map(factuals),
        map_answers=to_map(answers),
    )
