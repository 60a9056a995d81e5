"""The generators that are compared on digits: how each is built, trained and kept."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows
from counterflow.bijections import Chain, Interval
from counterflow.flows import Flow
from counterflow.generators import VAE, FlowGenerator, Identity, LogisticPixels, conv_vae, fit_vae
from counterflow.metrics import bits_per_dimension
from counterflow.training import TrainingSettings, fit
from experiments.image_data import ImageSet, dequantize
from experiments.image_models import RECIPES

__all__ = ["ARCHITECTURES", "Architecture", "FlatFlow", "held_out_bits", "trained"]

_SHAPE, _NUMBERS, _MARGIN = (1, 8, 8), 64, 0.05


class FlatFlow(nn.Module):
    """A flow of vectors as a generator of pictures.

    Args:
        flow: Its points are the pictures, row after row.
    """

    def __init__(self, flow: Flow) -> None:
        super().__init__()
        self.flow = flow

    def encode(self, x: Tensor) -> Tensor:
        """Give the latents of pictures."""
        return self.flow.to_latent(x.flatten(1))[0]

    def decode(self, z: Tensor) -> Tensor:
        """Give the pictures of latents."""
        return self.flow.to_data(z)[0].view(-1, *_SHAPE)

    def log_prob(self, x: Tensor) -> Tensor:
        """Give the log-density of pictures."""
        return self.flow(x.flatten(1))


@dataclass(frozen=True)
class Architecture:
    """A generator that is compared.

    Args:
        build: From a source of randomness to the untrained generator, or what is trained in its place.
        training: By likelihood, by flow matching, by the evidence lower bound, or not at all.
        epochs: The most passes over the training pictures.
    """

    build: Callable[[torch.Generator], Any]
    training: Literal["likelihood", "matching", "bound", "none"] = "likelihood"
    epochs: int = 60


def _flat(recipe: Callable[..., Flow], **settings: object) -> Callable[[torch.Generator], FlatFlow]:
    """A recipe of vectors behind the same logit as that of the flows of images."""

    def build(generator: torch.Generator) -> FlatFlow:
        flow = recipe(_NUMBERS, generator=generator, **settings)
        assert isinstance(flow.bijection, Chain)
        beyond = _MARGIN / (1 - 2 * _MARGIN)
        logit = Interval(-beyond, 1 + beyond, event_shape=_NUMBERS)
        return FlatFlow(flows.compose([logit, *flow.bijection.parts]))

    return build


def _vae(generator: torch.Generator) -> VAE:
    law = LogisticPixels((0.0, 1.0), levels=16)
    return conv_vae(_SHAPE, latent_features=12, pixels=law, widths=(64, 48, 32), generator=generator)


ARCHITECTURES = {
    "nice": Architecture(_flat(flows.nice, layers=6, hidden=(128, 128))),
    "realnvp": Architecture(_flat(flows.realnvp, layers=6, hidden=(128, 128))),
    "spline": Architecture(_flat(flows.spline_coupling, layers=4, hidden=(96, 96)), epochs=40),
    "image_realnvp": Architecture(
        lambda generator: flows.image_realnvp(
            _SHAPE, levels=1, layers=2, hidden=(16,), bounds=(0.0, 1.0), margin=_MARGIN, generator=generator
        ),
        epochs=20,
    ),
    "glow": Architecture(lambda generator: RECIPES["digits"].flow(_SHAPE, generator=generator)),
    "continuous": Architecture(
        _flat(flows.continuous, hidden=(192, 192), steps=6, activation="silu", divergence="exact"), "matching", 200
    ),
    "vae": Architecture(_vae, "bound"),
    "pixels": Architecture(lambda _: Identity(), "none"),
}
"""Each generator by its name."""


def trained(name: str, data: ImageSet, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The generator, from its folder or trained now, with bits per dimension and seconds of the processor."""
    architecture, path = ARCHITECTURES[name], folder / f"{name}.safetensors"
    model = architecture.build(torch.Generator().manual_seed(0))
    if architecture.training == "none":
        return model, {}
    if path.exists():
        model.load_state_dict(load_file(path))
        return model.eval(), json.loads(path.with_suffix(".json").read_text())
    begin = time.process_time()
    epochs = _TRAINERS[architecture.training](model, data, architecture.epochs)
    seconds = time.process_time() - begin
    model.eval()
    count = sum(parameter.numel() for parameter in model.parameters())
    notes = {"bits": held_out_bits(model, data), "epochs": epochs, "train_seconds": seconds, "weights": count}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)
    path.with_suffix(".json").write_text(json.dumps(notes))
    return model, notes


