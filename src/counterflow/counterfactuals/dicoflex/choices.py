r"""The conditional flow of DiCoFlex: column after column, a distribution over options.

A point has one coordinate a column: the number of an option plus a share in [0, 1). Given the columns before it and the
context, the coordinate goes through a piecewise linear distribution function with its knots at the whole numbers,

.. math:: z_j = \sum_{k < o_j} \pi_{jk} + \pi_{j o_j} (t_j - o_j), \qquad o_j = \lfloor t_j \rfloor

so that a choice among categories is exact, where smooth maps would blur it. The probabilities come from one net for all
columns, whose hidden state sums up what was chosen before.

Reference:
    Müller et al., "Neural Importance Sampling", 2019, section 4.2 (piecewise linear maps).
    Larochelle, Murray, "The Neural Autoregressive Distribution Estimator", 2011 (one hidden state for all columns).
"""

from collections.abc import Callable
from itertools import accumulate
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from counterflow.bijections import AbstractBijection
from counterflow.bijections.base import broadcast_batch
from counterflow.nets import MLP
from counterflow.nets.linear import make_linear

__all__ = ["ChoiceMap"]

_LAST = 1 - 1e-4  # so far from the next whole number that float32 keeps them apart


class _Step(NamedTuple):
    """What was done with one column: the option, the number on the other side, and the logarithm of the slope."""

    option: Tensor
    value: Tensor
    log_slope: Tensor


class _Read(NamedTuple):
    """What the net reads off a context: what it adds to the state at each column, and a bias for every option."""

    shift: Tensor
    bias: Tensor


class ChoiceMap(AbstractBijection):
    r"""The map from choices to the unit cube, one column after another.

    Args:
        sizes: How many options each column has.
        context_features: The length of the context.
        hidden: Widths of the layers that read the context: their work is done once for all draws.
        width: The length of the hidden state.
        generator: Where the weights are drawn from.

    Example:
        >>> choices = ChoiceMap((2, 3), 1, generator=torch.Generator().manual_seed(0))
        >>> z, log_det = choices.to_latent(torch.tensor([1.5, 2.25]), torch.zeros(1))
        >>> [round(value, 3) for value in choices.to_data(z, torch.zeros(1))[0].tolist()]
        [1.5, 2.25]
    """

    one_pass_to_data = False

    def __init__(
        self,
        sizes: tuple[int, ...],
        context_features: int,
        *,
        hidden: tuple[int, ...] = (256, 256),
        width: int = 128,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((len(sizes),), context_features)
        self.sizes = sizes
        total = sum(sizes)
        self.starts = tuple(accumulate((0, *sizes[:-1])))
        self.reader = MLP(context_features, hidden[-1], hidden=hidden[:-1], zero=False, generator=generator)
        self.shift = make_linear(hidden[-1], len(sizes) * width, generator=generator)
        self.direct = make_linear(hidden[-1], total, generator=generator, zero=True)
        self.taken = nn.Parameter(
            torch.empty(total, width).uniform_(-0.5, 0.5, generator=generator) / len(sizes) ** 0.5
        )
        self.heads = make_linear(width, total, generator=generator, zero=True)

    def to_latent(
        self, x: Float[Tensor, "*batch columns"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out columns"], Float[Tensor, "*out"]]:
        """Map choices to the unit cube, one column after another."""
        return self._walk(x, self._read(context), _height)

    def to_data(
        self, z: Float[Tensor, "*batch columns"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out columns"], Float[Tensor, "*out"]]:
        """Map the unit cube to choices, one column after another."""
        return self._walk(z, self._read(context), _choice)

    def choose(
        self,
        z: Float[Tensor, "*batch columns"],
        context: Float[Tensor, "*rows c"],
        *,
        allowed: Bool[Tensor, "*rows options"] | None = None,
        temperature: float = 1.0,
    ) -> Float[Tensor, "*out columns"]:
        r"""Map the unit cube to choices under limits.

        Args:
            z: Points of the cube.
            context: One row for each point, or fewer that broadcast.
            allowed: The options that may be taken at all; at least one in every column.
            temperature: T in :math:`\pi^{1/T}`: below 1, likely choices become likelier. 1 is the flow itself.

        Returns:
            The choices.
        """
        read = self._read(context)
        if allowed is not None:
            read = _Read(read.shift, read.bias.masked_fill(~allowed, -torch.inf))
        return self._walk(z, read, _choice, temperature=temperature)[0]

    def _walk(
        self, values: Tensor, read: _Read, step: Callable[[Tensor, Tensor], _Step], *, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """Go through the columns; each step says which option was taken, and the next state knows it."""
        values = broadcast_batch(values, read.bias)
        state, steps = read.bias.new_zeros(()), []
        heads = (
            self.heads.weight.split(self.sizes),
            self.heads.bias.split(self.sizes),
            read.bias.split(self.sizes, -1),
        )
        for place, (weight, bias, direct) in enumerate(zip(*heads, strict=True)):
            hidden = functional.silu(state + read.shift[..., place, :])
            logits = (functional.linear(hidden, weight, bias) + direct).expand(*values.shape[:-1], -1)
            steps.append(step(logits / temperature, values[..., place]))
            if place + 1 < self.features:
                state = state + functional.embedding(self.starts[place] + steps[-1].option, self.taken)
        return torch.stack([each.value for each in steps], -1), torch.stack([each.log_slope for each in steps]).sum(0)

    def _read(self, context: Tensor | None) -> _Read:
        features = functional.silu(self.reader(context))
        return _Read(self.shift(features).unflatten(-1, (self.features, -1)), self.direct(features))

    def extra_repr(self) -> str:
        """Name the numbers of options."""
        return f"sizes={self.sizes}"


def _height(logits: Tensor, x: Tensor) -> _Step:
    """The value of the distribution function at a choice."""
    option = x.detach().floor().long().clamp(0, logits.shape[-1] - 1)
    log_mass = logits.log_softmax(-1)
    own = log_mass.gather(-1, option.unsqueeze(-1))[..., 0]
    reached = log_mass.exp().cumsum(-1).gather(-1, option.unsqueeze(-1))[..., 0]
    height = reached + own.exp() * (x - option - 1)
    return _Step(option, height.clamp(0.0, 1.0), own)  # rounding may have gone a little beyond


def _choice(logits: Tensor, z: Tensor) -> _Step:
    """The choice at which the distribution function has a value."""
    mass = (logits - logits.amax(-1, keepdim=True)).exp()
    reached = mass.cumsum(-1)
    height = z.clamp(0.0, 1 - 1e-6) * reached[..., -1]
    option = (reached <= height.unsqueeze(-1)).sum(-1).clamp(max=logits.shape[-1] - 1)
    own, top = (table.gather(-1, option.unsqueeze(-1))[..., 0] for table in (mass, reached))
    share = (1 - (top - height) / own).clamp(0.0, _LAST)
    return _Step(option, option + share, (reached[..., -1] / own).log())
