"""The pictures of the report."""

import numpy as np

from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.plotting._changes import plot_changes, summarize_changes
from counterflow.plotting._density import density_groups, plot_density
from counterflow.plotting._map import plot_map
from counterflow.plotting.html.elements import Markup, paragraph, section
from counterflow.plotting.html.pictures import picture
from counterflow.plotting.words import density_name, share_text

__all__ = ["gallery"]

_MOST_CLASSES = 3
_MOST_COLUMNS = 15


def gallery(answer: CounterfactualAnswer) -> Markup:
    """The section of pictures: densities of each desired class, changes, and the view from above."""
    judged_as = answer.evidence.density_class
    asked = [name for name, searched in zip(judged_as, answer.answered, strict=True) if searched]
    classes = sorted(dict.fromkeys(asked), key=lambda label: -asked.count(label))
    parts = [_density(answer, label) for label in classes[:_MOST_CLASSES]]
    if len(classes) > _MOST_CLASSES:
        parts.append(paragraph(f"Densities of the {_MOST_CLASSES} most asked classes of {len(classes)} are shown."))
    if (answer.answered & answer.valid).any():
        parts += [_changes(answer), _map(answer)]
    if not parts:
        parts = [paragraph("There is nothing to draw: no row was searched.")]
    return section("Pictures", *parts, anchor="pictures")


def _density(answer: CounterfactualAnswer, desired: str) -> Markup:
    threshold = answer.evidence.thresholds[desired]
    groups = density_groups(answer, desired)
    reached = [
        f"{len(group.values):,} {group.name}, {share_text(float((group.values >= threshold).mean()))} at or above"
        for group in groups
        if len(group.values)
    ]
    return picture(
        lambda ax: plot_density(answer, desired=desired, ax=ax),
        size=(8.0, 3.6),
        alt=f"Histograms of log-densities under {density_name(answer, desired)}; threshold {threshold:.1f}. "
        f"{'; '.join(reached)}.",
        caption="Right is more likely. The dashed line is what an answer had to reach; the percentages say how many of "
        "each group reach it. Log-densities are natural logarithms in the units of the data (a probability in discrete "
        "columns), and compare only within this picture.",
    )


def _changes(answer: CounterfactualAnswer) -> Markup:
    summaries = summarize_changes(answer)[:_MOST_COLUMNS]
    told = [
        f"{s.name} changes in {share_text(s.share)}" + ("" if np.isnan(s.median) else f", median {s.median:+.2f}")
        for s in summaries
    ]
    return picture(
        lambda ax: plot_changes(answer, ax=ax, most=_MOST_COLUMNS),
        size=(8.0, 1.5 + 0.3 * max(len(summaries), 1)),
        alt=f"Bars of median changes in standard units. {'; '.join(told)}.",
        caption="Beside each bar: in how many of the valid answers the column changes, and the median change of those, "
        "in standard units of the column. Thin lines span the middle half. A diamond marks a change without a length.",
    )


def _map(answer: CounterfactualAnswer) -> Markup:
    return picture(
        lambda ax: plot_map(answer, ax=ax),
        size=(8.0, 5.4),
        alt="Scatter of made-up rows of each class in two dimensions, with an arrow from each row to its valid answer.",
        caption="Two directions out of many, so points that look close may be far apart. The faint points were made up "
        "by the flow: no real row of the training table is shown.",
    )
