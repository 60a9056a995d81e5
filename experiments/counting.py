"""What the counting experiments share: networks that count, questions of more and fewer, measures of the answers."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow.counterfactuals import AscentAnswer, evaluate_images, input_ascent, latent_ascent
from counterflow.flows import Flow
from counterflow.metrics import nearest_neighbors
from counterflow.training import TrainingSettings, optimise
from experiments.image_data import ImageSet, dequantize, pixels
from experiments.image_models import strided_net

__all__ = [
    "COUNTERS",
    "DensityNet",
    "StridedCounter",
    "ask",
    "compared",
    "errors",
    "kept_counter",
    "measured",
    "neighbor_counts",
    "predict",
    "sheet",
]


class DensityNet(nn.Module):
    """A small U-Net whose one map of people per pixel is summed to their number."""

    def __init__(self, *, width: int = 8) -> None:
        super().__init__()
        self.down = nn.ModuleList([_block(1, width), _block(width, 2 * width), _block(2 * width, 3 * width)])
        self.up = nn.ModuleList([_block(5 * width, 2 * width), _block(3 * width, width)])
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Count: (n, 1, height, width) to (n,)."""
        fine = self.down[0](x)
        middle = self.down[1](nn.functional.max_pool2d(fine, 2))
        coarse = self.down[2](nn.functional.max_pool2d(middle, 2))
        middle = self.up[0](torch.cat([_double(coarse), middle], 1))
        fine = self.up[1](torch.cat([_double(middle), fine], 1))
        return nn.functional.softplus(self.head(fine) - 4).sum((1, 2, 3))


