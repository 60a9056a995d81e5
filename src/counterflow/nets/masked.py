"""A perceptron whose outputs see only earlier inputs: the conditioner of autoregressive maps."""

from itertools import pairwise
from typing import NamedTuple, cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.checks import check_count
from counterflow.nets.linear import apply_linear, get_activation, make_linear

__all__ = ["Halves", "MaskedLinear", "MaskedMLP"]

_WORTH_HALVING = 2**15
"""Two products over half of the outputs each beat one over all when there are so many weights."""


class Halves(NamedTuple):
    """Outputs that see early inputs alone: a product that leaves out the others is a quarter smaller.

    Args:
        groups: The outputs are so many groups of equal length, ordered alike.
        early: Where in each group those outputs lie: at its start or at its end.
        seen: How many inputs they see, counted from the first.
    """

    groups: int
    early: slice
    seen: int

    def linear(
        self,
        x: Float[Tensor, "*batch inputs"],
        weight: Float[Tensor, "outputs inputs"],
        bias: Float[Tensor, " outputs"],
    ) -> Float[Tensor, "*batch outputs"]:
        """Apply a linear layer in two products."""
        weights, biases = weight.unflatten(0, (self.groups, -1)), bias.unflatten(0, (self.groups, -1))
        late = slice(self.early.stop, None) if self.early.start == 0 else slice(0, self.early.start)

        def rows(chosen: slice, seen: int | None) -> Tensor:
            part = functional.linear(
                x[..., :seen], weights[:, chosen, :seen].flatten(0, 1), biases[:, chosen].flatten()
            )
            return part.unflatten(-1, (self.groups, -1))

        parts = rows(self.early, self.seen), rows(late, None)
        return torch.cat(parts if self.early.start == 0 else parts[::-1], -1).flatten(-2)


