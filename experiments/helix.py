"""The helix: attacks in the latent space of a flow stay on the manifold of the data, attacks in input space leave it.

    python -m experiments.helix --keep /tmp/helix

Data lie on a curve in space, without any noise: t uniform on (-4, 4), x = (sin t, cos t, t), of class 1 where t > 0. A
RealNVP of 12 affine couplings learns their law and a network 3-256-1 their class, and points are changed until the
network gives the other class 0.9: in the latent space of the flow and in the space of the points, by steps of one
length, of Adam (as the paper has it) and of plain gradient ascent (of which its theorem speaks). What is measured is
how far from the curve they end. Trained weights are kept in the folder named by ``--keep`` and used again from there.
"""

import argparse
import copy
import json
import time
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows, geometry
from counterflow.bijections import ActNorm, Coupling, Permutation, ScaleShift
from counterflow.counterfactuals import AscentAnswer, input_ascent, latent_ascent
from counterflow.flows import Flow
from counterflow.training import EpochRecord, Logger, TrainingSettings, fit, optimise
from experiments.tables import machine, results_path

__all__ = ["attack", "curve", "distance_to_curve", "draw", "helix_classifier", "helix_flow", "measures", "spectrum"]

_REACH = 4.0
_CONFIDENCE, _MOST_STEPS = 0.9, 300
_STEPS = {"adam": 2e-2, "gradient": 1e-2}
_LAYERS, _HIDDEN = 12, (64, 64)
_ROWS, _BATCH, _EPOCHS, _RATE = 20_000, 500, 100, 2e-3


def curve(t: Tensor) -> Tensor:
    """The point of the helix at each height t."""
    return torch.stack([t.sin(), t.cos(), t], dim=-1)


def draw(rows: int, generator: torch.Generator) -> Tensor:
    """Draw points of the helix."""
    return curve(2 * _REACH * (torch.rand(rows, generator=generator) - 0.5))


def distance_to_curve(x: Tensor, *, grid: int = 20_001, steps: int = 5) -> Tensor:
    r"""Measure how far points are from the piece of the helix that the data fill: the best of a grid, then Newton.

    .. math:: d(x) = \min_{|t| \le 4} \lVert x - (\sin t, \cos t, t) \rVert
    """
    x = x.double()
    heights = torch.linspace(-_REACH, _REACH, grid, dtype=torch.float64)
    t = heights[torch.cat([torch.cdist(part, curve(heights)).argmin(1) for part in x.split(256)])]
    for _ in range(steps):
        slope = x[:, 1] * t.sin() - x[:, 0] * t.cos() + t - x[:, 2]
        bend = x[:, 1] * t.cos() + x[:, 0] * t.sin() + 1
        t = torch.where(bend > 0, t - slope / bend, t).clamp(-_REACH, _REACH)
    return (x - curve(t)).norm(dim=1)


def helix_flow(*, epochs: int = _EPOCHS, rows: int = _ROWS, seed: int = 0) -> tuple[Flow, dict[str, float]]:
    """Train the flow."""
    generator = torch.Generator().manual_seed(seed)
    flow = _new_flow(generator)
    report = fit(
        flow,
        draw(rows, generator),
        max_epochs=epochs,
        patience=epochs,
        batch_size=_BATCH,
        learning_rate=_RATE,
        compile=False,
        generator=generator,
        progress=False,
        on_epoch=_tell("flow"),
    )
    return flow, {"held_out": -report.best_validation, "epochs": report.epochs, "seconds": report.seconds}


