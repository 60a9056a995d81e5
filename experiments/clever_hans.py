"""Does a counterfactual change what the classifier really looks at? Planted tags, and radiographs of two sources.

    python -m experiments.clever_hans digits mnist covid --keep /tmp/images

*Digits* (the bundled ones of 8x8, and MNIST halved to 14x14): every picture of class 8 carries a bright square in a
corner, so that the classifier learns the square in place of the 8. The flow learns the same tagged pictures.
*Radiographs*: the classifier tells Covid pictures from those of one archive, which differ in much besides the
illness; once as they are, once with a mark planted in the corner of each Covid picture. What is measured is the share
of a map that lies on the tag (or outside of the middle ellipse): of the change by ascent in the latent of the flow
and in the pixels, of saliency and of integrated gradients (captum). What is in the folder named by ``--keep`` is not
trained again.
"""

import argparse
import json
import math
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from counterflow import flows
from counterflow.counterfactuals import AscentAnswer, input_ascent, latent_ascent
from counterflow.flows import Flow
from counterflow.metrics import bootstrap_interval, wilson_interval
from experiments.image_data import ImageSet, dequantize, load_images, pixels
from experiments.image_models import RECIPES, Recipe, kept_classifier, kept_flow
from experiments.planted import Tag, attributions, mass_share, plant, saliency, tagged_set
from experiments.tables import machine, results_path

__all__ = ["CASES", "Case", "ellipse", "halved_mnist", "maps_of", "run_tagged"]

_CONFIDENCE, _STEPS = 0.99, 300
_RATES = {"latent": 0.05, "input": 0.01}


@dataclass(frozen=True)
class Case:
    """A set with a tag.

    Args:
        tag: What is planted.
        moved: The same tag at another place, to see whether the place matters.
        label: The class that carries it.
        recipe: How classifier and flow are trained.
    """

    tag: Tag
    moved: Tag
    label: int
    recipe: Recipe


CASES = {
    "digits": Case(Tag(0, 0, 2), Tag(6, 6, 2), 8, RECIPES["digits"]),
    "mnist": Case(
        Tag(0, 0, 3),
        Tag(11, 11, 3),
        8,
        Recipe(
            lambda shape, **more: flows.glow(shape, levels=1, steps=8, hidden=(32, 32), bounds=(0.0, 1.0), **more),
            epochs=12,
            classifier_epochs=8,
        ),
    ),
    "covid": Case(Tag(1, 1, 4), Tag(27, 27, 4), 1, replace(RECIPES["covid"], epochs=6, learning_rate=5e-4)),
}


def halved_mnist(rows: int = 12_000) -> ImageSet:
    """MNIST at 14x14: the first rows of training, 1,000 to validate and 2,000 to test."""
    data = load_images("mnist")
    places = torch.cat([torch.where(data.fold == fold)[0][:n] for fold, n in enumerate((rows, 1000, 2000))])
    small = nn.functional.avg_pool2d(data.images[places].float(), 2).round().to(torch.uint8)
    return replace(data, name="mnist14", images=small, labels=data.labels[places], fold=data.fold[places])


def ellipse(height: int, width: int, *, share: float = 0.5) -> Tensor:
    """The middle ellipse that fills a share of the area: a map of truth values."""
    radius = math.sqrt(share / math.pi)
    y = (torch.arange(height) + 0.5) / height - 0.5
    x = (torch.arange(width) + 0.5) / width - 0.5
    return (y[:, None] ** 2 + x[None] ** 2) <= radius**2


def said(net: nn.Module, data: ImageSet, images: Tensor) -> Tensor:
    """The classes that a classifier gives to bytes."""
    with torch.no_grad():
        return torch.cat([net(pixels(part, bits=data.bits)).argmax(1) for part in images.split(500)])


def share(flags: Tensor) -> list[float]:
    """A share with its 95% interval."""
    return [round(number, 4) for number in wilson_interval(int(flags.sum()), len(flags))]


def accuracies(net: nn.Module, data: ImageSet, case: Case) -> dict[str, list[float]]:
    """What the classifier says when the tag is where it was learned, nowhere, elsewhere, or on every picture."""
    images, labels = data.part(2)
    tagged, others = labels == case.label, labels != case.label
    return {
        "others_right": share(said(net, data, images[others]) == labels[others]),
        "tagged_class_with_tag": share(said(net, data, plant(images[tagged], case.tag)) == case.label),
        "tagged_class_without_tag": share(said(net, data, images[tagged]) == case.label),
        "tagged_class_tag_moved": share(said(net, data, plant(images[tagged], case.moved)) == case.label),
        "others_called_tagged_class": share(said(net, data, images[others]) == case.label),
        "others_with_tag_called_tagged_class": share(said(net, data, plant(images[others], case.tag)) == case.label),
    }


def attack(flow: Flow, net: nn.Module, x: Tensor, target: Tensor) -> dict[str, AscentAnswer]:
    """The ascent in the latent and in the pixels, with the same settings but for the length of steps."""
    settings = {"confidence": _CONFIDENCE, "max_steps": _STEPS, "clip": (0.0, 1.0), "batch_size": 100}
    return {
        "latent": latent_ascent(flow, net, x, target, learning_rate=_RATES["latent"], **settings),
        "input": input_ascent(net, x, target=target, learning_rate=_RATES["input"], **settings),
    }


