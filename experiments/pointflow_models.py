"""PointFlows of the sets, trained or read from the folder where they are kept."""

import json
import time
from pathlib import Path
from typing import Any

import torch

from counterflow.pointclouds import PointFlow, PointFlowSettings, fit_pointflow
from counterflow.training import TrainingSettings
from experiments.pointflow_data import ShapeSet

__all__ = ["MODELS", "SETTINGS", "trained"]

_COMMON = {"latent_features": 24, "noise": 0.05, "encoder": (64, 128, 128), "prior_layers": 4}
MODELS: dict[str, dict[str, Any]] = {
    "coupling": {"layers": 6, "hidden": (64, 64)},
    "continuous": {"points": "continuous", "hidden": (128, 128)},
}
_STEPS = {"solids": 4000, "furniture": 900, "people": 500}
_POINTS = {"solids": 192, "furniture": 96, "people": 96}
_BATCH, _RATE = 16, 3e-3
SETTINGS = {
    "steps": _STEPS,
    "batch": _BATCH,
    "points_a_cloud": _POINTS,
    "rate": _RATE,
    "every model": _COMMON,
    "models": MODELS,
}


def trained(name: str, kind: str, data: ShapeSet, *, keep: Path | None, seed: int = 0) -> tuple[PointFlow, dict]:
    """A model of one kind for one set, with what is known of its training."""
    folder = None if keep is None else keep / f"{name}-{kind}"
    if folder is not None and (folder / "notes.json").exists():
        return PointFlow.load(folder), json.loads((folder / "notes.json").read_text())
    generator = torch.Generator().manual_seed(seed)
    model = PointFlow(PointFlowSettings(**_COMMON, **MODELS[kind]), generator=generator)
    epochs = -(-_STEPS[name] * _BATCH // len(data.train))
    settings = TrainingSettings(
        max_epochs=epochs, patience=max(30, epochs // 3), learning_rate=_RATE, compile=False, progress=False
    )
    began = time.process_time()
    report = fit_pointflow(
        model,
        data.train,
        objective="flow_matching" if kind == "continuous" else "likelihood",
        points=_POINTS[name],
        batch_size=_BATCH,
        settings=settings,
        generator=generator,
        on_epoch=lambda record: print(name, kind, record, flush=True),
    )
    notes = {
        "loss_for_each_point": report.best_validation,
        "epochs": report.epochs,
        "best_epoch": report.best_epoch,
        "outcome": report.outcome.value,
        "processor_seconds": time.process_time() - began,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    if folder is not None:
        model.save(folder)
        (folder / "notes.json").write_text(json.dumps(notes, indent=1))
    return model, notes
