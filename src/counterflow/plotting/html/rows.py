"""One card for each answer: the sentence, the changes, and what the judges say."""

import numpy as np

from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.changes_view import Change, changes_of
from counterflow.plotting.html.elements import Markup, element, join, paragraph, section, table
from counterflow.plotting.words import chance_text, named, status_text, witness_text

__all__ = ["rows"]

_OPEN = 3


def rows(answer: CounterfactualAnswer, *, most: int) -> Markup:
    """The section of cards.

    Args:
        answer: The answers.
        most: How many are listed; that there are more is said.

    Returns:
        The markup.
    """
    order = np.argsort(~answer.answered, kind="stable")[:most]
    sentences = answer.sentences()
    cards = [_card(answer, int(position), sentences[position], is_open=k < _OPEN) for k, position in enumerate(order)]
    lead = f"{_counted(answer, len(order))} Bars show each change in standard units of its column."
    return section("Row by row", paragraph(lead), *cards, anchor="rows")


def _counted(answer: CounterfactualAnswer, shown: int) -> str:
    """How many answers are listed, and in which order."""
    if shown < len(answer):
        listed = f"{shown:,} of {len(answer):,} answers are listed"
    else:
        listed = f"All {len(answer):,} answers are listed" if shown > 1 else "One answer is listed"
    searched = int(answer.answered.sum())
    mixed = 0 < searched < shown
    return f"{listed}{', those already as desired last' if mixed else ''}."


def _card(answer: CounterfactualAnswer, position: int, sentence: str, *, is_open: bool) -> Markup:
    changes = changes_of(answer, position)
    inner = [paragraph(sentence, kind="sentence"), _verdicts(answer, position)]
    if changes:
        inner.append(_changes(answer, position, changes))
    attributes = {"class": "card"} | ({"open": ""} if is_open else {})
    return element("details", _head(answer, position, len(changes)), *inner, attributes=attributes)


def _head(answer: CounterfactualAnswer, position: int, changed: int) -> Markup:
    status = answer.status[position]
    badge = element("span", status_text(answer, position), attributes={"class": f"badge {status.value}"})
    count = "no change" if not changed else f"{changed} change{'' if changed == 1 else 's'}"
    name = element("strong", _name(answer, position))
    return element("summary", join([name, badge, element("span", count, attributes={"class": "small"})], " "))


def _name(answer: CounterfactualAnswer, position: int) -> str:
    label, rank = answer.index.label[position], int(answer.index.rank[position])
    several = answer.settings.get("count", 1) > 1
    return f"Row {label}, answer {rank + 1}" if several else f"Row {label}"


def _verdicts(answer: CounterfactualAnswer, position: int) -> Markup:
    desired = named(answer.desired[position])
    said = answer.predicted[position]
    value = isinstance(answer.desired[position], tuple)
    facts = [("the model predicts", f"{said:.4g}") if value else ("the model decides", named(said))]
    if not np.isnan(answer.probability[position]):
        before, after = (chance_text(p[position]) for p in (answer.factual_probability, answer.probability))
        facts.append((f"probability of {desired}", f"{before} → {after}"))
    facts.append(("plausibility", f"{answer.plausibility[position]:.2f}{_asked(answer)}"))
    facts.append(("witness", witness_text(answer, position)))
    pairs = [element("div", element("dt", name), element("dd", value)) for name, value in facts]
    return element("dl", *pairs, attributes={"class": "facts"})


def _asked(answer: CounterfactualAnswer) -> str:
    level = answer.settings.get("min_plausibility")
    return "" if level is None else f" (asked: {level:g})"


def _changes(answer: CounterfactualAnswer, position: int, changes: list[Change]) -> Markup:
    longest = max((abs(change.step) for change in changes if not np.isnan(change.step)), default=1.0)
    cells = [(c.name, c.before, c.after, c.difference, _bar(c.step, longest)) for c in changes]
    heads = ("column", "from", "to", "difference", "in standard units")
    caption = f"Changes of {_name(answer, position).lower()}"
    return table(heads, cells, caption=caption, kind="changes", numeric=(1, 2, 3))


def _bar(step: float, longest: float) -> Markup:
    """A bar to the left or right of the middle; the number stands beside it."""
    if np.isnan(step):
        return element("span", "no length", attributes={"class": "small"})
    length = 50 * min(abs(step) / longest, 1.0)
    start = 50.0 if step > 0 else 50.0 - length
    shape = {"class": "up" if step > 0 else "down", "style": f"left:{start:.1f}%;width:{length:.1f}%"}
    bar = element("span", element("i", attributes=shape), attributes={"class": "bar", "aria-hidden": "true"})
    return join([bar, element("span", f"{step:+.2f}".replace("-", "−"), attributes={"class": "step"})])