def maps_of(
    flow: Flow, net: nn.Module, x: Tensor, *, target: Tensor, about: Tensor, mean: Tensor
) -> tuple[dict[str, Tensor], dict[str, AscentAnswer]]:
    """The maps of each method: changes towards ``target``, and attributions of the logit of the class ``about``."""
    answers = attack(flow, net, x, target)
    maps = {name: answer.heatmap.clone() for name, answer in answers.items()}
    for name, answer in answers.items():
        maps[name][~answer.found] = math.nan  # counted among the failures alone
    return {
        **maps,
        **{name: map_.abs().sum(1) for name, map_ in attributions(net, x, about, mean=mean).items()},
    }, answers


def shares(maps: dict[str, Tensor], mask: Tensor) -> dict[str, dict]:
    """For each method the mean share of its maps in a region, and how often the largest value lies there."""
    chance = float(mask.double().mean())
    found: dict[str, dict] = {"chance": {"share": chance}}
    for name, map_ in maps.items():
        map_ = map_[map_.flatten(1).isfinite().all(1)]
        found[name] = {
            "share": [round(number, 4) for number in bootstrap_interval(mass_share(map_, mask).numpy())],
            "largest": share(mask.flatten()[map_.flatten(1).argmax(1)]),
            "pictures": len(map_),
        }
    return found


def measured(
    flow: Flow, net: nn.Module, data: ImageSet, images: Tensor, *, target: Tensor, about: int, mask: Tensor
) -> tuple[dict, dict[str, Tensor]]:
    """Success and shares of some pictures, and the maps for a sheet."""
    x = dequantize(images, torch.Generator().manual_seed(1), bits=data.bits)
    mean = pixels(data.part(0)[0], bits=data.bits).mean(0, keepdim=True)
    logit = torch.full((len(x),), about)
    maps, answers = maps_of(flow, net, x, target=target, about=logit, mean=mean)
    witness = saliency(net, x, logit).sum(1) - maps["saliency"]
    result = {
        "success": {name: share(answer.found) for name, answer in answers.items()},
        "l2": {name: float((a.images - x).flatten(1).norm(dim=1)[a.found].median()) for name, a in answers.items()},
        "share_in_region": shares(maps, mask),
        "saliency_against_autograd": float(witness.abs().max()),
    }
    return result, {
        "original": x,
        "counterfactual": answers["latent"].images,
        "attack": answers["input"].images,
        **maps,
    }


def run_tagged(
    flow: Flow, net: nn.Module, data: ImageSet, *, case: Case, mask: Tensor, rows: int = 60
) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """Tagged pictures to the class that comes second, and pictures of other classes to the tagged one."""
    images, labels = data.part(2)
    decided = said(net, data, images)
    away = images[(labels == case.label) & (decided == case.label)][:rows]
    to = images[(labels != case.label) & (decided == labels)][:rows]
    with torch.no_grad():
        second = net(pixels(away, bits=data.bits)).topk(2, dim=1).indices[:, 1]
    result, sheets = {}, {}
    for name, part, target in (("away", away, second), ("to", to, torch.full((len(to),), case.label))):
        result[name], sheets[name] = measured(flow, net, data, part, target=target, about=case.label, mask=mask)
    return result, sheets


def run_digits(name: str, keep: Path) -> tuple[dict, dict]:
    """Tagged digits, with an untagged classifier and flow as the control where they are kept."""
    case = CASES[name]
    plain = halved_mnist() if name == "mnist" else load_images(name)
    data, mask = tagged_set(plain, case.tag, case.label), case.tag.mask(*plain.images.shape[-2:])
    net, _ = kept_classifier(data, keep, recipe=case.recipe)
    flow, notes = kept_flow(data, keep, recipe=case.recipe)
    result = {"flow": notes, "accuracy": accuracies(net, plain, case)}
    found, sheets = run_tagged(flow, net, data, case=case, mask=mask)
    result.update(found)
    if name == "digits":  # the same measure where nothing was planted
        net, flow = kept_classifier(plain, keep)[0], kept_flow(plain, keep)[0]
        result["control"] = run_tagged(flow, net, plain, case=case, mask=mask)[0]
    return result, sheets


def main() -> None:
    """Train, attack, measure, write and draw."""
    from experiments.clever_hans_covid import run_covid
    from experiments.clever_hans_figure import figure

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=tuple(CASES))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        begin = time.process_time()
        result, sheets = run_covid(options.keep) if name == "covid" else run_digits(name, options.keep)
        settings = {"confidence": _CONFIDENCE, "most_steps": _STEPS, "rates": _RATES, "tag": vars(CASES[name].tag)}
        seconds = {"seconds": time.process_time() - begin}
        path = results_path(f"clever_hans_{name}.json")
        path.write_text(json.dumps({"machine": machine(), "settings": settings, **seconds, **result}, indent=2) + "\n")
        print(json.dumps(result, indent=1), flush=True)
        figure(name, sheets)


if __name__ == "__main__":
    main()