class MaskedLinear(nn.Module):
    """A linear layer some of whose weights are held at zero.

    Where no gradient is wanted, the product of weight and mask is computed once and kept until the weight changes.

    Args:
        mask: True where a weight may differ from zero, shape (outputs, inputs).
        halves: Which outputs see early inputs alone; compiled code without gradients leaves their zeros out.
        zero: Start all weights and biases at zero.
        generator: Where the weights are drawn from.

    Example:
        >>> layer = MaskedLinear(torch.tensor([[True, False]]))
        >>> bool(layer(torch.tensor([1.0, 5.0])) == layer(torch.tensor([1.0, 7.0])))
        True
    """

    mask: Tensor

    def __init__(
        self,
        mask: Bool[Tensor, "outputs inputs"],
        *,
        halves: Halves | None = None,
        zero: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.halves = halves
        layer = make_linear(mask.shape[1], mask.shape[0], generator=generator, zero=zero)
        self.weight, self.bias = layer.weight, layer.bias
        self.register_buffer("mask", mask, persistent=False)
        self._folded: tuple[tuple[int, int], Tensor] | None = None
        self._fixed = False

    def forward(
        self, x: Float[Tensor, "*batch inputs"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs"]:
        """Apply the layer to ``x`` and ``context`` side by side."""
        if self.halves is not None and context is None and _is_worth_halving():
            return self.halves.linear(x, self._masked(), self.bias)
        return apply_linear(x, context, weight=self._masked(), bias=self.bias)

    def fold(self) -> None:
        """Set the weights that are held at zero to zero, for good: no mask is needed any more, nor training wanted."""
        self.weight = nn.Parameter(self.weight.detach() * self.mask, requires_grad=False)
        self._fixed = True

    def extra_repr(self) -> str:
        """Name the sizes and the share of weights that are free."""
        outputs, inputs = self.mask.shape
        return f"inputs={inputs}, outputs={outputs}, free={self.mask.float().mean().item():.2f}"

    def _masked(self) -> Tensor:
        """The weight with zeros where the mask holds them; kept where that is safe."""
        if self._fixed:
            return self.weight
        if torch.compiler.is_compiling() or not self._is_plain():
            return self.weight * self.mask
        key = self.weight.data_ptr(), self.weight._version
        if self._folded is None or self._folded[0] != key:
            self._folded = key, self.weight.detach() * self.mask
        return self._folded[1]

    def _is_plain(self) -> bool:
        """Whether the weight is the module's own, and a constant for now."""
        wanted = torch.is_grad_enabled() and self.weight.requires_grad
        return isinstance(self.weight, nn.Parameter) and not wanted and not self.weight.is_inference()


def _is_worth_halving() -> bool:
    """Whether leaving zeros out pays: with gradients it does not, nor where outputs are joined by a copy."""
    return torch.compiler.is_compiling() and not torch.is_grad_enabled()


class MaskedMLP(nn.Module):
    r"""A perceptron in which the outputs for feature i depend on the context and on features before i only.

    Every feature has a degree, its place in the order. A hidden unit of degree m sees inputs and units of degree at
    most m; outputs for a feature see units of lower degree. Units are sorted by degree, so that the masks are block
    triangular: the units of one degree are contiguous, and can be computed once their inputs are known.

    Args:
        features: Number of features, at least 1.
        size: Outputs per feature; the output holds the first of every feature, then the second of every feature.
        hidden: Widths of the hidden layers.
        context_features: Length of the context; units of degree -1 see the context alone.
        reverse: Order the features from last to first.
        residual: Add the input of every hidden layer but the first to its output (needs equal widths).
        activation: Name of the nonlinearity.
        zero: Start the last layer at zero.
        generator: Where the weights are drawn from.

    Reference:
        Germain, Gregor, Murray, Larochelle, "MADE: Masked Autoencoder for Distribution Estimation", 2015, section 4.

    Example:
        >>> net = MaskedMLP(3, 2, hidden=(8,), zero=False)
        >>> jacobian = torch.func.jacrev(net)(torch.zeros(3)).reshape(2, 3, 3)
        >>> bool((jacobian.triu() == 0).all())
        True
    """

    def __init__(
        self,
        features: int,
        size: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        reverse: bool = False,
        residual: bool = False,
        activation: str = "silu",
        zero: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(features, "features")
        self.features = features
        self.activation = activation
        get_activation(activation)  # refuses an unknown name now, not in the first pass
        self.residual = residual
        self.order = tuple(reversed(range(features)) if reverse else range(features))
        degrees = torch.tensor(self.order)  # the reversal is its own inverse
        inputs = torch.cat((degrees, torch.full((context_features,), -1)))
        least = -1 if context_features else 0
        units = [_hidden_degrees(width, features, least=least) for width in hidden]
        self._ends = [torch.searchsorted(u, torch.arange(-2, features - 1), right=True).tolist() for u in units]
        masks = [after.unsqueeze(-1) >= before for before, after in pairwise((inputs, *units))]
        last = units[-1] if units else inputs
        masks.append(degrees.repeat(size).unsqueeze(-1) > last)
        half = features // 2
        early = [(1, slice(0, int((u < half).sum()))) for u in units]
        early.append((size, slice(features - half, features) if reverse else slice(0, half)))
        seen = [0] + [int((u < half).sum()) for u in units[:-1]] + [int((last < half - 1).sum())]
        self.layers = nn.ModuleList(
            MaskedLinear(
                mask,
                halves=Halves(*early[i], seen[i]) if i and mask.numel() >= _WORTH_HALVING else None,
                zero=zero and i == len(hidden),
                generator=generator,
            )
            for i, mask in enumerate(masks)
        )

    def forward(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> Float[Tensor, "*out outputs"]:
        """Compute the outputs of all features at once; leading dimensions broadcast."""
        phi = get_activation(self.activation)
        first, *rest = self.layers
        hidden = first(x, context)
        for i, layer in enumerate(rest, 1):
            step = layer(phi(hidden))
            hidden = hidden + step if self.residual and i < len(rest) else step
        return hidden

    def units_of(self, degree: int) -> list[slice]:
        """Where the units of a degree lie in each hidden layer.

        Args:
            degree: From -1, for units that see the context alone, to the number of features less one.
        """
        if degree > self.features - 2:
            return []
        return [slice(ends[degree + 1], ends[degree + 2]) for ends in self._ends]

    def unmasked(self, context: Float[Tensor, "points c"] | None) -> tuple[list[Tensor], list[Tensor]]:
        """The weights, with inputs in the order of the features, and the biases as columns, the context added in.

        Held at zero or not, weights are given as they are: whoever uses them keeps to those that the masks free.
        """
        layers = cast("list[MaskedLinear]", list(self.layers))
        weights = [layer.weight for layer in layers]
        biases = [layer.bias.unsqueeze(-1) for layer in layers]
        first = weights[0]
        if context is not None:
            biases[0] = torch.addmm(biases[0], first[:, self.features :], context.T)
        inputs = first[:, : self.features]
        weights[0] = inputs if self.order[0] == 0 else inputs.flip(-1)
        return weights, biases

    def extra_repr(self) -> str:
        """Name the activation."""
        return f"activation='{self.activation}', residual={self.residual}"


def _hidden_degrees(width: int, features: int, *, least: int) -> Tensor:
    """Degrees from ``least`` to ``features - 2``, sorted, each about equally often."""
    levels = max(features - 1 - least, 1)
    return least + torch.arange(width) * levels // width
