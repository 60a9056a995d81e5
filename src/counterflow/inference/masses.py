"""Probabilities of discrete data given parameters: one column after the other."""

from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from counterflow.core.errors import DataError
from counterflow.nets import MLP

__all__ = ["DiscreteMass", "Levels"]

_MOST_LEVELS = 1000


class Levels(nn.Module):
    """The values that each discrete column takes in the simulations.

    Args:
        values: For each column its values, in order.

    Example:
        >>> levels = Levels.of(torch.tensor([[0.0], [2.0], [2.0]]))
        >>> levels.codes(torch.tensor([[2.0], [5.0]])).tolist()  # 5 was never seen
        [[1], [-1]]
    """

    def __init__(self, values: list[Float[Tensor, " _"]]) -> None:
        super().__init__()
        for i, column in enumerate(values):
            self.register_buffer(f"values_{i}", column)
        self.sizes = [len(column) for column in values]

    @classmethod
    def of(cls, x: Float[Tensor, "rows columns"]) -> "Levels":
        """Take them from data.

        Raises:
            DataError: If a column takes more than 1,000 values.
        """
        values = [column.unique() for column in x.T]
        for i, column in enumerate(values):
            if len(column) > _MOST_LEVELS:
                raise DataError(
                    f"discrete column {i} takes {len(column)} values, more than {_MOST_LEVELS}. "
                    "Is it continuous? Then leave it out of discrete=."
                )
        return cls(values)

    def codes(self, x: Float[Tensor, "*batch columns"]) -> Int[Tensor, "*batch columns"]:
        """The place of each value among those of its column; -1 for one that was never simulated."""
        places = []
        for i in range(len(self.sizes)):
            values = cast("Tensor", getattr(self, f"values_{i}"))
            column = x[..., i].contiguous()
            place = torch.searchsorted(values, column).clamp(max=len(values) - 1)
            places.append(torch.where(values[place] == column, place, -1))
        return torch.stack(places, dim=-1)

    def one_hot(self, codes: Int[Tensor, "*batch columns"]) -> Float[Tensor, "*batch all"]:
        """The codes as indicators of all levels of all columns, side by side; zeros for a value never simulated."""
        parts = [
            functional.one_hot(codes[..., i].clamp(min=0), size) * (codes[..., i : i + 1] >= 0)
            for i, size in enumerate(self.sizes)
        ]
        return torch.cat(parts, dim=-1).to(torch.get_default_dtype())

    def beside(self, read: Float[Tensor, "rows c"], x: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows _"]:
        """Parameters with the indicators of discrete values beside them: what continuous columns are conditioned on."""
        return torch.cat([read, self.one_hot(self.codes(x)).to(read)], dim=1)


class DiscreteMass(nn.Module):
    r"""The probability of discrete columns: :math:`P(d \mid \theta) = \prod_j P(d_j \mid d_{<j}, \theta)`.

    Args:
        levels: Their values.
        context_features: The number of parameters.
        hidden: Widths of the hidden layers of each column's net.
        generator: Where weights are drawn from.

    Reference:
        Boelts et al., "Flexible and efficient simulation-based inference for models of decision-making", 2022,
        equation 2.

    Example:
        >>> mass = DiscreteMass(Levels([torch.tensor([0.0, 1.0])]), 3)
        >>> round(mass(torch.zeros(1, 1), torch.zeros(1, 3)).exp().item(), 2)  # untrained: both values alike
        0.5
    """

    def __init__(
        self,
        levels: Levels,
        context_features: int,
        *,
        hidden: tuple[int, ...] = (64, 64),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.levels = levels
        before = [sum(levels.sizes[:i]) for i in range(len(levels.sizes))]
        self.nets = nn.ModuleList(
            MLP(context_features + width, size, hidden=hidden, generator=generator)
            for width, size in zip(before, levels.sizes, strict=True)
        )

    def forward(
        self, x: Float[Tensor, "*batch columns"], context: Float[Tensor, "*batch c"]
    ) -> Float[Tensor, "*batch"]:
        """Compute the natural log-probability; ``-inf`` for a value that was never simulated."""
        codes = self.levels.codes(x)
        known = self.levels.one_hot(codes).to(context)
        total, width = context.new_zeros(context.shape[:-1]), 0
        for i, net in enumerate(self.nets):
            logits = net(torch.cat([context, known[..., :width]], dim=-1)).log_softmax(-1)
            value = logits.gather(-1, codes[..., i : i + 1].clamp(min=0)).squeeze(-1)
            total = total + torch.where(codes[..., i] >= 0, value, -torch.inf)
            width += self.levels.sizes[i]
        return total

    @torch.no_grad()
    def sample(
        self, context: Float[Tensor, "rows c"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows columns"]:
        """Draw one row of values for each context."""
        known, columns = context[:, :0], []
        for i, net in enumerate(self.nets):
            shares = net(torch.cat([context, known], dim=-1)).softmax(-1)
            code = torch.multinomial(shares, 1, generator=generator).squeeze(1)
            columns.append(cast("Tensor", getattr(self.levels, f"values_{i}"))[code])
            known = torch.cat([known, functional.one_hot(code, self.levels.sizes[i]).to(context)], dim=1)
        return torch.stack(columns, dim=1)
