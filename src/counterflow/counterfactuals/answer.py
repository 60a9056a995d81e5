"""What an explainer returns: rows, what became of each, and everything needed to check it."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from counterflow.core.errors import ArgumentError, PersistenceError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals.answer_file import (
    FORMAT,
    array_of,
    plain_labels,
    plain_numbers,
    plain_rows,
    read_answer,
    rows_of,
)
from counterflow.counterfactuals.evidence import Evidence
from counterflow.counterfactuals.reasons import Reasons
from counterflow.counterfactuals.witness import WitnessReport
from counterflow.counterfactuals.wording import changes_of_row, sentence_of_row
from counterflow.metrics import evaluate
from counterflow.persistence import atomic_write
from counterflow.tables import Backend, Schema, TableCodec, backend_of
from counterflow.tables.frames import frame_of

__all__ = ["AnswerIndex", "CounterfactualAnswer"]

_ARRAYS = (
    "valid",
    "plausible",
    "plausibility",
    "log_density",
    "distance",
    "witness",
    "witness_plausibility",
    "probability",
    "factual_probability",
    "repaired",
    "copied",
)


class AnswerIndex(NamedTuple):
    """Where each answer comes from: the position of its factual, the factual's label in its frame, and its rank."""

    factual: Int[np.ndarray, " answers"]
    label: list[Any]
    rank: Int[np.ndarray, " answers"]


