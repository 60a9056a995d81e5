"""The autoencoders, the flows and the judges of the plug-in, trained or read from the folder where they are kept."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.generators import NormalPixels, conv_vae, fit_vae
from counterflow.latent import ClassAttribute, LatentFlow, fit_latent_flow, learn_attributes
from counterflow.training import EpochRecord, TrainingSettings, optimise
from experiments.image_models import usual_net
from experiments.plugin_data import Part, PluginSet

__all__ = ["RECIPES", "Judge", "Recipe", "kept_autoencoder", "kept_flow", "kept_judge"]


@dataclass(frozen=True)
class Recipe:
    """How the models of a set are made.

    Args:
        latent: Numbers in a latent.
        deviation: Of the pixels' normal law, which sets how much of an image a latent keeps.
        widths: Of the autoencoder.
        epochs: Of the autoencoder.
        rate: Its learning rate.
        layers: Of the flow.
        hidden: Its nets.
        flow_epochs: Of the flow.
        noise: Noise in latents while the flow learns.
        judge_epochs: Of the judge.
    """

    latent: int
    deviation: float
    widths: tuple[int, ...]
    epochs: int
    rate: float = 2e-3
    layers: int = 4
    hidden: tuple[int, ...] = (128, 128)
    flow_epochs: int = 60
    noise: float = 0.1
    judge_epochs: int = 20


RECIPES = {
    "digits": Recipe(12, 0.12, (64, 48, 32), 100, rate=3e-3, flow_epochs=150, noise=0.2, judge_epochs=60),
    "mnist": Recipe(16, 0.15, (48, 24, 12), 40, hidden=(96, 96), flow_epochs=40, noise=0.2, judge_epochs=6),
    "smile": Recipe(
        48, 0.1, (32, 24, 16, 8), 50, layers=2, hidden=(64, 64), flow_epochs=40, noise=0.5, judge_epochs=20
    ),
    "utk": Recipe(48, 0.1, (48, 32, 24, 12), 60, layers=2, hidden=(64, 64), flow_epochs=40, noise=0.6, judge_epochs=20),
    "modelnet10": Recipe(24, 0.0, (), 80, flow_epochs=60, judge_epochs=60),
}


class Judge(nn.Module):
    """A network that tells every attribute of a point, trained on points that the plug-in never saw.

    Args:
        net: From points to as many numbers as classes, and one for each attribute that is a number.
        attributes: What they say.
    """

    def __init__(self, net: nn.Module, attributes: Any) -> None:
        super().__init__()
        self.net, self.attributes = net, attributes

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Logits of classes, and standardized numbers."""
        widths = [member.width if isinstance(member, ClassAttribute) else 1 for member in self.attributes.members]
        return dict(zip(self.attributes.names, self.net(x).split(widths, 1), strict=True))

    @torch.no_grad()
    def tell(self, x: Tensor) -> dict[str, Tensor]:
        """Classes and numbers, in the units of the data."""
        said: dict[str, list[Tensor]] = {name: [] for name in self.attributes.names}
        for part in x.split(500):
            for name, answer in self(part).items():
                said[name].append(answer)
        return {name: self._read(name, torch.cat(answers)) for name, answers in said.items()}

    def _read(self, name: str, answer: Tensor) -> Tensor:
        member = self.attributes.member(name)
        if isinstance(member, ClassAttribute):
            return torch.tensor(member.classes)[answer.argmax(1)]
        return member.center + member.scale * answer[:, 0]

    def loss(self, x: Tensor, known: dict[str, Tensor]) -> Tensor:
        """Cross-entropies of classes and squared errors of numbers."""
        total = torch.zeros(())
        for name, answer in self(x).items():
            member = self.attributes.member(name)
            if isinstance(member, ClassAttribute):
                places = torch.searchsorted(torch.tensor(member.classes), known[name])
                total = total + nn.functional.cross_entropy(answer, places)
            else:
                total = total + ((known[name] - member.center) / member.scale - answer[:, 0]).square().mean()
        return total


