"""PointFlows of the sets, trained or read from the folder where they are kept."""

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterflow.pointclouds import PointFlow, PointFlowSettings, fit_pointflow
from counterflow.training import TrainingSettings
from experiments.pointflow_data import ShapeSet

__all__ = ["MODELS", "RECIPES", "SETTINGS", "trained"]

_COMMON = {"noise": 0.05, "encoder": (64, 128, 128)}
MODELS: dict[str, dict[str, Any]] = {
    "coupling": {"layers": 6, "hidden": (64, 64)},
    "continuous": {"points": "continuous", "hidden": (128, 128)},
}
_BATCH, _POINTS, _RATE = 16, 192, 3e-3


@dataclass(frozen=True)
class Recipe:
    """How the models of a set are made.

    Args:
        steps: Of the training.
        latent: Numbers in a latent.
        prior_layers: Of the flow over latents.
        mirrored: Whether mirror images are learned from too.
    """

    steps: int
    latent: int = 24
    prior_layers: int = 4
    mirrored: bool = True

    def learned(self, data: ShapeSet) -> Tensor:
        """The clouds to learn from: those of the set, and after them their mirror images, left and right exchanged."""
        other = data.train * torch.tensor([-1.0, 1.0, 1.0])
        return torch.cat([data.train, other]) if self.mirrored else data.train


RECIPES = {
    "solids": Recipe(4000, mirrored=False),
    "furniture": Recipe(12_000),
    "people": Recipe(1500, latent=8, prior_layers=2),
}
SETTINGS = {
    "batch": _BATCH,
    "points_a_cloud": _POINTS,
    "rate": _RATE,
    "sets": {name: asdict(recipe) for name, recipe in RECIPES.items()},
    "every model": _COMMON,
    "models": MODELS,
}


def trained(name: str, kind: str, data: ShapeSet, *, keep: Path | None, seed: int = 0) -> tuple[PointFlow, dict]:
    """A model of one kind for one set, with what is known of its training."""
    folder = None if keep is None else keep / f"{name}-{kind}"
    if folder is not None and (folder / "notes.json").exists():
        return PointFlow.load(folder), json.loads((folder / "notes.json").read_text())
    recipe, generator = RECIPES[name], torch.Generator().manual_seed(seed)
    built = {"latent_features": recipe.latent, "prior_layers": recipe.prior_layers}
    model = PointFlow(PointFlowSettings(**_COMMON, **built, **MODELS[kind]), generator=generator)
    clouds = recipe.learned(data)
    epochs = -(-recipe.steps * _BATCH // len(clouds))
    settings = TrainingSettings(
        max_epochs=epochs, patience=max(30, epochs // 3), learning_rate=_RATE, compile=False, progress=False
    )
    began = time.process_time()
    report = fit_pointflow(
        model,
        clouds,
        objective="flow_matching" if kind == "continuous" else "likelihood",
        points=_POINTS,
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
