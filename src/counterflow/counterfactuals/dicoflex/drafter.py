"""The flow with all that stands between it and the rows of a table: options, contexts, draws."""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from counterflow.counterfactuals.dicoflex.choices import ChoiceMap
from counterflow.counterfactuals.dicoflex.options import Options
from counterflow.distributions import Uniform
from counterflow.flows import Flow
from counterflow.tables import Rules

__all__ = ["Drafter"]

_POINTS_AT_ONCE = {"cpu": 2048, "cuda": 2**18}
"""So many draws are made at once: on a CPU what is computed for them stays in its cache, a GPU wants to be busy."""


class Drafter(nn.Module):
    r"""The density :math:`p(x' \mid x, y', p, m)` over rows, and draws from it.

    Args:
        options: What each column may be.
        classes: The number of classes that may be asked for.
        hidden: Widths of the layers that read the question.
        width: The length of the flow's hidden state.
        generator: Where the weights are drawn from.
    """

    def __init__(
        self,
        options: Options,
        classes: int,
        *,
        hidden: tuple[int, ...],
        width: int,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.options = options
        self.classes = classes
        self.hidden = hidden
        self.width = width
        columns = len(options.sizes)
        context = options.total + 2 * columns + classes + 1
        choices = ChoiceMap(options.sizes, context, hidden=hidden, width=width, generator=generator)
        self.flow = Flow(choices, Uniform(torch.zeros(columns), torch.ones(columns)))

    def context(
        self,
        factuals: Float[Tensor, "rows columns"],
        target: Int[Tensor, " rows"],
        *,
        locked: Bool[Tensor, "rows columns"],
        norm: Float[Tensor, " rows"] | float,
    ) -> Float[Tensor, "rows context"]:
        """The question as one vector: the factual's options and ranks, what is locked, the class, log10 of the norm."""
        own = self.options.first + self.options.option_of(factuals)
        power = torch.as_tensor(norm, dtype=torch.float64).expand(len(factuals)).log10().unsqueeze(1)
        parts = (
            torch.zeros(len(factuals), self.options.total).scatter_(1, own, 1.0),
            self.options.ranks(factuals),
            locked,
            functional.one_hot(target, self.classes),
            power,
        )
        return torch.cat([part.to(self.flow.dtype) for part in parts], 1)

    def forward(
        self, points: Float[Tensor, "*draws columns"], context: Float[Tensor, "rows context"]
    ) -> Float[Tensor, "*draws"]:
        """The log-density of points."""
        return self.flow(points, context)

    @torch.no_grad()
    def draw(
        self,
        rules: Rules,
        context: Float[Tensor, "rows context"],
        *,
        allowed: Bool[Tensor, "rows options"],
        count: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Float[Tensor, "count rows columns"]:
        """Rows that keep the rules, ``count`` for each question, in one pass."""
        return self.options.decode(
            self.points(context, allowed=allowed, count=count, temperature=temperature, generator=generator),
            rules.factual,
            rules=rules,
        )

    @torch.no_grad()
    def points(
        self,
        context: Float[Tensor, "rows context"],
        *,
        allowed: Bool[Tensor, "rows options"] | None,
        count: int,
        temperature: float,
        generator: torch.Generator,
    ) -> Float[Tensor, "count rows columns"]:
        """Draws in the flow's own space, made where the flow is; all else is on the CPU, chance included."""
        choices: Any = self.flow.bijection
        there = next(self.flow.parameters()).device
        few = max(1, _POINTS_AT_ONCE[there.type] // count)
        parts = []
        for rows in torch.arange(len(context)).split(few):
            z = torch.rand(count, len(rows), len(self.options.sizes), generator=generator, dtype=self.flow.dtype)
            may = None if allowed is None else allowed[rows].to(there)
            drawn = choices.choose(z.to(there), context[rows].to(there), allowed=may, temperature=temperature)
            parts.append(drawn.cpu())
        return torch.cat(parts, 1)