def held_out_bits(model: Any, data: ImageSet) -> float:
    """Bits per dimension of the test pictures with one draw of noise; of a VAE by its bound with 64 draws."""
    x = dequantize(data.part(2)[0], torch.Generator().manual_seed(0), bits=data.bits)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        bound = isinstance(model, VAE)
        nats = model.importance_bound(x, samples=64, generator=generator) if bound else _log_prob(model)(x)
    return float(bits_per_dimension(float(nats.double().mean()), _NUMBERS, step=2.0**-data.bits))


def _log_prob(model: Any) -> Callable[[Tensor], Tensor]:
    return model.log_prob if isinstance(model, FlatFlow | Flow) else FlowGenerator(model).log_prob


def _augment(data: ImageSet, *, flat: bool) -> Callable[[Tensor, torch.Generator], tuple[Tensor, float]]:
    def augment(images: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
        x = dequantize(images, generator, bits=data.bits)
        return (x.flatten(1) if flat else x), 0.0

    return augment


def _likelihood(model: Any, data: ImageSet, epochs: int) -> int:
    flat = isinstance(model, FlatFlow)
    report = fit(
        model.flow if flat else model,
        data.part(0)[0],
        validation=(data.part(1)[0], None),
        max_epochs=epochs,
        patience=epochs,
        batch_size=64,
        learning_rate=1e-3,
        clip=200.0,
        compile=False,
        generator=torch.Generator().manual_seed(1),
        augment=_augment(data, flat=flat),
        progress=False,
    )
    return report.epochs


def _matching(model: FlatFlow, data: ImageSet, epochs: int) -> int:
    """Flow matching takes rows as they are: every picture with eight draws of the noise."""
    generator = torch.Generator().manual_seed(1)
    train, held = (torch.cat(list(_draws(data.part(fold)[0], data, generator))) for fold in (0, 1))
    assert isinstance(model.flow.bijection, Chain)
    before, *rest = list(model.flow.bijection.parts)  # the logit comes first, and is applied here
    settings = TrainingSettings(max_epochs=epochs, patience=epochs, learning_rate=1e-3, compile=False, progress=False)
    report = flows.fit_flow_matching(
        flows.compose(rest),
        before.to_latent(train)[0],
        validation=(before.to_latent(held)[0], None),
        settings=settings,
        batch_size=512,
        generator=generator,
    )
    return report.epochs


def _draws(images: Tensor, data: ImageSet, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(8):
        yield dequantize(images, generator, bits=data.bits).flatten(1)


def _bound(model: VAE, data: ImageSet, epochs: int) -> int:
    settings = TrainingSettings(max_epochs=epochs, patience=epochs, learning_rate=2e-3, compile=False, progress=False)
    report = fit_vae(
        model,
        data.part(0)[0],
        validation=(data.part(1)[0], None),
        batch_size=64,
        augment=_augment(data, flat=False),
        settings=settings,
        generator=torch.Generator().manual_seed(1),
    )
    return report.epochs


_TRAINERS: dict[str, Callable[[Any, ImageSet, int], int]] = {
    "likelihood": _likelihood,
    "matching": _matching,
    "bound": _bound,
}