def helix_classifier(*, steps: int = 1500, seed: int = 1) -> tuple[nn.Module, dict[str, float]]:
    """Train the classifier, 3-256-1 with ReLU, by binary cross-entropy; it answers one logit of class 1."""
    generator = torch.Generator().manual_seed(seed)
    net = _new_classifier(generator)

    def batches(generator: torch.Generator) -> list[Tensor]:
        return [draw(_BATCH, generator) for _ in range(100)]

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], (x[:, 2] > 0).to(x.dtype))

    settings = TrainingSettings(max_epochs=steps // 100, learning_rate=2e-3, compile=False, progress=False)
    report = optimise(net, loss, batches, settings=settings, generator=generator, on_epoch=_tell("classifier"))
    test = draw(20_000, generator)
    with torch.no_grad():
        right = ((net(test)[:, 0] > 0) == (test[:, 2] > 0)).double().mean()
    return net, {"accuracy": float(right), "seconds": report.seconds}


def _new_flow(generator: torch.Generator) -> Flow:
    """Couplings whose halves move by turns, and a turn of the columns after every two."""
    layers = [ActNorm(3)]
    for layer in range(_LAYERS):
        layers.append(Coupling(3, ScaleShift(), flip=layer % 2 == 1, hidden=_HIDDEN, generator=generator))
        if layer % 2 == 1:
            layers.append(Permutation([1, 2, 0]))
    return flows.compose(layers)


def _new_classifier(generator: torch.Generator) -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 256), nn.ReLU(), nn.Linear(256, 1))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            bound = layer.in_features**-0.5
            for parameter in (layer.weight, layer.bias):
                parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))
    return net


def _tell(what: str) -> Logger:
    def tell(record: EpochRecord) -> None:
        if record.epoch % 5 == 0:
            print(
                f"{what}: epoch {record.epoch}, held-out loss {record.validation}, train {record.train:.4f}", flush=True
            )

    return tell


def trained(folder: Path | None, *, epochs: int) -> tuple[Flow, nn.Module, dict]:
    """The flow and the classifier, from the folder if they were kept there."""
    if folder is not None and (folder / "notes.json").exists():
        flow, classifier = _new_flow(torch.Generator()), _new_classifier(torch.Generator())
        flow.load_state_dict(load_file(folder / "flow.safetensors"))
        classifier.load_state_dict(load_file(folder / "classifier.safetensors"))
        return flow.eval(), classifier.eval(), json.loads((folder / "notes.json").read_text())
    classifier, of_classifier = helix_classifier()
    flow, of_flow = helix_flow(epochs=epochs)
    notes = {"flow": of_flow, "classifier": of_classifier}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in flow.state_dict().items()}, folder / "flow.safetensors")
        save_file(classifier.state_dict(), folder / "classifier.safetensors")
        (folder / "notes.json").write_text(json.dumps(notes))
    return flow, classifier, notes


def attack(flow: Flow, classifier: nn.Module, x: Tensor, *, optimizer: str) -> dict[str, AscentAnswer]:
    """Change points until the classifier gives the other class 0.9, in the latent and in input space."""
    target = (x[:, 2] <= 0).long()
    settings = {
        "confidence": _CONFIDENCE,
        "learning_rate": _STEPS[optimizer],
        "max_steps": _MOST_STEPS,
        "optimizer": optimizer,
        "keep_path": True,
    }
    return {
        "latent": latent_ascent(flow, classifier, x, target, **settings),
        "input": input_ascent(classifier, x, target=target, **settings),
    }


def measures(answers: dict[str, AscentAnswer]) -> dict[str, object]:
    """Distances to the curve where both attacks succeeded, and their ratio."""
    both = answers["latent"].found & answers["input"].found
    found: dict[str, object] = {"compared": int(both.sum())}
    for name, answer in answers.items():
        distance = distance_to_curve(answer.images[both])
        quartiles = torch.quantile(distance, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)).tolist()
        found[name] = {
            "success": float(answer.found.double().mean()),
            "probability": float(answer.probability[both].median()),
            "steps": float(answer.steps[both].double().median()),
            "distance_quartiles": quartiles,
            "distance_largest": float(distance.max()),
            "median_change": float((answer.images - answer.originals)[both].norm(dim=1).median()),
        }
    ratio = found["latent"]["distance_quartiles"][1] / found["input"]["distance_quartiles"][1]
    return {**found, "ratio_of_medians": ratio, "asked": 0.1, "reached": ratio <= 0.1}


