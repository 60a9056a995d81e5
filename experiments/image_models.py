"""The classifiers and the flows of the picture experiments, and how they are trained and kept.

``python -m experiments.image_models NAME --keep FOLDER`` trains both for a set; what is in the folder is not trained
again.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.flows import Flow
from counterflow.metrics import bits_per_dimension
from counterflow.training import EpochRecord, TrainingSettings, fit, optimise
from experiments.image_data import IMAGE_SETS, ImageSet, dequantize, load_images

__all__ = ["RECIPES", "Recipe", "accuracy", "kept_classifier", "kept_flow", "mean_bits", "strided_net", "usual_net"]


@dataclass(frozen=True)
class Recipe:
    """How the models of a set are made.

    Args:
        flow: From the event shape to a flow.
        epochs: Of the flow.
        batch: Pictures in a batch.
        mirror: Whether pictures are mirrored at random.
        classifier_epochs: Of the classifiers.
        learning_rate: Of the flow.
        rounds: How often the flow is trained so many epochs, with a learning rate that starts anew.
    """

    flow: Callable[..., Flow]
    epochs: int
    batch: int = 128
    mirror: bool = False
    classifier_epochs: int = 20
    learning_rate: float = 1e-3
    rounds: int = 1


def _glow(**settings: object) -> Callable[..., Flow]:
    def make(shape: tuple[int, int, int], **more: object) -> Flow:
        return flows.glow(shape, bounds=(0.0, 1.0), **settings, **more)

    return make


RECIPES = {
    "digits": Recipe(_glow(levels=2, steps=4, hidden=(32, 32)), epochs=60, batch=64, classifier_epochs=60),
    "mnist": Recipe(_glow(steps=8, hidden=(64, 64)), epochs=12, classifier_epochs=5, rounds=3),
    "smile": Recipe(_glow(steps=8, hidden=(64, 64)), epochs=30, mirror=True),
    "utk": Recipe(_glow(steps=8, hidden=(64, 64)), epochs=24, mirror=True),
    "pneumonia": Recipe(_glow(steps=8, hidden=(64, 64)), epochs=40),
    "covid": Recipe(_glow(steps=6, hidden=(48, 48)), epochs=100, batch=64, classifier_epochs=40),
}


def usual_net(channels: int, size: int, outputs: int) -> nn.Sequential:
    """Convolutions and halvings by the largest of four pixels, then two dense layers."""
    widths = (channels, 16, 32, 64) if size > 16 else (channels, 32, 64)
    layers: list[nn.Module] = []
    for a, b in zip(widths, widths[1:], strict=False):
        layers += [nn.Conv2d(a, b, 3, padding=1), nn.BatchNorm2d(b), nn.ReLU(), nn.MaxPool2d(2)]
    last = widths[-1] * (size // 2 ** (len(widths) - 1)) ** 2
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(last, 128), nn.ReLU(), nn.Linear(128, outputs))


def strided_net(channels: int, size: int, outputs: int) -> nn.Sequential:
    """Another shape of network: wide windows with strides, no normalization, the mean of all pixels at the end."""
    layers: list[nn.Module] = [nn.Conv2d(channels, 32, 5, stride=2 if size > 16 else 1, padding=2), nn.GELU()]
    layers += [nn.Conv2d(32, 64, 5, stride=2, padding=2), nn.GELU(), nn.Conv2d(64, 96, 3, padding=1), nn.GELU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(96 * 4, outputs))


NETS = {"usual": usual_net, "strided": strided_net}


def kept_classifier(
    data: ImageSet, keep: Path, *, kind: str = "usual", recipe: Recipe | None = None, seed: int = 0
) -> tuple[nn.Module, dict]:
    """The classifier of a set, from its folder or trained now, with its accuracy on the test fold."""
    recipe = recipe or RECIPES[data.name]
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # noqa: TID251  layers of torch draw from nowhere else; the state is put back
        net = NETS[kind](data.images.shape[1], data.images.shape[-1], len(data.classes))
    path, notes = keep / data.name / f"{kind}_{seed}.safetensors", {}
    if path.exists():
        net.load_state_dict(load_file(path))
        notes = json.loads(path.with_suffix(".json").read_text())
        return net.eval(), notes
    images, labels = data.part(0)
    images, labels = images[labels >= 0], labels[labels >= 0]
    epochs, begin = recipe.classifier_epochs, time.perf_counter()

    def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(images), generator=generator).split(128):
            x = dequantize(images[rows], generator, bits=data.bits)
            yield (x.flip(-1) if recipe.mirror and torch.rand((), generator=generator) < 0.5 else x), labels[rows]

    def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(module(batch[0]), batch[1], label_smoothing=0.0)

    settings = TrainingSettings(
        max_epochs=epochs, patience=epochs, learning_rate=1e-3, weight_decay=1e-2, compile=False, progress=False
    )
    optimise(net, loss, batches, settings=settings, generator=generator, on_epoch=_tell(f"{data.name} {kind}"))
    net.eval()
    notes = {"accuracy": accuracy(net, data), "epochs": epochs, "seconds": time.perf_counter() - begin}
    _keep(net, path, notes)
    return net, notes


def accuracy(net: nn.Module, data: ImageSet, *, fold: int = 2) -> float:
    """The share of a fold that a classifier gets right, with the noise of one gray level."""
    images, labels = data.part(fold)
    images, labels = images[labels >= 0], labels[labels >= 0]
    x = dequantize(images, torch.Generator().manual_seed(0), bits=data.bits)
    with torch.no_grad():
        said = torch.cat([net(part).argmax(1) for part in x.split(1000)])
    return float((said == labels).double().mean())


def kept_flow(
    data: ImageSet, keep: Path, *, name: str = "flow", recipe: Recipe | None = None, seed: int = 0
) -> tuple[Flow, dict]:
    """The flow of a set, from its folder or trained now, with its bits per dimension on the test fold."""
    folder, notes_path = keep / data.name / name, keep / data.name / f"{name}.json"
    if notes_path.exists():
        return flows.load(folder), json.loads(notes_path.read_text())
    recipe = recipe or RECIPES[data.name]
    flow = recipe.flow(tuple(data.images.shape[1:]), generator=torch.Generator().manual_seed(seed))

    def augment(images: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        x = dequantize(images, generator, bits=data.bits)
        return (x.flip(-1) if recipe.mirror and torch.rand((), generator=generator) < 0.5 else x), 0.0

    epochs, seconds = 0, 0.0
    for turn in range(recipe.rounds):
        report = fit(
            flow,
            data.part(0)[0],
            validation=(data.part(1)[0], None),
            max_epochs=recipe.epochs,
            patience=recipe.epochs,
            batch_size=recipe.batch,
            learning_rate=recipe.learning_rate,
            clip=200.0,
            compile=False,
            precision="mixed",
            generator=torch.Generator().manual_seed(seed + turn),
            augment=augment,
            progress=False,
            on_epoch=_tell(f"{data.name} {name}"),
        )
        epochs, seconds = epochs + report.epochs, seconds + report.seconds
    notes = {"bits": mean_bits(flow, data), "epochs": epochs, "seconds": seconds}
    flow.save(folder)
    notes_path.write_text(json.dumps(notes))
    return flow, notes


def mean_bits(flow: nn.Module, data: ImageSet, *, fold: int = 2, rows: int = 2000) -> float:
    """Bits per dimension that a flow needs for a fold (its first rows), one draw of the noise each."""
    images = data.part(fold)[0][:rows]
    x = dequantize(images, torch.Generator().manual_seed(0), bits=data.bits)
    with torch.no_grad():
        nats = torch.cat([flow(part) for part in x.split(256)]).double().mean()
    return float(bits_per_dimension(float(nats), x[0].numel(), step=2.0**-data.bits))


def _tell(what: str) -> Callable[[EpochRecord], None]:
    def tell(record: EpochRecord) -> None:
        print(f"{what}: epoch {record.epoch}, held out {record.validation}, train {record.train:.4f}", flush=True)

    return tell


def _keep(module: nn.Module, path: Path, notes: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in module.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(notes))


def main() -> None:
    """Train what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=tuple(IMAGE_SETS))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--only", choices=("classifiers", "flow"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        data = load_images(name)
        if options.only != "flow":
            for kind in NETS:
                print(name, kind, kept_classifier(data, options.keep, kind=kind)[1], flush=True)
        if options.only != "classifiers":
            print(name, kept_flow(data, options.keep)[1], flush=True)


if __name__ == "__main__":
    main()
