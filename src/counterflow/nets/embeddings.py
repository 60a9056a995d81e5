"""Embeddings: networks that turn raw observations into the context of a flow, trained together with it."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import prod
from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.nets.mlp import MLP
from counterflow.nets.observations import ObservationReader
from counterflow.nets.pyramid import ImageEncoder
from counterflow.nets.recurrent import RecurrentEncoder
from counterflow.nets.series import SeriesEncoder
from counterflow.nets.sets import SetEncoder

__all__ = ["Embedding", "EmbeddingLike", "make_embedding"]

_KINDS = ("none", "mlp", "series", "recurrent", "image", "trials")


@dataclass(frozen=True)
class Embedding:
    """Which network reads an observation, and how large it is.

    Args:
        kind: ``"none"`` hands the standardized numbers to the flow as they are; ``"mlp"`` is a perceptron;
            ``"series"`` convolutions along the last axis, for ``(channels, time)``, and ``"recurrent"`` a gated
            recurrent unit along it; ``"image"`` convolutions for ``(channels, height, width)``; ``"trials"`` a function
            of the set of trials, for ``(trials, features)``.
        outputs: Length of what it gives to the flow.
        hidden: Widths (of convolutions: channels) of its hidden layers.

    Raises:
        ArgumentError: If there is no such kind, or a size is not positive.

    Example:
        >>> Embedding("series", outputs=8).hidden
        (64, 64)
    """

    kind: str = "none"
    outputs: int = 32
    hidden: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS:
            known = ", ".join(map(repr, _KINDS))
            raise ArgumentError(f"kind must be one of {known}, got {self.kind!r}. Choose one of these.")
        check_count(self.outputs, "outputs")
        for width in self.hidden:
            check_count(width, "each width of hidden")

    @property
    def config(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {**asdict(self), "hidden": list(self.hidden)}


EmbeddingLike = Embedding | Callable[[], nn.Module]
"""An embedding by name, or a function that builds one of your own: a module from ``(rows, *shape)`` to vectors."""


class _Flat(nn.Module):
    """Numbers in a row, with or without a perceptron behind."""

    def __init__(self, dimensions: int, net: nn.Module | None = None) -> None:
        super().__init__()
        self.dimensions, self.net = dimensions, net

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*out"]:
        flat = x.flatten(-self.dimensions)
        return flat if self.net is None else self.net(flat)


class _Trials(nn.Module):
    """A set of trials, of which those that are missing as a whole are absent."""

    def __init__(self, net: SetEncoder, features: int, *, missing: bool) -> None:
        super().__init__()
        self.net, self.features, self.missing = net, features, missing

    def forward(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*out"]:
        present = (x[..., self.features :] < 1).any(-1) if self.missing else None
        return self.net(x, present)


def make_embedding(
    embedding: EmbeddingLike, reader: ObservationReader, *, generator: torch.Generator | None = None
) -> tuple[nn.Module, int]:
    """Build an embedding for observations as a reader gives them.

    Args:
        embedding: Its settings, or a function that builds it.
        reader: What reads the observations.
        generator: Where weights are drawn from.

    Returns:
        The network, and the length of what it gives.

    Raises:
        ShapeError: If the observations do not have the shape that the embedding is for.

    Example:
        >>> net, length = make_embedding(Embedding("mlp", outputs=4), ObservationReader((7,)))
        >>> net(torch.zeros(5, 7)).shape, length
        (torch.Size([5, 4]), 4)
    """
    shape = reader.read_shape
    if not isinstance(embedding, Embedding):
        net = embedding()
        example = net(torch.zeros(2, *shape))
        if example.dim() != 2 or len(example) != 2:
            raise ShapeError(
                f"embedding must map (rows, {', '.join(map(str, shape))}) to (rows, outputs), got "
                f"{tuple(example.shape)} for 2 rows. Flatten what it gives."
            )
        return net, example.shape[1]
    _check_shape(embedding, shape, trials=reader.trials)
    sizes = {"hidden": embedding.hidden, "generator": generator}
    if embedding.kind == "none":
        return _Flat(len(shape)), prod(shape)
    net = cast("nn.Module", None)
    match embedding.kind:
        case "mlp":
            net = _Flat(len(shape), MLP(prod(shape), embedding.outputs, zero=False, **sizes))
        case "series":
            net = SeriesEncoder(shape[0], embedding.outputs, **sizes)
        case "recurrent":
            net = RecurrentEncoder(shape[0], embedding.outputs, **sizes)
        case "image":
            net = ImageEncoder(
                cast("tuple[int, int, int]", shape), embedding.outputs, widths=embedding.hidden, generator=generator
            )
        case "trials":
            net = _Trials(SetEncoder(shape[1], embedding.outputs, **sizes), reader.shape[1], missing=reader.missing)
    return net, embedding.outputs


def _check_shape(embedding: Embedding, shape: tuple[int, ...], *, trials: bool) -> None:
    wanted = {"series": 2, "recurrent": 2, "image": 3, "trials": 2}.get(embedding.kind, len(shape))
    if len(shape) != wanted:
        form = {"image": "(channels, height, width)", "trials": "(trials, features)"}.get(
            embedding.kind, "(channels, time)"
        )
        raise ShapeError(
            f"an embedding of kind '{embedding.kind}' is for observations of shape {form}, got {shape}. "
            "Reshape the data, or choose another kind."
        )
    if trials != (embedding.kind == "trials"):
        raise ArgumentError(
            f"trials={trials} does not go with an embedding of kind '{embedding.kind}'. Trials are a set, and only "
            "Embedding('trials') reads one; for other data leave trials=False."
        )
