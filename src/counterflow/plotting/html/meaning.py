"""What the report says and what it does not, and where it comes from."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting.html.elements import Markup, element, paragraph, section, table

__all__ = ["meaning", "provenance"]

_POINTS = (
    (
        "It speaks of the model.",
        "Each sentence says what this model would decide for a row like the one asked about, with the values named. It "
        "does not say that changing these values causes anything in the world.",
    ),
    (
        "It promises nothing.",
        "No decision follows from it, and it is no notice in the sense of any law. The model may change, and people "
        "may decide otherwise.",
    ),
    (
        "Plausibility is about fresh rows.",
        "A plausibility compares an answer's density with those of real rows that were held out. A fresh exchangeable "
        "row of the class gets a plausibility of at most 0.1 with a chance of at most 0.1, and likewise for every "
        "level, averaged over calibrations. Nothing follows for one person, one answer or one group.",
    ),
    (
        "Other answers may exist.",
        "The search returns answers that it found near the row. It does not prove that there is none nearer, nor, "
        "where it found none, that there is none.",
    ),
)
_HASH = re.compile(r"(?:[a-z0-9]+:)?[0-9a-f]{32,}")


def meaning(answer: CounterfactualAnswer) -> Markup:
    """The section that guards against reading too much into the rest."""
    points = [*_POINTS, ("The witness judges the search.", _witness(answer))]
    items = [element("li", element("strong", head), " ", text) for head, text in points]
    return section("What this says and what it does not", element("ul", *items), anchor="meaning")


def _witness(answer: CounterfactualAnswer) -> str:
    """Who the witness is; of small tables the two halves change places, which is said."""
    crossed = answer.witness_report.sizes.get("cross_fitted")
    small = " (the table is small: each side is calibrated on the rows that trained the other)" if crossed else ""
    return (
        "A search that climbs a density finds the places where that density is wrong, so its own score is a goal and "
        "no evidence. The witness is a density of another family, trained on rows that did not train the search's "
        f"densities and never shown to the search{small}; its share says how many of the valid answers it, too, finds "
        "plausible at the same level."
    )


def provenance(answer: CounterfactualAnswer) -> Markup:
    """The section of hashes, seed and versions."""
    entries = list(_flat(answer.provenance))
    if not entries:
        return section("Provenance", paragraph("The answer carries no provenance."), anchor="provenance")
    shown = table(("what", "value"), [(name, _value(value)) for name, value in entries], caption="Provenance")
    return section("Provenance", shown, anchor="provenance")


def _flat(data: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested entries as ``outer inner`` names."""
    for key, value in data.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name} ")
        else:
            yield name, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _value(text: str) -> str:
    """A hash is shortened; the whole stands in its tooltip."""
    if not _HASH.fullmatch(text):
        return text
    return element("code", f"{text[:12]}…", attributes={"title": text, "aria-label": text})