def spectrum(flow: Flow, *, points: int = 41) -> dict[str, object]:
    """Singular values along the curve, the dimension they show, and how the first direction fits the tangent."""
    t = torch.linspace(-0.95 * _REACH, 0.95 * _REACH, points, dtype=torch.float64)
    x, double = curve(t), copy.deepcopy(flow).double()
    values = geometry.jacobian_singular_values(double, x)
    tangent = geometry.tangent_space(double, x, dimension=1)[:, 0]
    true = torch.stack([t.cos(), -t.sin(), torch.ones_like(t)], dim=1) / 2**0.5
    return {
        "t": t.tolist(),
        "values": values.tolist(),
        "median_values": values.median(0).values.tolist(),
        "median_second_to_first": float((values[:, 1] / values[:, 0]).median()),
        "dimension_by_gap": geometry.local_dimension(values).tolist(),
        "median_cosine_with_tangent": float((tangent * true).sum(1).abs().median()),
    }


def figure(answers: dict[str, AscentAnswer], found: dict) -> None:
    """Draw the attacks, their distances to the curve and the singular values."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    colors = {"latent": "tab:blue", "input": "tab:red"}
    drawn = plt.figure(figsize=(12, 4))
    space = drawn.add_subplot(1, 3, 1, projection="3d")
    space.plot(*curve(torch.linspace(-_REACH, _REACH, 400)).T.tolist(), color="0.75", linewidth=1)
    boxes, lines = drawn.add_subplot(1, 3, 2), drawn.add_subplot(1, 3, 3)
    for place, (name, answer) in enumerate(answers.items()):
        for way in answer.path[:8]:
            space.plot(*way.T.tolist(), color=colors[name], linewidth=1.2)
        distance = distance_to_curve(answer.images[answer.found]).clamp(min=1e-6)
        boxes.boxplot(distance.numpy(), positions=[place], widths=0.5, patch_artist=True,
                      boxprops={"facecolor": colors[name], "alpha": 0.5}, medianprops={"color": "black"})  # fmt: skip
    space.set_title("eight points, changed")
    boxes.set(yscale="log", title=f"distance to the helix at p = {_CONFIDENCE}", xticks=[0, 1])
    boxes.set_xticklabels([f"{name} space" for name in answers])
    lines.plot(found["t"], found["values"], label=["first", "second", "third"])
    lines.set(yscale="log", title="singular values of dx/dz", xlabel="t")
    lines.legend(frameon=False)
    drawn.tight_layout()
    drawn.savefig(results_path("helix.png"), dpi=110)


def main() -> None:
    """Train, attack, measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="the folder of trained weights")
    parser.add_argument("--epochs", type=int, default=_EPOCHS)
    parser.add_argument("--points", type=int, default=200)
    options = parser.parse_args()
    torch.set_num_threads(1)
    flow, classifier, notes = trained(options.keep, epochs=options.epochs)
    print("trained:", json.dumps(notes), flush=True)
    begin = time.perf_counter()
    x = draw(options.points, torch.Generator().manual_seed(7))
    answers = {optimizer: attack(flow, classifier, x, optimizer=optimizer) for optimizer in _STEPS}
    seconds, shape = time.perf_counter() - begin, spectrum(flow)
    found = {optimizer: measures(answer) for optimizer, answer in answers.items()}
    print(json.dumps(found, indent=2), shape["median_values"], shape["median_cosine_with_tangent"], flush=True)
    settings = {"confidence": _CONFIDENCE, "steps": _STEPS, "most_steps": _MOST_STEPS, "points": options.points}
    settings.update({"layers": _LAYERS, "hidden": _HIDDEN, "batch": _BATCH, "rate": _RATE})
    result = {"machine": machine(), "settings": settings, **notes, "attack_seconds": seconds, **found}
    results_path("helix.json").write_text(json.dumps({**result, "spectrum": shape}, indent=2) + "\n")
    figure(answers["gradient"], shape)


if __name__ == "__main__":
    main()