class StridedCounter(nn.Module):
    """Another shape of network, which answers the number at once."""

    def __init__(self) -> None:
        super().__init__()
        self.net = strided_net(1, 32, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Count: (n, 1, height, width) to (n,)."""
        return self.net(x)[:, 0]


COUNTERS: dict[str, Callable[[], nn.Module]] = {"density": DensityNet, "strided": StridedCounter}


def _block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(),
    )  # fmt: skip


def _double(x: Tensor) -> Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def _drawn(net: nn.Module, generator: torch.Generator) -> nn.Module:
    """Draw the weights anew as torch would, without its global state."""
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():
                nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return net


def kept_counter(
    data: ImageSet, keep: Path, *, kind: str, epochs: int, seconds: float, mirror: bool = True, seed: int = 0
) -> tuple[nn.Module, dict]:
    """A network that counts, from its folder or trained now on folds 0 and 1, with its errors on the test fold."""
    path = keep / data.name / f"{kind}_{seed}.safetensors"
    generator = torch.Generator().manual_seed(seed)
    net = _drawn(COUNTERS[kind](), generator)
    if path.exists():
        net.load_state_dict(load_file(path))
        return net.eval(), json.loads(path.with_suffix(".json").read_text())
    learned = data.fold < 2
    images, counts = data.images[learned], data.labels[learned].float()

    def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(images), generator=generator).split(64):
            x = dequantize(images[rows], generator, bits=data.bits)
            yield (x.flip(-1) if mirror and torch.rand((), generator=generator) < 0.5 else x), counts[rows]

    def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return nn.functional.smooth_l1_loss(module(batch[0]), batch[1])

    settings = TrainingSettings(
        max_epochs=epochs, patience=epochs, learning_rate=2e-3, weight_decay=1e-2, compile=False,
        time_limit=seconds, progress=False,
    )  # fmt: skip
    begin = time.perf_counter()
    report = optimise(net, loss, batches, settings=settings, generator=generator)
    net.eval()
    notes = {"epochs": report.epochs, "seconds": time.perf_counter() - begin, **errors(net, data)}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in net.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(notes))
    return net, notes


def errors(net: nn.Module, data: ImageSet) -> dict[str, float]:
    """Mean absolute and root mean squared error on the test fold, beside those of the mean count of training."""
    images, counts = data.part(2)
    miss = predict(net, pixels(images, bits=data.bits)) - counts
    blind = data.part(0)[1].double().median() - counts
    return {
        "test_mae": float(miss.abs().mean()),
        "test_rmse": float(miss.square().mean().sqrt()),
        "test_mae_of_the_median": float(blind.abs().mean()),
    }


def predict(net: nn.Module, x: Tensor) -> Tensor:
    """The counts that a network gives."""
    with torch.no_grad():
        return torch.cat([net(part) for part in x.split(128)]).double()


def ask(flow: Flow, net: nn.Module, x: Tensor, target: Tensor, *, confidence: float) -> dict[str, AscentAnswer]:
    """Change pictures until the network counts what is asked, in the latent of the flow and in pixels.

    The steps in pixels are short, so that the attack ends near the first place where the network is content.
    """
    settings = {"confidence": confidence, "clip": (0.0, 1.0), "batch_size": 64}
    return {
        "latent": latent_ascent(flow, net, x, target, learning_rate=5e-2, max_steps=200, **settings),
        "input": input_ascent(net, x, target=target, learning_rate=2e-3, max_steps=300, **settings),
    }


def neighbor_counts(data: ImageSet) -> Callable[[Tensor], Tensor]:
    """The mean count of the ten nearest pictures of training, in pixels."""
    real, counts = data.part(0)
    real, counts = pixels(real, bits=data.bits).numpy(), counts.double()
    return lambda x: counts[torch.from_numpy(nearest_neighbors(x.numpy(), real))].mean(1)


def measured(
    answer: AscentAnswer, flow: Flow, *, witnesses: dict[str, Callable[[Tensor], Tensor]]
) -> dict[str, object]:
    """Measures of the answers that were found; the witnesses, the network itself first, count before and after.

    ``followed`` is the change that a witness sees, for each unit of the change that the network sees: 1 is all of it, 0
    is none. It is a ratio of means over pictures.
    """
    evaluation = evaluate_images(answer, densities={"flow": flow.log_prob})
    found = torch.from_numpy(evaluation.found)
    names = ("steps", "l2", "linf", "changed_pixels", "log_density_flow_before", "log_density_flow")
    medians = {name: float(np.median(evaluation.values[name][evaluation.found])) for name in names}
    said: dict[str, dict[str, float]] = {}
    moved = 0.0
    for name, count in witnesses.items():
        before, after = (count(x[found]).double().mean().item() for x in (answer.originals, answer.images))
        moved = moved or after - before
        said[name] = {"before": before, "after": after, "followed": (after - before) / moved}
    return {"pictures": len(found), "found": float(found.double().mean()), **medians, "counts": said}


def compared(
    answers: dict[str, AscentAnswer], flow: Flow, *, witnesses: dict[str, Callable[[Tensor], Tensor]]
) -> dict[str, object]:
    """The measures of both ways."""
    return {name: measured(answer, flow, witnesses=witnesses) for name, answer in answers.items()}


def sheet(
    answers: dict[str, AscentAnswer], path: Path, *, count: Callable[[Tensor], Tensor], title: str, columns: int = 10
) -> None:
    """Draw pictures before, after either way, and what changed, with their counts: before, latent / input."""
    import matplotlib

    matplotlib.use("Agg")
    from counterflow.plotting import plot_images

    originals = answers["latent"].originals[:columns]
    rows = {"before": originals}
    for name, answer in answers.items():
        rows |= {name: answer.images[:columns], f"{name}: change": 0.5 + (answer.images[:columns] - originals)}
    said = [count(rows[name]).round(decimals=1).tolist() for name in ("before", *answers)]
    captions = [f"{old:.4g} \N{RIGHTWARDS ARROW} {one:.4g} / {two:.4g}" for old, one, two in zip(*said, strict=True)]
    axes = plot_images(
        torch.cat(list(rows.values())), columns=columns, row_names=list(rows), captions=captions, title=title,
        limits=(0.0, 1.0), subtitle="counts: before \N{RIGHTWARDS ARROW} in the latent / in pixels; gray is no change",
    )  # fmt: skip
    axes.figure.savefig(path, dpi=90)
