"""What the forecasts of ``futures.py`` are made by: heads under one encoder, trained once and kept."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from counterflow.bijections import Continuous
from counterflow.core.ode import AdaptiveSolver
from counterflow.nets import Embedding, ImageEncoder, PackedEncoder, RecurrentEncoder
from counterflow.regression import (
    ConditionalFlow,
    ContinuousHead,
    DensityRegression,
    MixtureHead,
    RegFlow,
    SplineHead,
    fit_regression,
)

__all__ = ["METHODS", "PEDESTRIANS", "Rows", "read_scene", "trained"]


def read_scene() -> PackedEncoder:
    """An encoder of the last five places and a map of 16 by 16."""
    generator = torch.Generator().manual_seed(0)
    past = RecurrentEncoder(2, 8, hidden=(16,), generator=generator)
    roads = ImageEncoder((1, 16, 16), 32, widths=(8, 16), generator=generator)
    return PackedEncoder({past: (2, 5), roads: (1, 16, 16)})


_TOLERANCE = 1e-5
_WALK = Embedding("recurrent", outputs=16, hidden=(32,))

METHODS = {
    "RegFlow": RegFlow(read_scene),
    "RegFlow, rank 4": RegFlow(read_scene, rank=4),
    "continuous, FiLM": ConditionalFlow(read_scene, ContinuousHead((64, 64))),
    "spline": ConditionalFlow(read_scene, SplineHead(layers=2)),
    "mixture of 5": ConditionalFlow(read_scene, MixtureHead(5)),
    "normal": ConditionalFlow(read_scene, MixtureHead(1)),
}
"""Every head under the encoder of scenes."""

PEDESTRIANS = {
    "RegFlow, rank 4": RegFlow(_WALK, rank=4),
    "spline": ConditionalFlow(_WALK, SplineHead(layers=2)),
    "mixture of 5": ConditionalFlow(_WALK, MixtureHead(5)),
    "normal": ConditionalFlow(_WALK, MixtureHead(1)),
}
"""Heads under the encoder of eight places."""


class Rows(NamedTuple):
    """What is learned from: conditions, targets, and how long after the condition each target lies."""

    x: Tensor
    y: Tensor
    horizon: Tensor


def trained(
    name: str, rows: Callable[[], Rows] | None, *, methods: dict, seed: int, epochs: int, folder: Path
) -> tuple[DensityRegression, dict[str, object]]:
    """The law of a method, from its folder if it was trained before, and the processor's seconds it took."""
    notes = folder / "notes.json"
    folder.mkdir(parents=True, exist_ok=True)
    embedding = None if isinstance(methods[name].embedding, Embedding) else methods[name].embedding
    if notes.exists():
        law = DensityRegression.load(folder / "law", embedding=embedding)
        return _solved(law, _TOLERANCE), json.loads(notes.read_text())
    if rows is None:
        raise FileNotFoundError(f"{name} was not trained before in {folder}.")
    learned = rows()
    begin = time.process_time()
    law = fit_regression(
        learned.x,
        learned.y,
        method=methods[name],
        horizon=learned.horizon,
        members=1,
        max_epochs=epochs,
        batch_size=256,
        generator=torch.Generator().manual_seed(seed),
        progress=False,
    )
    parameters = sum(weight.numel() for weight in law.ensemble.parameters())
    found = {
        "cpu_seconds": time.process_time() - begin,
        "epochs": law.reports[0].epochs,
        "held_out": law.reports[0].best_validation,
        "weights": parameters,
    }
    law.save(folder / "law")
    notes.write_text(json.dumps(found))
    return _solved(law, _TOLERANCE), found


def _solved(law: DensityRegression, tolerance: float) -> DensityRegression:
    """The law with its equations solved less tightly than usual, to measure many draws."""
    for part in law.ensemble.modules():
        if isinstance(part, Continuous):
            part.solver = AdaptiveSolver(atol=tolerance, rtol=tolerance)
    return law
