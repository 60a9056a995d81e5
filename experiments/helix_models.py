"""The helix, flows that learn it, and a classifier of its halves."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.bijections import ActNorm, Autoregressive, Coupling, Permutation, ScaleShift, Spline
from counterflow.flows import Flow
from counterflow.training import TrainingSettings, fit, optimise

__all__ = [
    "FLOWS",
    "REACH",
    "SETTINGS",
    "curve",
    "distance_to_curve",
    "draw",
    "helix_classifier",
    "helix_flow",
    "trained",
]

REACH = 4.0
_ROWS, _BATCH, _RATE = 20_000, 500, 2e-3
_STAGES = ((0.1, 40), (0.03, 40), (0.01, 60))
SETTINGS = {"rows": _ROWS, "batch": _BATCH, "rate": _RATE, "noise_and_epochs": _STAGES}


def curve(t: Tensor) -> Tensor:
    """The point of the helix at each height t."""
    return torch.stack([t.sin(), t.cos(), t], dim=-1)


def draw(rows: int, generator: torch.Generator) -> Tensor:
    """Draw points of the helix."""
    return curve(2 * REACH * (torch.rand(rows, generator=generator) - 0.5))


def distance_to_curve(x: Tensor, *, grid: int = 20_001, steps: int = 5) -> Tensor:
    r"""Measure how far points are from the piece of the helix that the data fill: the best of a grid, then Newton.

    .. math:: d(x) = \min_{|t| \le 4} \lVert x - (\sin t, \cos t, t) \rVert
    """
    x = x.double()
    heights = torch.linspace(-REACH, REACH, grid, dtype=torch.float64)
    t = heights[torch.cat([torch.cdist(part, curve(heights)).argmin(1) for part in x.split(256)])]
    for _ in range(steps):
        slope = x[:, 1] * t.sin() - x[:, 0] * t.cos() + t - x[:, 2]
        bend = x[:, 1] * t.cos() + x[:, 0] * t.sin() + 1
        t = torch.where(bend > 0, t - slope / bend, t).clamp(-REACH, REACH)
    return (x - curve(t)).norm(dim=1)


def _realnvp(generator: torch.Generator) -> Flow:
    """12 couplings whose halves move by turns, and a turn of the columns after every two."""
    layers = [ActNorm(3)]
    for layer in range(12):
        layers.append(Coupling(3, ScaleShift(), flip=layer % 2 == 1, hidden=(64, 64), generator=generator))
        if layer % 2 == 1:
            layers.append(Permutation([1, 2, 0]))
    return flows.compose(layers)


def _spline(generator: torch.Generator) -> Flow:
    return flows.spline_coupling(3, layers=4, hidden=(64, 64), generator=generator)


def _autoregressive(generator: torch.Generator) -> Flow:
    """One map that takes the height first: the easiest there is for this curve."""
    spline = Autoregressive(3, Spline(), hidden=(64, 64), generator=generator)
    return flows.compose([Permutation([2, 0, 1]), ActNorm(3), spline])


FLOWS = {"realnvp": _realnvp, "spline": _spline, "autoregressive": _autoregressive}
"""The paper's family of flow, another that knows as little of the curve, and one that was chosen for it."""


def helix_flow(name: str, *, seed: int = 0) -> tuple[Flow, dict[str, float]]:
    """Train a flow on points of the helix with normal noise, fresh in each batch, that falls from stage to stage."""
    generator = torch.Generator().manual_seed(seed)
    flow, x, seconds, held_out = FLOWS[name](generator), draw(_ROWS, generator), 0.0, 0.0
    for noise, epochs in _STAGES:

        def blur(x: Tensor, generator: torch.Generator, noise: float = noise) -> tuple[Tensor, float]:
            return x + noise * torch.randn(x.shape, generator=generator), 0.0

        report = fit(
            flow,
            x,
            max_epochs=epochs,
            patience=epochs,
            batch_size=_BATCH,
            learning_rate=_RATE,
            compile=False,
            generator=generator,
            progress=False,
            augment=blur,
        )
        seconds, held_out = seconds + report.seconds, -report.best_validation
        print(f"{name}: noise {noise}, held-out log-density {held_out:.3f}, {seconds:.0f} s", flush=True)
    return flow, {"held_out": held_out, "seconds": seconds}


def helix_classifier(*, epochs: int = 30, seed: int = 1) -> tuple[nn.Module, dict[str, float]]:
    """Train the classifier, 3-256-1 with ReLU, as the paper does; it answers one logit of class 1."""
    generator = torch.Generator().manual_seed(seed)
    net = _new_classifier(generator)

    def batches(generator: torch.Generator) -> list[Tensor]:
        return [draw(_BATCH, generator) for _ in range(100)]

    def loss(module: nn.Module, x: Tensor) -> Tensor:
        return nn.functional.binary_cross_entropy_with_logits(module(x)[:, 0], (x[:, 2] > 0).to(x.dtype))

    settings = TrainingSettings(
        max_epochs=epochs, learning_rate=1e-4, schedule="constant", compile=False, progress=False
    )
    report = optimise(net, loss, batches, settings=settings, generator=generator)
    test = draw(20_000, generator)
    with torch.no_grad():
        right = ((net(test)[:, 0] > 0) == (test[:, 2] > 0)).double().mean()
    return net, {"accuracy": float(right), "seconds": report.seconds}


def _new_classifier(generator: torch.Generator) -> nn.Module:
    net = nn.Sequential(nn.Linear(3, 256), nn.ReLU(), nn.Linear(256, 1))
    with torch.no_grad():
        for layer in (net[0], net[2]):
            bound = layer.in_features**-0.5
            for parameter in (layer.weight, layer.bias):
                parameter.copy_(bound * (2 * torch.rand(parameter.shape, generator=generator) - 1))
    return net


def trained(name: str, folder: Path | None) -> tuple[nn.Module, dict[str, float]]:
    """One of the flows, or the ``"classifier"``, with notes of its training; from the folder if it was kept there."""
    weights, notes = (folder or Path()) / f"{name}.safetensors", (folder or Path()) / f"{name}.json"
    if folder is not None and notes.exists():
        module = FLOWS.get(name, _new_classifier)(torch.Generator())
        module.load_state_dict(load_file(weights))
        return module.eval(), json.loads(notes.read_text())
    module, found = helix_classifier() if name == "classifier" else helix_flow(name)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in module.state_dict().items()}, weights)
        notes.write_text(json.dumps(found))
    return module, found
