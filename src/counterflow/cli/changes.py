"""The first answers, change by change, for the eye."""

from typing import TYPE_CHECKING, Any

import numpy as np

from counterflow.cli.screen import table_text

if TYPE_CHECKING:
    import counterflow.counterfactuals

__all__ = ["changes_text"]


def changes_text(answer: "counterflow.counterfactuals.CounterfactualAnswer", *, most: int) -> str:
    """The changes of the first answers that change anything.

    Args:
        answer: The answers.
        most: How many are shown.

    Returns:
        A block of lines for each, then how many more there are.
    """
    changed = np.flatnonzero((answer.numbers != answer.factual_numbers).any(axis=1) & answer.answered)
    blocks = [_block(answer, int(position)) for position in changed[:most]]
    more = len(changed) - len(blocks)
    return "\n\n".join([*blocks, f"... and {more:,} more with changes." if more > 0 else ""]).rstrip() + "\n"


def _block(answer: "counterflow.counterfactuals.CounterfactualAnswer", position: int) -> str:
    from counterflow.counterfactuals.wording import changes_of_row

    changes = changes_of_row(answer.schema, answer.factual_numbers[position], answer.numbers[position])
    lines = [(f"    {name}", _shown(old), "->", _shown(new)) for name, old, new, _ in changes]
    return f"{_title(answer, position)}\n{table_text(lines)}"


def _title(answer: "counterflow.counterfactuals.CounterfactualAnswer", position: int) -> str:
    row, rank = answer.index.factual[position], answer.index.rank[position]
    rank_text = f", answer {rank + 1}" if answer.index.rank.any() else ""
    facts = [answer.status[position].value.replace("_", " ")]
    facts += _verdict(answer, position)
    facts.append(f"plausibility {answer.plausibility[position]:.2f}")
    facts.append(f"witness {'agrees' if answer.witness[position] else 'does not agree'}")
    return f"Row {row}{rank_text}: {', '.join(facts)}"


def _verdict(answer: "counterflow.counterfactuals.CounterfactualAnswer", position: int) -> list[str]:
    """What the model says of the row: its probability of the desired class, or the value it predicts."""
    from counterflow.counterfactuals.wording import interval_text

    desired, before, after = (
        answer.desired[position],
        answer.factual_probability[position],
        answer.probability[position],
    )
    if isinstance(desired, tuple):
        return [f"predicted value {answer.predicted[position]:.4g} (asked for: {interval_text(desired)})"]
    return [] if np.isnan(after) else [f"probability of {desired!r} {before:.2f} -> {after:.2f}"]


def _shown(value: Any) -> str:
    from counterflow.tables import format_number

    if value is None:
        return "missing"
    return format_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else str(value)
