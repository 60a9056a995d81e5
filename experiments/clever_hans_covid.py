"""The two sources of radiographs: where the shortcut lies, and whether a planted mark is found.

124 Covid pictures of many hands beside 1,000 of one archive, halved to 32x32 and split by patient. A classifier
cannot but use what tells the sources apart, and no truth is known of where that lies; so three things are asked. What
can be told from the frame alone, and from the middle alone (classifiers that were trained on nothing else)? How does
the trained classifier do when the frame, or the middle, is painted over? And which share of each map lies outside of
the middle ellipse, which fills half of the area? In a second run a bright mark stands in the corner of every Covid
picture, so that the truth is known.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from counterflow import flows
from counterflow.flows import Flow
from experiments.clever_hans import CASES, accuracies, ellipse, measured, run_tagged, said, share
from experiments.image_data import ImageSet, load_images
from experiments.image_models import RECIPES, Recipe, kept_classifier, kept_flow
from experiments.planted import tagged_set, wipe

__all__ = ["by_class", "flow_of", "masked_set", "run_covid"]

_ROWS = 24
_SHORT = 12  # epochs of the classifiers that are trained here
_SMALL = Recipe(lambda shape, **more: flows.glow(shape, steps=3, hidden=(24, 24), bounds=(0.0, 1.0), **more), epochs=20)


def flow_of(data: ImageSet, keep: Path) -> tuple[str, Flow, dict]:
    """The flow of the set if it is in the folder, else a small one, trained now."""
    name = "flow" if (keep / data.name / "flow.json").exists() else "small_flow"
    return name, *kept_flow(data, keep, name=name, recipe=_SMALL)


def masked_set(data: ImageSet, kept: Tensor, name: str) -> ImageSet:
    """The set with all pixels outside of a mask painted in the mean gray of training."""
    level = int(data.part(0)[0].float().mean().round())
    return replace(data, name=f"{data.name}_{name}", images=wipe(data.images, kept, level))


def by_class(net: nn.Module, data: ImageSet) -> dict[str, object]:
    """The shares of the test pictures of each class that a classifier gets right, and their mean."""
    images, labels = data.part(2)
    right = said(net, data, images) == labels
    shares = {name: share(right[labels == label]) for label, name in enumerate(data.classes)}
    return {**shares, "balanced": sum(one[0] for one in shares.values()) / len(shares), "pictures": len(labels)}


def run_covid(keep: Path) -> tuple[dict, dict]:
    """Both runs; the maps are those of the pictures as they are."""
    data = load_images("covid")
    middle = ellipse(*data.images.shape[-2:])
    net, (flow_name, flow, notes) = kept_classifier(data, keep)[0], flow_of(data, keep)
    result: dict = {"flow": {"name": flow_name, **notes}, "accuracy": _where(net, data, middle, keep)}
    sheets = {}
    images, labels = data.part(2)
    decided = said(net, data, images)
    for name, label in (("covid_to_archive", 1), ("archive_to_covid", 0)):
        part = images[(labels == label) & (decided == label)][:_ROWS]
        target = torch.full((len(part),), 1 - label)
        result[name], sheets[name] = measured(flow, net, data, part, target=target, about=1, mask=~middle)
    result["marked"] = _marked(data, keep)
    return result, sheets


def _where(net: nn.Module, data: ImageSet, middle: Tensor, keep: Path) -> dict[str, object]:
    """Accuracies with parts painted over, of the trained classifier and of some that never saw these parts."""
    sets = {"frame_only": masked_set(data, ~middle, "frame"), "middle_only": masked_set(data, middle, "middle")}
    found: dict[str, object] = {"whole": by_class(net, data)}
    for name, masked in sets.items():
        found[name] = by_class(net, masked)
        fresh = kept_classifier(masked, keep, recipe=replace(RECIPES["covid"], classifier_epochs=_SHORT))[0]
        found[f"trained_on_{name}"] = by_class(fresh, masked)
    return found


def _marked(plain: ImageSet, keep: Path) -> dict[str, object]:
    """The same with a mark in the corner of each Covid picture; the flow goes on from the one of plain pictures."""
    case = CASES["covid"]
    data = tagged_set(plain, case.tag, case.label)

    def again(shape: tuple[int, ...], **more: object) -> Flow:  # of the shape that was kept
        return flows.load(keep / plain.name / name)

    name = flow_of(plain, keep)[0]
    recipe = replace(case.recipe, flow=again, classifier_epochs=_SHORT)
    net, flow = kept_classifier(data, keep, recipe=recipe)[0], kept_flow(data, keep, name=name, recipe=recipe)
    mask = case.tag.mask(*plain.images.shape[-2:])
    found = run_tagged(flow[0], net, data, case=case, mask=mask, rows=_ROWS)[0]
    return {"flow": flow[1], "accuracy": accuracies(net, plain, case), **found}
