"""The helix: attacks in the latent space of a flow stay on the manifold of the data, attacks in input space leave it.

    python -m experiments.helix --keep /tmp/helix

Data lie on a curve in space: t uniform on (-4, 4), x = (sin t, cos t, t), of class 1 where t > 0. A RealNVP of 12
affine couplings, a spline flow and one autoregressive map that takes the height first learn their law, a network
3-256-1 their class, and points are changed until the network gives the other class 0.9: in the latent space of the
flow and in the space of the points, by steps of one length, of Adam (as the paper has it) and of plain gradient ascent
(of which its theorem speaks). The last step of each is cut where the confidence is 0.9 exactly. What is measured is how
far from the curve they end. Trained weights are kept in the folder named by ``--keep`` and used again from there.
"""

import argparse
import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from counterflow import geometry
from counterflow.counterfactuals import AscentAnswer, input_ascent, latent_ascent
from counterflow.flows import Flow
from experiments import helix_figure
from experiments.helix_models import FLOWS, REACH, SETTINGS, curve, distance_to_curve, draw, trained
from experiments.tables import machine, results_path

__all__ = ["Ended", "attack", "cut_last_step", "measures", "rises_along_curve", "spectrum"]

_CONFIDENCE, _MOST_STEPS = 0.9, 1000
_STEPS = {"adam": 2e-2, "gradient": 2e-3}


class Ended(NamedTuple):
    """An attack, and where it reached the confidence.

    Args:
        answer: The record.
        images: The points with the last step cut.
        probability: Of the other class there.
    """

    answer: AscentAnswer
    images: Tensor
    probability: Tensor


def attack(flow: Flow, classifier: nn.Module, x: Tensor, *, optimizer: str) -> dict[str, Ended]:
    """Change points until the classifier gives the other class 0.9, in the latent and in input space."""
    target = (x[:, 2] <= 0).long()
    settings = {
        "confidence": _CONFIDENCE,
        "learning_rate": _STEPS[optimizer],
        "max_steps": _MOST_STEPS,
        "optimizer": optimizer,
        "keep_path": True,
    }
    latent = latent_ascent(flow, classifier, x, target, **settings)
    direct = input_ascent(classifier, x, target=target, **settings)

    def probability(x: Tensor) -> Tensor:
        return torch.sigmoid((2 * target - 1) * classifier(x)[:, 0])

    with torch.no_grad():
        last = flow.to_latent(_before(latent))[0]
        cut = cut_last_step(last, latent.latents, lambda z: probability(flow.to_data(z)[0]))
        points = {"latent": flow.to_data(cut)[0], "input": cut_last_step(_before(direct), direct.images, probability)}
        return {
            name: Ended(answer, points[name], probability(points[name]))
            for name, answer in {"latent": latent, "input": direct}.items()
        }


def rises_along_curve(classifier: nn.Module, x: Tensor) -> Tensor:
    """Whether the logit of the other class rises all the way along the curve from each point to the middle."""
    heights = torch.linspace(1, 0, 200)[:, None] * x[:, 2]
    with torch.no_grad():
        logits = classifier(curve(heights).flatten(0, 1)).view(heights.shape)
    return (logits.diff(dim=0) * -x[:, 2].sign() > 0).all(dim=0)


def _before(answer: AscentAnswer) -> Tensor:
    """The points one step before the end."""
    return torch.stack([path[-2:][0] for path in answer.path])


def cut_last_step(start: Tensor, end: Tensor, probability: Callable[[Tensor], Tensor], *, halvings: int = 40) -> Tensor:
    """Bisect each step for the point where the probability reaches the confidence; the end where it never does."""
    low, high = torch.zeros(len(start), 1, dtype=start.dtype), torch.ones(len(start), 1, dtype=start.dtype)
    for _ in range(halvings):
        middle = (low + high) / 2
        reached = probability(torch.lerp(start, end, middle))[:, None] >= _CONFIDENCE
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return torch.lerp(start, end, high)


