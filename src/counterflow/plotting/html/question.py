"""What was asked: the decision, the rules, and the rows."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.html.elements import Markup, element, paragraph, section
from counterflow.plotting.words import named
from counterflow.tables import Schema

__all__ = ["question", "rules_in_words"]

_MOST_NAMES = 12


def question(answer: CounterfactualAnswer) -> Markup:
    """The section that says what was asked."""
    settings = answer.settings
    name = answer.provenance.get("model_name")
    items = [f"The model: {name}."] if name else []
    items += [*rules_in_words(settings.get("constraints") or {}), *_of_schema(answer.schema), *_of_search(settings)]
    listed = element("ul", *[element("li", item) for item in items])
    return section("What was asked", paragraph(_lead(answer), kind="lead"), listed, anchor="asked")


def _lead(answer: CounterfactualAnswer) -> str:
    rows = len(np.unique(answer.index.factual))
    wishes = Counter(named(label) for label in answer.desired)
    classes = ", ".join(name for name, _ in wishes.most_common(8)) + (", …" if len(wishes) > 8 else "")
    decision = f"the decision {classes}" if len(wishes) == 1 else f"one of the decisions {classes} (each row its own)"
    count = answer.settings.get("count", 1)
    each = "" if count == 1 else f", {count} answers each"
    already = len(np.unique(answer.index.factual[~answer.answered]))
    rest = f" {already:,} of them {'is' if already == 1 else 'are'} so already; for these nothing was searched."
    if isinstance(answer.desired[0], tuple):
        decision = decision.replace("decision", "prediction")
    return (
        f"For {rows:,} row{'' if rows == 1 else 's'}{each}: what would have to be different for the model to come to "
        f"{decision}?{rest if already else ''}"
    )


def rules_in_words(constraints: Mapping[str, Any]) -> list[str]:
    """The constraints of the question, one sentence each.

    Example:
        >>> rules_in_words({"immutable": ["sex"], "ranges": {"income": [0, None]}, "max_changes": 3})
        ['Must not change: sex.', 'income, if it changes, must be at least 0.', 'At most 3 columns may change.']
        >>> rules_in_words({"linked": ["debt <= 0.4 * income"], "cost": {"income": 2.0}})
        ['Where one of its columns changes, this must hold: debt <= 0.4 * income.', 'A change of income counts 2-fold.']
    """
    heads = {
        "immutable": "Must not change",
        "increase_only": "May only rise",
        "decrease_only": "May only fall",
        "free": "Protected, but free to change here",
    }
    sentences = [f"{head}: {', '.join(constraints[key])}." for key, head in heads.items() if constraints.get(key)]
    for name, limits in (constraints.get("ranges") or {}).items():
        sentences.append(f"{name}, if it changes, must be {_interval(*limits)}.")
    for name, labels in (constraints.get("allowed") or {}).items():
        sentences.append(f"{name} may change only to {', '.join(named(label) for label in labels)}.")
    if (most := constraints.get("max_changes")) is not None:
        sentences.append(f"At most {most:g} column{'' if most == 1 else 's'} may change.")
    sentences += [_linked(rule) for rule in constraints.get("linked") or ()]
    return sentences + [
        f"A change of {name} counts {factor:g}-fold." for name, factor in (constraints.get("cost") or {}).items()
    ]


def _linked(rule: Any) -> str:
    return f"Where one of its columns changes, this must hold: {rule}."


def _interval(low: Any, high: Any) -> str:
    if low is not None and high is not None:
        return f"between {low} and {high}"
    return f"at least {low}" if high is None else f"at most {high}"


def _of_schema(schema: Schema) -> list[str]:
    """What the schema rules for every question."""
    groups = {
        "Never changed, as they are protected": [c.name for c in schema.columns if c.protected],
        "Never changed, as nobody can act on them": [c.name for c in schema.columns if c.fixed and not c.protected],
        "Only ever raised": [c.name for c in schema.columns if c.direction == "increase"],
        "Only ever lowered": [c.name for c in schema.columns if c.direction == "decrease"],
        "With special codes that are no numbers": [
            c.name for c in schema.columns if any(atom.kind == "code" for atom in c.atoms)
        ],
    }
    sentences = [f"{head}: {_some(names, len(schema))}." for head, names in groups.items() if names]
    return sentences + [_linked(rule) for rule in schema.links]


def _some(names: list[str], columns: int) -> str:
    """Names, not too many of them."""
    if len(names) == columns > 1:
        return f"all {columns} columns"
    most = names[:_MOST_NAMES]
    return ", ".join(most) + (f" and {len(names) - len(most)} more" if len(most) < len(names) else "")


def _of_search(settings: Mapping[str, Any]) -> list[str]:
    sentences = []
    if (interval := settings.get("probability")) is not None:
        sentences.append(
            f"The model's probability of the desired class had to lie between {interval[0]:g} and {interval[1]:g}."
        )
    if (level := settings.get("min_plausibility")) is not None:
        sentences.append(
            f"An answer had to reach a plausibility of {level:g}: a fresh real row of the class falls short of it with "
            f"a chance of at most {level:g}, averaged over calibrations."
        )
    if (norm := settings.get("norm")) is not None:
        sentences.append(f"Distance was measured with the exponent p = {norm:g}.")
    if (deadline := settings.get("deadline")) is not None:
        sentences.append(f"All answers together had {deadline:g} seconds.")
    copies = settings.get("allow_training_rows")
    if copies is not None:
        sentences.append(
            "An answer was allowed to equal a training row."
            if copies
            else "No answer was allowed to equal a training row."
        )
    return sentences
