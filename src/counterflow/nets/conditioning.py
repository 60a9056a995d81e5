"""How time and context steer the hidden layers of a velocity: joined to the input, as gates, or as the weights."""

from abc import ABC, abstractmethod
from itertools import pairwise
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.errors import ArgumentError
from counterflow.nets.linear import make_linear
from counterflow.nets.mlp import MLP

__all__ = ["AbstractConditioning", "Concat", "Hypernetwork", "Layer", "Modulation", "make_conditioning"]

Tensors = tuple[Tensor, ...]


class Layer(NamedTuple):
    r"""One affine layer at one time: :math:`h \mapsto g \odot (W h + b) + s`, with W shared or one for each row.

    Args:
        weight: W, shape (outputs, inputs) or (\*rows, outputs, inputs).
        bias: b, broadcasts with the outputs.
        gate: g, one for each row, or ``None`` for one.
        shift: s, one for each row, or ``None`` for zero.
    """

    weight: Tensor
    bias: Tensor | None
    gate: Tensor | None = None
    shift: Tensor | None = None

    def apply(self, h: Tensor) -> Tensor:
        """Apply the layer to hidden states of shape (*lead, inputs)."""
        if self.weight.dim() > 2:
            h = torch.einsum("...i,...oi->...o", h, self.weight)
            h = h if self.bias is None else h + self.bias
        elif self.shift is not None and self.gate is None and h.dim() == 2 and self.shift.shape[0] == h.shape[0]:
            return torch.addmm(self.shift, h, self.weight.t())
        else:
            h = functional.linear(h, self.weight, self.bias)
        if self.gate is not None:
            return h * self.gate if self.shift is None else torch.addcmul(self.shift, h, self.gate)
        return h if self.shift is None else h + self.shift


class AbstractConditioning(nn.Module, ABC):
    """What a velocity's hidden layers are at a given time under a given context."""

    @abstractmethod
    def bind(self, layers: list[nn.Linear], context: Tensor | None) -> tuple[Tensors, Tensors]:
        """Do the work that does not depend on time: give tensors of the rows (with one own dimension), and of all."""

    @abstractmethod
    def layers(self, t: Tensor, rows: Tensors, weights: Tensors) -> list[Layer]:
        """Give all layers at times of shape (*lead, 1)."""


