"""One conditional density: what reads the condition, and the flow under it."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["EncodedDensity", "LeafEmbedding", "WithHorizon"]

_START = 0.01
"""Embeddings start near zero: what a leaf does not teach stays out, where random vectors would tell rows apart."""


class EncodedDensity(nn.Module):
    r"""A density of y under what an embedding says of x: :math:`\log q(y \mid e(x))`.

    Args:
        embedding: From the condition, as it was read, to vectors.
        flow: The density under these vectors.
    """

    def __init__(self, embedding: nn.Module, flow: nn.Module) -> None:
        super().__init__()
        self.embedding, self.flow = embedding, flow

    def forward(
        self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each row."""
        return self.flow(y, self.embedding(context))

    @torch.no_grad()
    def initialize(self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None) -> None:
        """Let the layers that start from data see some."""
        self.flow.initialize(y, self.embedding(context))  # type: ignore[operator]


class WithHorizon(nn.Module):
    r"""An embedding of x with a horizon beside it: :math:`[e(x), h]`; conditions come flat, the horizon last.

    Args:
        embedding: Of x alone.
        shape: The shape of x as it is read.
        horizons: How many numbers the horizon has.
    """

    def __init__(self, embedding: nn.Module, shape: tuple[int, ...], horizons: int) -> None:
        super().__init__()
        self.embedding, self.shape, self.horizons = embedding, tuple(shape), horizons

    def forward(self, context: Float[Tensor, "*batch flat"]) -> Float[Tensor, "*batch outputs"]:
        """Embed x, and leave the horizon as it is."""
        split = context.shape[-1] - self.horizons
        x = context[..., :split].unflatten(-1, self.shape)
        return torch.cat([self.embedding(x), context[..., split:]], -1)


class LeafEmbedding(nn.Module):
    r"""One vector for each leaf of each tree, summed over the trees: a linear layer on one-hot leaves, without them.

    .. math:: e(x) = \left[ f(x),\; \tanh\Big( b + \sum_t E_{t, \ell_t(x)} \Big) \right]

    Args:
        sizes: How many leaves each tree has.
        kept: How many numbers stand before the leaves and are handed on as they are.
        width: Length of the vectors.
        generator: Where weights are drawn from.

    Reference:
        Wielopolski, Zieba, "TreeFlow: Going beyond Tree-based Parametric Probabilistic Regression", 2023, section 3.

    Example:
        >>> embedding = LeafEmbedding((2, 4), kept=1, width=3, generator=torch.Generator().manual_seed(0))
        >>> embedding(torch.tensor([[0.5, 1.0, 3.0]])).shape
        torch.Size([1, 4])
    """

    offsets: Tensor

    def __init__(self, sizes: tuple[int, ...], *, kept: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.kept, self.outputs = kept, kept + width
        self.register_buffer("offsets", torch.tensor([0, *sizes[:-1]]).cumsum(0), persistent=False)
        self.vectors = nn.Parameter(_START * torch.randn(sum(sizes), width, generator=generator) / len(sizes) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, context: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows outputs"]:
        """Sum the vectors of the leaves."""
        places = context[:, self.kept :].long() + self.offsets
        summed = nn.functional.embedding_bag(places, self.vectors, mode="sum")
        return torch.cat([context[:, : self.kept], torch.tanh(summed + self.bias)], 1)
