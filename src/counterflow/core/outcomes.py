"""How things ended: codes for programs, with one sentence each for a human."""

from enum import StrEnum

__all__ = ["FitOutcome", "ProposalOutcome", "RowStatus"]


class _Outcome(StrEnum):
    """A snake_case code (the value, a plain string) that carries a sentence."""

    sentence: str

    def __new__(cls, code: str, sentence: str) -> "_Outcome":
        member = str.__new__(cls, code)
        member._value_ = code
        member.sentence = sentence
        return member

    def __str__(self) -> str:
        return self._value_


class FitOutcome(_Outcome):
    """How a training run ended.

    Example:
        >>> FitOutcome.CONVERGED.value, FitOutcome("converged") is FitOutcome.CONVERGED
        ('converged', True)
        >>> FitOutcome.MAX_EPOCHS.sentence
        'All epochs were used and the best weights kept; more epochs might still help.'
    """

    CONVERGED = "converged", "The held-out loss stopped falling, and the best weights were kept."
    MAX_EPOCHS = "max_epochs", "All epochs were used and the best weights kept; more epochs might still help."
    INTERRUPTED = "interrupted", "Training was interrupted; the best weights so far were kept."
    DIVERGED = "diverged", "The loss stopped being a number again and again; the last good weights were kept."
    OUT_OF_TIME = "out_of_time", "The time limit was reached; the best weights so far were kept."


class ProposalOutcome(_Outcome):
    """How the training of a proposal ended.

    Example:
        >>> ProposalOutcome.ENOUGH.sentence
        'As many of the fresh draws as asked were effective.'
    """

    ENOUGH = "enough", "As many of the fresh draws as asked were effective."
    MAX_ROUNDS = "max_rounds", "All rounds were used; fewer of the fresh draws than asked were effective."


class RowStatus(_Outcome):
    """How the search for one row's counterfactual ended.

    Example:
        >>> RowStatus.FOUND.value, RowStatus.FOUND == "found"
        ('found', True)
    """

    FOUND = "found", "A valid and plausible counterfactual that keeps every rule was found."
    VALID_NOT_PLAUSIBLE = (
        "valid_not_plausible",
        "A counterfactual that the model accepts was found, but it is less plausible than asked.",
    )
    NOT_VALID = "not_valid", "No legal row with the desired prediction was found; this is the best legal attempt."
    REPEATED = (
        "repeated",
        "No further counterfactual of another kind was found; this repeats one of an earlier rank.",
    )
    ALREADY_DESIRED = "already_desired", "The model already gives the desired prediction; the row is unchanged."
    NO_LEGAL_CHANGE = "no_legal_change", "Nothing in this row may change, so it is returned unchanged."
    OUT_OF_TIME = "out_of_time", "The deadline came first; this is the best legal attempt so far."