class Concat(AbstractConditioning):
    r"""Join time and context to the input: :math:`W_1 [x, t, c] + b_1`.

    Args:
        width: Width of the first layer.
        context_features: Length of the context.
        generator: Where the weights are drawn from.
    """

    def __init__(self, width: int, context_features: int, *, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.joined = _weight(1 + context_features, width, generator)

    def bind(self, layers: list[nn.Linear], context: Tensor | None) -> tuple[Tensors, Tensors]:
        """Compute the context's part of the first layer."""
        weights = (self.joined[:, 0], *(x for layer in layers for x in (layer.weight, layer.bias)))
        if context is None:
            return (), weights
        return (functional.linear(context, self.joined[:, 1:], layers[0].bias),), weights

    def layers(self, t: Tensor, rows: Tensors, weights: Tensors) -> list[Layer]:
        """Shift the first layer."""
        pace, first, bias, *others = weights
        shift = torch.addcmul(rows[0] if rows else bias, t, pace)
        return [Layer(first, None, None, shift), *map(Layer, others[::2], others[1::2])]


class Modulation(AbstractConditioning):
    r"""Gate and shift every hidden layer: :math:`g(t, c) \odot (W h + b) + s(t, c)`.

    The gates are :math:`\sigma(a)` (``squash``, as in FFJORD and PointFlow) or :math:`1 + a` (FiLM), for an affine
    function a of time and context. The last layer has none, so that its weights stay the same for all rows.

    Args:
        widths: Widths of the hidden layers.
        context_features: Length of the context.
        squash: Whether the gates lie in (0, 1).
        generator: Where the weights are drawn from.

    Reference:
        Grathwohl et al., "FFJORD", 2019, appendix B.1 (concatsquash); Perez et al., "FiLM", 2018, equation 1.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        context_features: int,
        *,
        squash: bool,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.widths, self.squash = widths, squash
        self.gates = make_linear(1 + context_features, sum(widths), generator=generator)
        self.shifts = _weight(1 + context_features, sum(widths), generator)

    def bind(self, layers: list[nn.Linear], context: Tensor | None) -> tuple[Tensors, Tensors]:
        """Compute the context's part of gates and shifts."""
        weights = torch.cat((self.gates.weight, self.shifts))
        bias = functional.pad(self.gates.bias, (0, sum(self.widths)))
        own = tuple(x for layer in layers for x in (layer.weight, layer.bias))
        if context is None:
            return (), (weights[:, 0], bias, *own)
        return (functional.linear(context, weights[:, 1:], bias),), (weights[:, 0], bias, *own)

    def layers(self, t: Tensor, rows: Tensors, weights: Tensors) -> list[Layer]:
        """Give every hidden layer its gates and shifts."""
        pace, bias, *own = weights
        gates, shifts = torch.addcmul(rows[0] if rows else bias, t, pace).chunk(2, -1)
        gates = gates.sigmoid() if self.squash else 1 + gates
        hidden = zip(gates.split(self.widths, -1), shifts.split(self.widths, -1), strict=True)
        steered = [Layer(w, b, *at) for w, b, at in zip(own[:-2:2], own[1:-2:2], hidden, strict=True)]
        return [*steered, Layer(own[-2], own[-1])]


class Hypernetwork(AbstractConditioning):
    r"""Let a net of the context emit weights: :math:`W(c) = W + \Delta(c)`, or :math:`W + U(c) V` of a low rank.

    Time is joined to the input. The net runs once for every context, not once for every evaluation.

    Args:
        widths: Widths of all layers, from the features to the features.
        context_features: Length of the context, at least 1.
        hidden: Widths of the hidden layers of the net that emits.
        rank: The rank of what is emitted; ``None`` for the full rank.
        generator: Where the weights are drawn from.

    Reference:
        Ha, Dai, Le, "HyperNetworks", 2017, section 3.1.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        context_features: int,
        *,
        hidden: tuple[int, ...] = (32,),
        rank: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.rank = rank
        self.sizes = [(b, a + (i == 0)) for i, (a, b) in enumerate(pairwise(widths))]
        emitted = sum(outputs * (1 + (inputs if rank is None else rank)) for outputs, inputs in self.sizes)
        self.emitter = MLP(0, emitted, hidden=hidden, context_features=context_features, generator=generator)
        self.pace = nn.Parameter(_weight(1, widths[1], generator)[:, 0].detach())
        if rank is not None:
            self.bases = nn.ParameterList(_weight(inputs, rank, generator) for _, inputs in self.sizes)

    def bind(self, layers: list[nn.Linear], context: Tensor | None) -> tuple[Tensors, Tensors]:
        """Emit the weights, flat."""
        if context is None:
            raise ArgumentError("a hypernetwork must have a context, got None. Build it with context_features=.")
        flat = self.emitter(context.new_zeros(0), context)
        parts, rows = iter(flat.split(self._lengths(), -1)), []
        for i, layer in enumerate(layers):
            weight = torch.cat((layer.weight, self.pace[:, None]), 1) if i == 0 else layer.weight
            emitted, bias = next(parts), next(parts)
            if self.rank is not None:
                emitted = (emitted.unflatten(-1, (len(weight), self.rank)) @ self.bases[i]).flatten(-2)
            rows += [emitted + weight.flatten(), bias + layer.bias]
        return tuple(rows), ()

    def layers(self, t: Tensor, rows: Tensors, weights: Tensors) -> list[Layer]:
        """Fold the flat weights; time shifts the first layer."""
        folded = [w.unflatten(-1, size) for w, size in zip(rows[::2], self.sizes, strict=True)]
        first = Layer(folded[0][..., :-1], rows[1], None, t * folded[0][..., -1])
        return [first, *map(Layer, folded[1:], rows[3::2])]

    def _lengths(self) -> list[int]:
        return [
            n
            for outputs, inputs in self.sizes
            for n in (outputs * (inputs if self.rank is None else self.rank), outputs)
        ]


def _weight(inputs: int, outputs: int, generator: torch.Generator | None) -> nn.Parameter:
    """The weights of a linear layer without a bias."""
    return cast("nn.Parameter", make_linear(inputs, outputs, generator=generator).weight)


def make_conditioning(
    kind: str,
    widths: tuple[int, ...],
    context_features: int,
    *,
    rank: int | None = None,
    generator: torch.Generator | None = None,
) -> AbstractConditioning:
    """Make the conditioning of a velocity by name.

    Args:
        kind: ``"concat"``, ``"squash"``, ``"film"`` or ``"hypernetwork"``.
        widths: Widths of all layers, from the features to the features.
        context_features: Length of the context.
        rank: For a hypernetwork, the rank of what it emits; ``None`` for the full rank.
        generator: Where the weights are drawn from.

    Returns:
        The conditioning.

    Raises:
        ArgumentError: If there is none of that name, or a hypernetwork has no context.

    Example:
        >>> make_conditioning("film", (2, 8, 2), 1)
        Modulation(
          (gates): Linear(in_features=2, out_features=8, bias=True)
        )
    """
    if kind == "concat":
        return Concat(widths[1], context_features, generator=generator)
    if kind in ("squash", "film"):
        return Modulation(widths[1:-1], context_features, squash=kind == "squash", generator=generator)
    if kind != "hypernetwork":
        raise ArgumentError(
            f"conditioning must be 'concat', 'squash', 'film' or 'hypernetwork', got {kind!r}. Choose one of these."
        )
    if context_features == 0:
        raise ArgumentError(
            "a hypernetwork must have a context, got context_features=0. Use conditioning='concat' without one."
        )
    return Hypernetwork(widths, context_features, rank=rank, generator=generator)
