"""Answers made from a real one: fewer rows, more rows, other names."""

from dataclasses import replace

import numpy as np

from counterflow.counterfactuals import AnswerIndex

PER_ANSWER = (
    "numbers",
    "factual_numbers",
    "valid",
    "plausibility",
    "plausible",
    "witness",
    "witness_plausibility",
    "log_density",
    "distance",
    "probability",
    "factual_probability",
    "kept",
    "repaired",
    "copied",
)


def taken(answer, positions, **other):
    """Some answers of an answer, as answers to rows of their own."""
    positions = np.asarray(positions, dtype=np.int64)
    evidence = replace(
        answer.evidence,
        density_class=[answer.evidence.density_class[position] for position in positions],
        factual_log_density=answer.evidence.factual_log_density[positions],
        map_factuals=answer.evidence.map_factuals[positions],
        map_answers=answer.evidence.map_answers[positions],
    )
    labels = [answer.index.label[position] for position in positions]
    index = AnswerIndex(np.arange(len(positions)), labels, np.zeros(len(positions), dtype=np.int64))
    changed = {name: getattr(answer, name)[positions] for name in PER_ANSWER} | {
        "status": tuple(answer.status[position] for position in positions),
        "desired": [answer.desired[position] for position in positions],
        "predicted": [answer.predicted[position] for position in positions],
        "evidence": evidence,
        "index": index,
        "settings": answer.settings | {"count": 1},
    }
    return replace(answer, **(changed | other))


def renamed(answer, names):
    """The same answer with columns of other names."""
    columns = [replace(column, name=names.get(column.name, column.name)) for column in answer.schema.columns]
    return replace(answer, schema=replace(answer.schema, columns=tuple(columns)))


def reclassed(answer, labels):
    """The same answer with each searched row's desired class named in turn by ``labels``."""
    desired = [labels[place % len(labels)] for place in range(len(answer))]
    known = next(iter(answer.evidence.calibration))
    evidence = replace(
        answer.evidence,
        density_class=[str(label) for label in desired],
        thresholds={str(label): answer.evidence.thresholds[known] for label in labels},
        calibration={str(label): answer.evidence.calibration[known] for label in labels},
        map_labels=[str(labels[place % len(labels)]) for place in range(len(answer.evidence.map_labels))],
    )
    return replace(answer, desired=desired, evidence=evidence)