class _CloudNet(nn.Module):
    """Points one by one, the largest of each feature over the cloud, and a perceptron: no order of points matters."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.each = nn.Sequential(nn.Linear(3, 64), nn.ReLU(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 256))
        self.whole = nn.Sequential(nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Dropout(0.3), nn.Linear(128, outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.whole(self.each(x).amax(1))


def kept_autoencoder(data: PluginSet, keep: Path) -> tuple[nn.Module, dict]:
    """The autoencoder of the half to learn from."""
    recipe, generator = RECIPES[data.name], torch.Generator().manual_seed(0)
    if data.learn.x.dim() == 3:
        return _point_flow(data, keep)
    pixels = NormalPixels((0.0, 1.0), deviation=recipe.deviation, learned=False)
    shape = tuple(data.learn.x.shape[1:])
    vae = conv_vae(shape, latent_features=recipe.latent, pixels=pixels, widths=recipe.widths, generator=generator)

    def learn() -> dict:
        settings = _settings(recipe.epochs, recipe.rate)
        part = data.learn
        report = fit_vae(vae, part.x, batch_size=64, settings=settings, generator=generator, on_epoch=_tell("vae"))
        return {"bound": -report.best_validation, "epochs": report.epochs}

    return vae, _kept(vae, keep / data.name / "autoencoder", learn)


def _point_flow(data: PluginSet, keep: Path) -> tuple[nn.Module, dict]:
    from counterflow.pointclouds import PointFlow, PointFlowSettings, fit_pointflow

    recipe, generator = RECIPES[data.name], torch.Generator().manual_seed(0)
    settings = PointFlowSettings(latent_features=recipe.latent, noise=0.05, layers=6, hidden=(64, 64), prior_layers=2)
    model = PointFlow(settings, generator=generator)

    def learn() -> dict:
        report = fit_pointflow(
            model,
            data.learn.x,
            points=192,
            batch_size=16,
            settings=_settings(recipe.epochs, recipe.rate),
            generator=generator,
            on_epoch=_tell("point flow"),
        )
        return {"loss_for_each_point": report.best_validation, "epochs": report.epochs}

    return _Fixed(model, data.learn.x.shape[1]), _kept(model, keep / data.name / "autoencoder", learn)


class _Fixed(nn.Module):
    """A point flow that decodes as many points as it was given."""

    def __init__(self, model: nn.Module, points: int) -> None:
        super().__init__()
        self.model, self.points = model, points

    def encode(self, x: Tensor) -> Tensor:
        return self.model.encode(x)

    def decode(self, z: Tensor) -> Tensor:
        return self.model.decode(z, self.points)


def kept_flow(data: PluginSet, autoencoder: nn.Module, keep: Path) -> tuple[LatentFlow, dict]:
    """The flow of the autoencoder's latents, of the same half."""
    recipe, folder = RECIPES[data.name], keep / data.name / "plugin"
    notes = folder.with_suffix(".json")
    if notes.exists():
        return LatentFlow.load(folder, autoencoder), json.loads(notes.read_text())
    begin = time.process_time()
    part = data.learn.mirrored() if data.mirror else data.learn
    latent = fit_latent_flow(
        autoencoder,
        part.x,
        attributes=part.known,
        flow=partial(flows.spline_coupling, layers=recipe.layers, hidden=recipe.hidden),
        hide=0.2 if len(part.known) > 1 else 0.05,
        noise=recipe.noise,
        settings=_settings(recipe.flow_epochs, 3e-3),
        generator=torch.Generator().manual_seed(0),
        on_epoch=_tell("flow"),
    )
    told = {"epochs": latent.report.epochs, "held_out_nats": -latent.report.best_validation}
    told["processor_seconds"] = time.process_time() - begin
    latent.save(folder)
    notes.write_text(json.dumps(told))
    return latent, told


def kept_judge(data: PluginSet, keep: Path) -> tuple[Judge, dict]:
    """The judge of the other half, with what it is worth on real test points."""
    recipe, generator = RECIPES[data.name], torch.Generator().manual_seed(5)
    attributes = learn_attributes(data.judge.known)
    outputs = sum(member.width if isinstance(member, ClassAttribute) else 1 for member in attributes.members)
    with torch.random.fork_rng():
        torch.manual_seed(5)  # noqa: TID251  layers of torch draw from nowhere else; the state is put back
        x = data.judge.x
        net = _CloudNet(outputs) if x.dim() == 3 else usual_net(x.shape[1], x.shape[-1], outputs)
    judge = Judge(net, attributes)

    def batches(generator: torch.Generator) -> Iterator[Part]:
        for rows in torch.randperm(len(data.judge.x), generator=generator).split(64):
            part = data.judge.rows(rows)
            level = 0.1 * torch.rand((), generator=generator) * (1 if part.x.dim() == 4 else 0.3)
            noisy = part.x + level * torch.randn(part.x.shape, generator=generator)
            flipped = data.mirror and torch.rand((), generator=generator) < 0.5
            yield Part(noisy.flip(-1) if flipped else noisy, part.known)

    def learn() -> dict:
        settings = _settings(recipe.judge_epochs, 1e-3, decay=1e-2)
        optimise(
            judge,
            lambda module, part: module.loss(part.x, part.known),
            batches,
            settings=settings,
            generator=generator,
            on_epoch=_tell("judge"),
        )
        return {"epochs": recipe.judge_epochs}

    notes = _kept(judge, keep / data.name / "judge", learn)
    return judge.eval(), notes


def _settings(epochs: int, rate: float, *, decay: float = 0.0) -> TrainingSettings:
    return TrainingSettings(
        max_epochs=epochs, patience=20, learning_rate=rate, weight_decay=decay, compile=False, progress=False
    )


def _kept(module: nn.Module, path: Path, learn: Callable[[], dict]) -> dict:
    """Weights from a file, or learned and written there; and what was noted."""
    weights, notes = path.with_suffix(".safetensors"), path.with_suffix(".json")
    if weights.exists():
        module.load_state_dict(load_file(weights))
        return json.loads(notes.read_text())
    begin = time.process_time()
    told = {**learn(), "processor_seconds": time.process_time() - begin}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.clone().contiguous() for name, value in module.state_dict().items()}, weights)
    notes.write_text(json.dumps(told))
    return told


def _tell(what: str) -> Callable[[EpochRecord], None]:
    def tell(record: EpochRecord) -> None:
        print(f"{what}: epoch {record.epoch}, held out {record.validation}, train {record.train:.4f}", flush=True)

    return tell
