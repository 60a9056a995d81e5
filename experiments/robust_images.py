"""How robust counterfactuals of pictures are: to perturbed pictures, and to a model made to mislead the search.

    python -m experiments.robust_images --keep /tmp/images

*Perturbed pictures* (bundled digits, each to the class that the classifier puts second): noise of several levels, and
perturbations sought to drive two counterfactuals apart, by the gradient through an unrolled search. Measured is by
how much the counterfactual moves for each unit that the picture moves. *A manipulated model* (4 against 9): a network
trained, after Slack et al. (2021), to decide right and to let the search in pixels end near if a fixed small
perturbation was added before; see ``robust_models.py``. Measured is the cost of the counterfactual without and with
the perturbation, for searches in pixels and in the latent of a flow that knows nothing of it.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.counterfactuals import AscentAnswer, evaluate_images, input_ascent, latent_ascent
from counterflow.generators import as_generator
from counterflow.metrics import bootstrap_interval, wilson_interval
from experiments.architectures import right_ones, second_class
from experiments.image_data import ImageSet, dequantize, load_images
from experiments.image_models import kept_classifier, kept_flow
from experiments.images import CONFIDENCE, judges
from experiments.robust_models import Two, kept_pair, log_odds, worst_perturbation
from experiments.tables import machine, results_path

__all__ = ["costs", "movement", "searches"]

_LEVELS = (0.05, 0.1, 0.2)
_WORST_LEVEL = 0.1
_RATES = {"latent": 0.05, "input": 0.01}
_STEPS, _PROXIMITY, _ROWS = 300, 0.03, 24

Search = Callable[[Tensor, Any], AscentAnswer]


def searches(flow: nn.Module, net: nn.Module) -> dict[str, Search]:
    """The four searches: pictures and targets to the record."""
    settings = {"confidence": CONFIDENCE, "max_steps": _STEPS, "clip": (0.0, 1.0)}

    def latent(x: Tensor, target: Any, *, proximity: float = 0.0) -> AscentAnswer:
        more = {"learning_rate": _RATES["latent"], "proximity": proximity, **settings}
        return latent_ascent(flow, net, x, target, **more)

    def pixels(x: Tensor, target: Any, *, proximity: float = 0.0) -> AscentAnswer:
        more = {"learning_rate": _RATES["input"], "proximity": proximity, **settings}
        return input_ascent(net, x, target=target, **more)

    return {
        "latent": latent,
        "latent_near": partial(latent, proximity=_PROXIMITY),
        "input": pixels,
        "input_near": partial(pixels, proximity=_PROXIMITY),
    }


def movement(before: AscentAnswer, after: AscentAnswer, moved: Tensor) -> dict[str, Any]:
    """How far counterfactuals move for a perturbation: over its length, and over the change they are made of."""
    both = before.found & after.found
    apart = _length(after.images - before.images)[both]
    slope = apart / _length(moved)[both]
    return {
        "success": list(wilson_interval(int(after.found.sum()), len(after))),
        "slope_median": [round(number, 3) for number in bootstrap_interval(slope.numpy(), "median")],
        "slope_90": round(float(slope.quantile(0.9)), 3),
        "over_change": round(float((apart / _length(before.images - before.originals)[both]).median()), 4),
        "pictures": int(both.sum()),
    }


def perturbed(data: ImageSet, keep: Path) -> dict[str, Any]:
    """Noise of each level for each search, and sought perturbations for the plain ones."""
    net, flow = kept_classifier(data, keep)[0], kept_flow(data, keep)[0]
    x = right_ones(net, data, 2)[:_ROWS]
    target = second_class(net, x)
    spread = float(dequantize(data.part(0)[0], torch.Generator().manual_seed(0), bits=data.bits).std())
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    noise = noise / _length(noise).view(-1, 1, 1, 1) * spread * x[0].numel() ** 0.5
    result: dict[str, Any] = {"pixel_spread": spread}
    for name, search in searches(flow, net).items():
        before = search(x, target)
        found = {str(level): movement(before, search(x + level * noise, target), level * noise) for level in _LEVELS}
        result[name] = {"success": float(before.found.double().mean()), "l2": _median_l2(before), "noise": found}
        if name in ("latent", "input"):
            generator = as_generator(flow) if name == "latent" else None
            start = _WORST_LEVEL * noise
            worst = worst_perturbation(
                generator, net, x, target=target, start=start, reach=_median_reach(before, name, flow)
            )
            result[name]["sought"] = {"level": _WORST_LEVEL, **movement(before, search(x + worst, target), worst)}
        print(name, json.dumps(result[name]), flush=True)
    return result


def _median_reach(answer: AscentAnswer, name: str, flow: Any) -> float:
    """How far the search went, in the space where it climbs."""
    if name == "input":
        return _median_l2(answer)
    with torch.no_grad():
        start = flow.to_latent(answer.originals)[0]
    return float(_length(answer.latents - start)[answer.found].median())


def costs(searches_: dict[str, Search], x: Tensor, delta: Tensor, *, known: dict) -> dict[str, Any]:
    """What counterfactuals to 9 cost from x and from x + delta, always measured from x, and who else calls them 9."""
    found: dict[str, Any] = {}
    for name, search in searches_.items():
        plain, moved = search(x, 1), search(x + delta, 1)
        both = plain.found & moved.found
        cost = [_length(answer.images - x)[both] for answer in (plain, moved)]
        from_there = _length(moved.images - x - delta)[both]
        found[name] = {
            "success": [float(answer.found.double().mean()) for answer in (plain, moved)],
            "already": sum(status.name == "ALREADY_DESIRED" for status in moved.status),
            "cost": [round(float(one.mean()), 4) for one in (*cost, from_there)],
            "reduction": round(float(cost[0].mean() / cost[1].mean()), 4),
            "agreement": {key: [_share(m, a, both) for a in (plain, moved)] for key, m in known.items()},
        }
    return found


def _share(model: Any, answer: AscentAnswer, rows: Tensor) -> float:
    """How often another model of all ten digits calls the results 9."""
    judged = evaluate_images(answer, 9, models={"other": model})
    return round(float(judged.values["agrees_other"][rows.numpy()].mean()), 4)


def manipulated(data: ImageSet, keep: Path) -> dict[str, Any]:
    """An honest and a manipulated network of 4 against 9, and what each search finds under both."""
    flow, (known, _) = kept_flow(data, keep)[0], judges(data, keep)
    pair = kept_pair(data, keep)
    honest, made, delta = pair.honest, pair.manipulated, pair.delta
    result: dict[str, Any] = {"delta": {"l2": float(delta.norm()), "largest": float(delta.abs().max())}, **pair.notes}
    for name, net in (("honest", honest), ("manipulated", made)):
        x, labels = pair.test
        fours = x[(labels == 0) & (log_odds(net, x) < 0)]
        one = Two(net)
        result[name] = {
            "accuracy": float(((log_odds(net, x) > 0).long() == labels).double().mean()),
            "fours": len(fours),
            "fours_called_9_after_delta": float((log_odds(net, fours + delta) > 0).double().mean()),
            "searches": costs(searches(flow, one), fours, delta, known=known),
        }
        print(name, json.dumps(result[name]), flush=True)
    return result


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1)


def _median_l2(answer: AscentAnswer) -> float:
    return float(_length(answer.images - answer.originals)[answer.found].median())


def main() -> None:
    """Measure both and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    data, begin = load_images("digits"), time.process_time()
    result: dict[str, Any] = {
        "manipulated": manipulated(data, options.keep),
        "perturbed": perturbed(data, options.keep),
    }
    settings = {"confidence": CONFIDENCE, "rates": _RATES, "most_steps": _STEPS, "proximity": _PROXIMITY, "rows": _ROWS}
    head = {"machine": machine(), "settings": settings, "seconds": time.process_time() - begin}
    results_path("robust_images.json").write_text(json.dumps({**head, **result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
