"""The approximate theorem: decoders whose latent has fewer dimensions than the data, beside the circle in space.

An autoencoder with one latent number learns an arc, a variational one with two the whole circle (one number cannot go
round). A step in the latent stays in the image of the decoder's tangent, exactly to first order, and that image turns
to the tangent of the circle as the error of the reconstructions falls: with the noise, and with training.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from counterflow import geometry
from counterflow.generators import AutoencoderGenerator
from counterflow.training import TrainingSettings, optimise
from experiments.circle_data import NOISES, SPACE, circle, draw, gradient_of, logit, normal_share, tangent

__all__ = ["Coder", "Kind", "decoder_measures", "outside_tangent", "study"]

_ROWS, _TEST_ROWS, _BATCH, _RATE, _HIDDEN = 5_000, 2_000, 250, 3e-3, 64
_EPOCHS, _SHORTER = 80, (10, 20, 40)


class Kind(NamedTuple):
    """What is trained: whether with noise in the latent, how many latent numbers, and how far the arc reaches."""

    variational: bool
    latent: int
    reach: float


KINDS = {"autoencoder, arc": Kind(False, 1, 2.5), "variational, circle": Kind(True, 2, math.pi)}


class Coder(nn.Module):
    """An encoder to means and log-variances, a decoder, and the deviation of points from what it decodes."""

    def __init__(self, kind: Kind, generator: torch.Generator) -> None:
        super().__init__()
        self.kind = kind
        self.encoder = _net(3, 2 * kind.latent, generator)
        self.decoder = _net(kind.latent, 3, generator)
        self.log_deviation = nn.Parameter(torch.tensor(-1.0))

    def encode(self, x: Tensor) -> Tensor:
        """The means."""
        return self.encoder(x)[:, : self.kind.latent]

    def decode(self, z: Tensor) -> Tensor:
        """The points."""
        return self.decoder(z)


def _net(inputs: int, outputs: int, generator: torch.Generator) -> nn.Module:
    net = nn.Sequential(
        nn.Linear(inputs, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, _HIDDEN), nn.SiLU(), nn.Linear(_HIDDEN, outputs)
    )
    with torch.no_grad():
        for layer in (net[0], net[2], net[4]):
            for parameter in layer.parameters():
                parameter.copy_(layer.in_features**-0.5 * (2 * torch.rand(parameter.shape, generator=generator) - 1))
    return net


def _squared_error(coder: Coder, batch: tuple[Tensor, Tensor]) -> Tensor:
    return (coder.decode(coder.encode(batch[0])) - batch[0]).square().mean()


def _minus_elbo(coder: Coder, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The negative evidence lower bound up to a constant, one draw of the latent for each point."""
    x, noise = batch
    mean, log_variance = coder.encoder(x).chunk(2, dim=1)
    z = mean + noise * (log_variance / 2).exp()
    misses = (coder.decode(z) - x).square() * (-2 * coder.log_deviation).exp() / 2 + coder.log_deviation
    return (misses.sum(1) + (mean.square() + log_variance.exp() - log_variance - 1).sum(1) / 2).mean()


def train(kind: Kind, *, noise: float, epochs: int, seed: int = 0) -> Coder:
    """Train one coder."""
    generator = torch.Generator().manual_seed(seed)
    coder = Coder(kind, generator)
    x = draw(_ROWS, generator, noise=noise, basis=SPACE, reach=kind.reach)

    def batches(generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
        order = torch.randperm(_ROWS, generator=generator).split(_BATCH)
        return [(x[rows], torch.randn(len(rows), kind.latent, generator=generator)) for rows in order]

    settings = TrainingSettings(max_epochs=epochs, patience=epochs, learning_rate=_RATE, compile=False, progress=False)
    optimise(
        coder, _minus_elbo if kind.variational else _squared_error, batches, settings=settings, generator=generator
    )
    return coder.double()


def decoder_measures(coder: Coder, *, noise: float, rows: int = _TEST_ROWS, seed: int = 7) -> dict[str, float]:
    """How well a coder gives back points, and where a step in its latent leads."""
    generator = AutoencoderGenerator(coder.encode, coder.decode)
    x = draw(rows, torch.Generator().manual_seed(seed), noise=noise, basis=SPACE, reach=coder.kind.reach).double()
    with torch.no_grad():
        z = generator.encode(x)
        back = generator.decode(z)
    slope, gradient, along = geometry.jacobian(generator.decode, z), gradient_of(back), tangent(back, basis=SPACE)
    step = (slope @ (slope.mT @ gradient[..., None]))[..., 0]
    share, whole, half = normal_share(step, along), *(outside_tangent(coder, z, rate) for rate in (0.02, 0.01))
    return {
        "reconstruction_error": float((back - x).square().sum(1).mean().sqrt()),
        "reconstruction_from_circle": float(_distance(back).square().mean().sqrt()),
        "latent_share": float(share.mean()),
        "latent_share_median": float(share.median()),
        "input_share": float(normal_share(gradient, along).mean()),
        "outside_tangent": float(whole.median()),
        "outside_tangent_whole_to_half": float((whole / half).median()),
    }


def outside_tangent(coder: Coder, z: Tensor, rate: float) -> Tensor:
    """How much of a finite step in the latent lies outside the decoder's tangent, as a length."""
    slope = geometry.jacobian(coder.decode, z)
    start = z.detach().requires_grad_()
    objective = nn.functional.logsigmoid(logit(coder.decode(start))).sum()
    (gradient,) = torch.autograd.grad(objective, start)
    with torch.no_grad():
        step = coder.decode(z + rate * gradient) - coder.decode(z)
    inside = slope @ torch.linalg.lstsq(slope, step[..., None]).solution
    return (step - inside[..., 0]).norm(dim=1)


def _distance(x: Tensor) -> Tensor:
    first, second = (x @ SPACE.to(x)).unbind(-1)
    return (x - circle(torch.atan2(second, first), basis=SPACE)).norm(dim=1)


def study() -> dict[str, dict[str, list[dict[str, float]]]]:
    """For each kind: the noise falls at full training, and training grows at the least noise."""
    found = {}
    for name, kind in KINDS.items():
        runs = {"noise": [(noise, _EPOCHS) for noise in NOISES]}
        runs["training"] = [(NOISES[-1], epochs) for epochs in (*_SHORTER, _EPOCHS)]
        found[name] = {what: [_run(kind, noise, epochs) for noise, epochs in these] for what, these in runs.items()}
    return found


def _run(kind: Kind, noise: float, epochs: int) -> dict[str, float]:
    measured = decoder_measures(train(kind, noise=noise, epochs=epochs), noise=noise)
    print(kind, noise, epochs, measured, flush=True)
    return {"noise": noise, "epochs": epochs, **measured}
