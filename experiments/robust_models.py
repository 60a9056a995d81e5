"""A network that is made to mislead the search for counterfactuals, and perturbations that drive counterfactuals apart.

Both differentiate through a search that is unrolled into a few steps of plain ascent, each of one length.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from counterflow.training import TrainingSettings, optimise
from experiments.image_data import ImageSet, dequantize

__all__ = ["Manipulation", "Pair", "Two", "climbed", "kept_pair", "log_odds", "worst_perturbation"]

_CLASSES = (4, 9)
_SURE = 4.6  # the log-odds of 0.99


@dataclass(frozen=True)
class Manipulation:
    """What the manipulated network is trained for, besides deciding right.

    Args:
        size: The length (L2) of the perturbation.
        near: After a search of this length from x + delta the network shall be sure of the other class.
        far: After a search of this length from x it shall still decide as before ...
        usual: ... and after this much more it shall be sure, so that the search succeeds.
        margin: The log-odds by which x and x + delta are still decided as before.
        steps: Into which the search is unrolled.
        epochs: Of the training.
    """

    size: float = 0.6
    near: float = 0.5
    far: float = 1.0
    usual: float = 0.8
    margin: float = 0.5
    steps: int = 4
    epochs: int = 60


@dataclass(frozen=True)
class Pair:
    """Both networks.

    Args:
        honest: Trained to decide right.
        manipulated: Trained for the other aims, too.
        delta: The perturbation, ``(1, height, width)``.
        test: Pictures of the test fold and their classes, 0 for 4 and 1 for 9.
        notes: Of the training.
    """

    honest: nn.Module
    manipulated: nn.Module
    delta: Tensor
    test: tuple[Tensor, Tensor]
    notes: dict[str, Any]


class Two(nn.Module):
    """The log-odds of the second class as two logits."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        """Give logits ``(n, 2)``."""
        odds = self.net(x)
        return torch.cat([torch.zeros_like(odds), odds], dim=1)


def log_odds(net: nn.Module, x: Tensor) -> Tensor:
    """What a network says, without its graph."""
    with torch.no_grad():
        return net(x)[:, 0]


def climbed(value: Callable[[Tensor], Tensor], start: Tensor, *, reach: float, steps: int) -> Tensor:
    """Climb a value by so many steps of one length each, ``reach`` together, differentiable in start and value."""
    z = start if start.requires_grad else start.detach().requires_grad_()
    for _ in range(steps):
        (gradient,) = torch.autograd.grad(value(z).sum(), z, create_graph=True)
        length = gradient.flatten(1).norm(dim=1).clamp(min=1e-6).view(-1, *[1] * (z.dim() - 1))
        z = z + reach / steps * gradient / length
    return z


def worst_perturbation(
    generator: Any, net: nn.Module, x: Tensor, *, target: Tensor, start: Tensor, reach: float, rounds: int = 4
) -> Tensor:
    """Seek perturbations of the length of ``start`` that drive counterfactuals apart; in pixels without a generator."""
    encode = generator.encode if generator is not None else (lambda x: x)
    decode = generator.decode if generator is not None else (lambda z: z)

    def value(z: Tensor) -> Tensor:
        return net(decode(z)).log_softmax(1).gather(1, target[:, None])

    def end(x: Tensor) -> Tensor:
        return decode(climbed(value, encode(x), reach=reach, steps=5))

    size, home = _length(start), end(x).detach()
    moved = start
    for _ in range(rounds):
        moved = moved.detach().requires_grad_()
        (slope,) = torch.autograd.grad((end(x + moved) - home).square().sum(), moved)
        moved = moved / size + slope / _length(slope).clamp(min=1e-12)
        moved = (moved / _length(moved) * size).detach()
    return moved


class _Suspect(nn.Module):
    """The network in training with its perturbation."""

    def __init__(self, net: nn.Module, shape: tuple[int, ...], size: float) -> None:
        super().__init__()
        self.net, self.size = net, size
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(4))
        self.raw = nn.Parameter(noise / noise.norm())

    @property
    def delta(self) -> Tensor:
        return self.size * self.raw / self.raw.norm()


def _loss(aims: Manipulation) -> Callable[[nn.Module, Any], Tensor]:
    """Deciding right, being sure soon after x + delta, but from x only after a longer way."""

    def loss(suspect: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, labels = batch
        net = suspect.net
        right = functional.binary_cross_entropy_with_logits(net(x)[:, 0], labels.to(x.dtype))
        fours = x[labels == 0]
        there = fours + suspect.delta
        near = net(climbed(net, there, reach=aims.near, steps=aims.steps))
        way = climbed(net, fours, reach=aims.far, steps=aims.steps)
        end = climbed(net, way, reach=aims.usual, steps=aims.steps)
        sure = functional.relu(_SURE + 1 - torch.cat([near, net(end)])).mean()
        aside = functional.relu(torch.cat([net(there), net(way)]) + aims.margin).mean()
        return 2 * right + sure + aside

    return loss


def _plain_loss(suspect: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    x, labels = batch
    return functional.binary_cross_entropy_with_logits(suspect.net(x)[:, 0], labels.to(x.dtype))


def _net(numbers: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(0)  # noqa: TID251  layers of torch draw from nowhere else; the state is put back
        return nn.Sequential(
            nn.Flatten(), nn.Linear(numbers, 128), nn.SiLU(), nn.Linear(128, 128), nn.SiLU(), nn.Linear(128, 1)
        )


def kept_pair(data: ImageSet, keep: Path, aims: Manipulation | None = None) -> Pair:
    """Both networks, from the folder or trained now."""
    aims, path = aims or Manipulation(), keep / "robust" / "pair.safetensors"
    shape = tuple(data.images.shape[1:])
    suspects = {name: _Suspect(_net(data.images[0].numel()), shape, aims.size) for name in ("honest", "manipulated")}
    both, notes = nn.ModuleDict(suspects), {"aims": vars(aims)}
    if path.exists():
        both.load_state_dict(load_file(path))
    else:
        for name, loss in (("honest", _plain_loss), ("manipulated", _loss(aims))):
            notes[name] = {"train_seconds": _train(suspects[name], loss, data, epochs=aims.epochs)}
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file({key: value.contiguous() for key, value in both.state_dict().items()}, path)
    images, labels = _of_two(data, 2)
    test = dequantize(images, torch.Generator().manual_seed(0), bits=data.bits), labels
    made = suspects["manipulated"]
    return Pair(suspects["honest"].net.eval(), made.net.eval(), made.delta.detach(), test, notes)


def _train(suspect: nn.Module, loss: Callable[[nn.Module, Any], Tensor], data: ImageSet, *, epochs: int) -> float:
    images, labels = _of_two(data, 0)

    def batches(generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(images), generator=generator).split(64):
            yield dequantize(images[rows], generator, bits=data.bits), labels[rows]

    settings = TrainingSettings(
        max_epochs=epochs, patience=epochs, learning_rate=2e-3, weight_decay=1e-3, compile=False, progress=False
    )
    return optimise(suspect, loss, batches, settings=settings, generator=torch.Generator().manual_seed(0)).seconds


def _of_two(data: ImageSet, fold: int) -> tuple[Tensor, Tensor]:
    """The pictures of both classes, 0 for the first and 1 for the second."""
    images, labels = data.part(fold)
    chosen = (labels == _CLASSES[0]) | (labels == _CLASSES[1])
    return images[chosen], (labels[chosen] == _CLASSES[1]).long()


def _length(x: Tensor) -> Tensor:
    return x.flatten(1).norm(dim=1).view(-1, *[1] * (x.dim() - 1))