def measures(ended: dict[str, Ended], rising: Tensor) -> dict[str, object]:
    """Success, of all points and of those from which the logit rises along the curve.

    Distances to the curve where both attacks succeeded, at equal confidence and as they ended, and their ratios.
    """
    both = ended["latent"].answer.found & ended["input"].answer.found
    found: dict[str, object] = {"compared": int(both.sum())}
    for name, (answer, images, probability) in ended.items():
        distance, raw = distance_to_curve(images[both]), distance_to_curve(answer.images[both])
        found[name] = {
            "success": float(answer.found.double().mean()),
            "success_where_it_rises": float(answer.found[rising].double().mean()),
            "probability_quartiles": _quartiles(probability[both]),
            "uncut_probability_quartiles": _quartiles(answer.probability[both]),
            "steps": float(answer.steps[both].double().median()),
            "distance_quartiles": _quartiles(distance),
            "distance_largest": float(distance.max()),
            "uncut_distance_quartiles": _quartiles(raw),
            "longest_step_quartiles": _quartiles(_longest_steps(answer)[both]),
            "median_change": float((images - answer.originals)[both].norm(dim=1).median()),
        }
    ratios = {
        name: found["latent"][key][1] / found["input"][key][1]
        for name, key in (("ratio", "distance_quartiles"), ("uncut_ratio", "uncut_distance_quartiles"))
    }
    return {**found, **ratios, "asked": 0.1, "reached": ratios["ratio"] <= 0.1}


def _quartiles(values: Tensor) -> list[float]:
    return torch.quantile(values.double(), torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()


def _longest_steps(answer: AscentAnswer) -> Tensor:
    """The longest step of each point, which tells of a leap from one part of the curve to another."""
    steps = [(path[1:] - path[:-1]).norm(dim=1) for path in answer.path]
    return torch.stack([lengths.max() if len(lengths) else lengths.new_zeros(()) for lengths in steps])


def spectrum(flow: Flow, *, points: int = 41) -> dict[str, object]:
    """Singular values along the curve, the dimension they show, and how the first direction fits the tangent."""
    t = torch.linspace(-0.95 * REACH, 0.95 * REACH, points, dtype=torch.float64)
    x, double = curve(t), copy.deepcopy(flow).double()
    values = geometry.jacobian_singular_values(double, x)
    found = geometry.tangent_space(double, x, dimension=1)[:, 0]
    true = torch.stack([t.cos(), -t.sin(), torch.ones_like(t)], dim=1) / 2**0.5
    return {
        "t": t.tolist(),
        "values": values.tolist(),
        "median_values": values.median(0).values.tolist(),
        "largest_second_to_first": float((values[:, 1] / values[:, 0]).max()),
        "share_of_dimension_one": float((geometry.local_dimension(values) == 1).double().mean()),
        "median_cosine_with_tangent": float((found * true).sum(1).abs().median()),
    }


def neighbors_say(generator: torch.Generator) -> dict[str, float]:
    """The dimension of the data by their nearest neighbors, without noise and with the noise of the last training."""
    data = draw(5000, generator)
    noisy = data + SETTINGS["noise_and_epochs"][-1][0] * torch.randn(data.shape, generator=generator)
    return {
        f"{name}, {neighbors} neighbors": float(
            geometry.pooled_dimension(geometry.neighbor_dimension(x[:1000], x, neighbors=neighbors))
        )
        for name, x in (("data", data), ("noisy", noisy))
        for neighbors in (2, 10, 50)
    }


def main() -> None:
    """Train, attack, measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="the folder of trained weights")
    parser.add_argument("--flows", nargs="*", choices=list(FLOWS), default=list(FLOWS))
    parser.add_argument("--points", type=int, default=100)
    options = parser.parse_args()
    torch.set_num_threads(1)
    classifier, notes = trained("classifier", options.keep)
    x = draw(options.points, torch.Generator().manual_seed(7))
    rising = rises_along_curve(classifier, x)
    found, ended = {"classifier": {**notes, "rises_along_curve": float(rising.double().mean())}}, {}
    for name in options.flows:
        flow, notes = trained(name, options.keep)
        begin = time.perf_counter()
        ended[name] = {optimizer: attack(flow, classifier, x, optimizer=optimizer) for optimizer in _STEPS}
        notes["attack_seconds"] = time.perf_counter() - begin
        compared = {optimizer: measures(attacks, rising) for optimizer, attacks in ended[name].items()}
        found[name] = {**notes, **compared, "spectrum": spectrum(flow)}
        print(name, json.dumps(compared, indent=1), found[name]["spectrum"]["median_values"], flush=True)
    settings = {
        "confidence": _CONFIDENCE,
        "steps": _STEPS,
        "most_steps": _MOST_STEPS,
        "points": options.points,
        **SETTINGS,
    }
    found["neighbor_dimension"] = neighbors_say(torch.Generator().manual_seed(3))
    result = {"machine": machine(), "settings": settings, **found}
    results_path("helix.json").write_text(json.dumps(result, indent=2) + "\n")
    helix_figure.draw({name: ended[name]["gradient"] for name in ended}, found)


if __name__ == "__main__":
    main()
