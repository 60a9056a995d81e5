"""What pictures and reports say of one answer; every phrase claims only what is so."""

from typing import Any

import numpy as np

from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.counterfactuals.wording import interval_text

__all__ = [
    "SHORT",
    "chance_text",
    "density_name",
    "facts_of",
    "named",
    "outcome_of",
    "share_text",
    "status_text",
    "witness_text",
]

SHORT = {
    RowStatus.FOUND: "found",
    RowStatus.VALID_NOT_PLAUSIBLE: "accepted, but less plausible than asked",
    RowStatus.NOT_VALID: "best legal attempt, not accepted",
    RowStatus.REPEATED: "repeats an earlier answer",
    RowStatus.ALREADY_DESIRED: "already as desired",
    RowStatus.NO_LEGAL_CHANGE: "nothing may change",
    RowStatus.OUT_OF_TIME: "out of time",
}
"""A few words for each status; ``status.sentence`` has the whole."""


def named(label: Any) -> str:
    """A class as it stands in a sentence.

    Example:
        >>> named("Good"), named(1)
        ("'Good'", '1')
    """
    if isinstance(label, tuple):
        return interval_text(label)
    return f"'{label}'" if isinstance(label, str) else str(label)


def density_name(answer: CounterfactualAnswer, density_class: str) -> str:
    """A class under whose density answers are judged, in a sentence: a label as :func:`named`, a bin as it is."""
    return next((named(label) for label in answer.desired if str(label) == density_class), density_class)


def outcome_of(answer: CounterfactualAnswer, position: int) -> str:
    """What the model says of an answer: the decision, or the probability where a range of it was asked."""
    desired = named(answer.desired[position])
    if isinstance(answer.desired[position], tuple):
        value, inside = answer.predicted[position], "is" if answer.valid[position] else "is not"
        return f"with these values the model predicts {value:.4g}, which {inside} {desired}"
    if (interval := answer.settings.get("probability")) is not None:
        inside = "lies" if answer.valid[position] else "does not lie"
        return f"the probability of {desired} {inside} between {interval[0]:g} and {interval[1]:g}"
    if answer.status[position] is RowStatus.ALREADY_DESIRED:
        return f"the model already decides {desired}"
    if answer.valid[position]:
        return f"with these values the model decides {desired}"
    return f"the model still decides {named(answer.predicted[position])}, not {desired}"


def status_text(answer: CounterfactualAnswer, position: int) -> str:
    """How an answer ended, in a few words."""
    return SHORT[answer.status[position]]


def facts_of(answer: CounterfactualAnswer, position: int) -> str:
    """Status, probability, plausibility and witness of one answer, in a line."""
    facts = [status_text(answer, position)]
    before, after = answer.factual_probability[position], answer.probability[position]
    if not np.isnan(after):
        facts.append(f"model's probability {chance_text(before)} → {chance_text(after)}")
    asked = answer.settings.get("min_plausibility")
    level = "" if asked is None else f" (asked: {asked:g})"
    facts.append(f"plausibility {answer.plausibility[position]:.2f}{level}")
    return " · ".join([*facts, f"witness {witness_text(answer, position)}"])


def witness_text(answer: CounterfactualAnswer, position: int) -> str:
    """The verdict of the witness, and whether it is a judge."""
    verdict = "agrees" if answer.witness[position] else "does not agree"
    return verdict if answer.witness_report.informative else f"{verdict} (a weak judge here)"


def share_text(share: float) -> str:
    """A share as a percentage that never rounds up to all or down to none.

    Example:
        >>> share_text(0.5), share_text(0.9999), share_text(0.0001), share_text(1.0), share_text(float("nan"))
        ('50%', '>99%', '<1%', '100%', '–')
    """
    if np.isnan(share):
        return "–"
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def chance_text(chance: float) -> str:
    """A probability in two decimals that never rounds up to 1 or down to 0.

    Example:
        >>> chance_text(0.5), chance_text(0.0001), chance_text(0.9999), chance_text(1.0)
        ('0.50', '<0.01', '>0.99', '1.00')
    """
    if np.isnan(chance):
        return "–"
    if 0 < chance < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= chance < 1 else f"{chance:.2f}"