@dataclass(frozen=True, eq=False)
class CounterfactualAnswer:
    """Counterfactuals for some rows: ``count`` answers for each factual, in input order.

    ``valid``, ``plausible`` and ``witness`` speak of exactly the row in ``frame``, judged by the user's own model after
    rounding and decoding. What the model would decide is all that is said: no cause, no promise, no legal notice.

    Args:
        schema: The columns.
        numbers: The answers as numbers, ``(answers, columns)``, in the codec's form.
        factual_numbers: The factual of each answer, in the same form.
        frame: The answers as a frame of the user's kind.
        factuals: The rows that were asked about, as they came.
        index: Factual, label and rank of each answer.
        status: How each ended; ``status[i].sentence`` says it in words.
        desired: The class asked for each answer, or the interval of a regressor's value.
        predicted: What the model decides for each answer, or the value that a regressor gives.
        valid: Whether that is as desired.
        plausibility: Conformal p-value of each answer's log-density among held-out real rows of the desired class.
        plausible: Whether it reaches ``min_plausibility``.
        witness: Whether a flow of another family, trained on disjoint rows and unseen by the search, agrees.
        witness_plausibility: The p-value under that flow.
        log_density: Natural log-density under the desired class in the data's own units (a probability in discrete
            columns), the lowest of the search's flows.
        distance: The cost-weighted length of the change in standardized units.
        probability: Of the desired class for the answer; ``nan`` where the model has none.
        factual_probability: The same for the factual.
        kept: Whether every rule is kept, by an independent check.
        repaired: Whether the search, following a stand-in, had led to a row that the model itself refused, and another
            was found in its place.
        copied: Whether the answer equals a training row, which it may only with ``allow_training_rows``.
        witness_report: How good a judge the witness is.
        evidence: What pictures need.
        settings: The question, as plain data.
        provenance: Hashes of model, data, schema and settings, the seed, and versions.
        seconds: How long the answers took.
        reasoning: From how many reasons are asked to the reasons; ``None`` for an answer that was read from a file.
    """

    schema: Schema
    numbers: Float[np.ndarray, "answers columns"] = field(repr=False)
    factual_numbers: Float[np.ndarray, "answers columns"] = field(repr=False)
    frame: Any = field(repr=False)
    factuals: Any = field(repr=False)
    index: AnswerIndex = field(repr=False)
    status: tuple[RowStatus, ...] = field(repr=False)
    desired: list[Any] = field(repr=False)
    predicted: list[Any] = field(repr=False)
    valid: Bool[np.ndarray, " answers"] = field(repr=False)
    plausibility: Float[np.ndarray, " answers"] = field(repr=False)
    plausible: Bool[np.ndarray, " answers"] = field(repr=False)
    witness: Bool[np.ndarray, " answers"] = field(repr=False)
    witness_plausibility: Float[np.ndarray, " answers"] = field(repr=False)
    log_density: Float[np.ndarray, " answers"] = field(repr=False)
    distance: Float[np.ndarray, " answers"] = field(repr=False)
    probability: Float[np.ndarray, " answers"] = field(repr=False)
    factual_probability: Float[np.ndarray, " answers"] = field(repr=False)
    kept: Bool[np.ndarray, " answers"] = field(repr=False)
    repaired: Bool[np.ndarray, " answers"] = field(repr=False)
    copied: Bool[np.ndarray, " answers"] = field(repr=False)
    witness_report: WitnessReport = field(repr=False)
    evidence: Evidence = field(repr=False)
    settings: dict[str, Any] = field(repr=False)
    provenance: dict[str, Any] = field(repr=False)
    seconds: float = field(repr=False)
    reasoning: Callable[[int], Reasons] | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """A pickled answer leaves the model behind."""
        return {key: value for key, value in self.__dict__.items() if key != "reasoning"}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def answered(self) -> Bool[np.ndarray, " answers"]:
        """The rows that there was something to search for: all but those that were as desired already."""
        return np.array([status is not RowStatus.ALREADY_DESIRED for status in self.status], dtype=np.bool_)

    def changes(self) -> Any:
        """One row for each changed value: factual, rank, feature, from, to, difference; a frame of the user's kind.

        ``difference`` is NaN for categories and for values that leave or reach a special code.
        """
        rows = [
            (int(self.index.factual[i]), int(self.index.rank[i]), *change)
            for i in range(len(self))
            for change in changes_of_row(self.schema, self.factual_numbers[i], self.numbers[i])
        ]
        names = ("factual", "rank", "feature", "from", "to", "difference")
        columns = {name: [row[place] for row in rows] for place, name in enumerate(names)}
        return frame_of(columns, backend_of(self.frame))

    def sentences(self) -> list[str]:
        """One sentence for each answer, claiming only what is so."""
        return [
            sentence_of_row(
                self.schema,
                self.factual_numbers[i],
                self.numbers[i],
                self.desired[i],
                self.status[i],
                probability=self.settings["probability"],
            )
            for i in range(len(self))
        ]

    def reasons(self, k: int = 4) -> Reasons:
        """The values of each row asked about that moved the decision most (:mod:`.reasons`); no legal notice.

        Raises:
            ArgumentError: The answer was read from a file, which knows no model; ask the explainer.
        """
        if self.reasoning is None:
            raise ArgumentError("this answer was read from a file, which holds no model: use principal_reasons.")
        return self.reasoning(k)

    def metrics(self) -> dict[str, float | int | bool | str]:
        """The metrics of the answers (rows already as desired left out), the witness share first."""
        asked = self.answered
        metrics = evaluate(
            witness=self.witness[asked],
            witness_informative=self.witness_report.informative,
            valid=self.valid[asked],
            plausible=self.plausible[asked],
            kept=self.kept[asked],
            group=np.unique(self.index.factual[asked], return_inverse=True)[1],
            factual_count=len(np.unique(self.index.factual[asked])),
            factuals=self.factual_numbers[asked],
            counterfactuals=self.numbers[asked],
            categorical=np.array([not column.numeric for column in self.schema.columns]),
            scale=self.evidence.scale,
            log_density=self.log_density[asked],
            log_density_space="natural log, data units, probability in discrete columns",
            seconds=self.seconds,
        )
        if not asked.any():
            return metrics
        shares = {"repaired_share": self.repaired[asked].mean(), "copied_share": self.copied[asked].mean()}
        return metrics | {name: float(share) for name, share in shares.items()}

    def to_json(self, path: str | Path) -> Path:
        """Write everything to one file, all or nothing; it holds the rows that were asked about.

        Raises:
            PersistenceError: The file could not be written; what was there before is unchanged.
        """
        data = {
            "format": FORMAT,
            "kind": "counterfactual answer",
            "schema": self.schema.to_dict(),
            "backend": backend_of(self.frame),
            "numbers": plain_rows(self.numbers),
            "factual_numbers": plain_rows(self.factual_numbers),
            "index": {
                "factual": self.index.factual.tolist(),
                "label": plain_labels(self.index.label),
                "rank": self.index.rank.tolist(),
            },
            "status": [status.value for status in self.status],
            "desired": plain_labels(self.desired),
            "predicted": plain_labels(self.predicted),
            "kept": self.kept.tolist(),
            **{name: plain_numbers(getattr(self, name)) for name in _ARRAYS},
            "witness_report": self.witness_report.to_dict(),
            "evidence": self.evidence.to_dict(),
            "settings": self.settings,
            "provenance": self.provenance,
            "seconds": self.seconds,
        }
        atomic_write(path, json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n")
        return Path(path)

    @classmethod
    def from_json(cls, path: str | Path) -> "CounterfactualAnswer":
        """Read what :meth:`to_json` wrote. Frames come back with the columns of the schema alone.

        Raises:
            PersistenceError: The file is missing, damaged, of another kind or of another version.
        """
        data = read_answer(Path(path))
        try:
            return cls._from_data(data)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise PersistenceError(f"'{path}' is damaged: {error!r} while its parts were read.") from error

    @classmethod
    def _from_data(cls, data: dict[str, Any]) -> "CounterfactualAnswer":
        schema = Schema.from_dict(data["schema"])
        codec = TableCodec(schema)
        numbers, factual_numbers = (rows_of(data[name], len(schema)) for name in ("numbers", "factual_numbers"))
        backend: Backend = data["backend"]
        index = AnswerIndex(
            np.array(data["index"]["factual"], dtype=np.int64),
            data["index"]["label"],
            np.array(data["index"]["rank"], dtype=np.int64),
        )
        _, firsts = np.unique(index.factual, return_index=True)
        arrays: dict[str, Any] = {name: array_of(data[name]) for name in _ARRAYS}
        return cls(
            schema=schema,
            numbers=numbers,
            factual_numbers=factual_numbers,
            frame=codec.to_frame(numbers, backend=backend),
            factuals=codec.to_frame(factual_numbers[firsts], backend=backend),
            index=index,
            status=tuple(RowStatus(value) for value in data["status"]),
            desired=[tuple(wish) if isinstance(wish, list) else wish for wish in data["desired"]],
            predicted=data["predicted"],
            kept=np.array(data["kept"], dtype=np.bool_),
            **arrays,
            witness_report=WitnessReport.from_dict(data["witness_report"]),
            evidence=Evidence.from_dict(data["evidence"]),
            settings=data["settings"],
            provenance=data["provenance"],
            seconds=data["seconds"],
        )
