"""Several conditional densities of one kind, averaged."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.inference.heads import ConditionalDensity

__all__ = ["Ensemble"]

_POINTS_AT_ONCE = 50_000


class Ensemble(nn.Module):
    r"""The even mixture of conditional densities: :math:`q(y \mid c) = \frac1m \sum_i q_i(y \mid c)`.

    Args:
        members: The densities.

    Reference:
        Hermans et al., "A Crisis in Simulation-Based Inference? Beware, Your Posterior Approximations Can Be
        Unfaithful", 2022, section 4: averages are less overconfident.
    """

    def __init__(self, members: list[ConditionalDensity]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(
        self, y: Float[Tensor, "*batch"], context: Float[Tensor, "*rows"] | None = None
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each row."""
        values = torch.stack([member(y, context) for member in self.members])
        return values.logsumexp(0) - math.log(len(self.members))

    @torch.no_grad()
    def sample(
        self, count: int, context: Float[Tensor, "rows *read"], *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "rows count features"]:
        """Draw points for each condition, of members chosen at random; in pieces that fit the memory."""
        rows = max(1, _POINTS_AT_ONCE // count)
        return torch.cat([self._sample(count, part, generator) for part in context.split(rows)])

    def _sample(self, count: int, context: Tensor, generator: torch.Generator | None) -> Tensor:
        shares = torch.full((len(self.members),), 1.0 / len(self.members))
        chosen = torch.multinomial(shares, count, replacement=True, generator=generator)
        parts = []
        for member, wanted in zip(self.members, chosen.bincount(minlength=len(self.members)).tolist(), strict=True):
            density = cast("ConditionalDensity", member)
            if wanted:
                parts.append(density.flow.sample(wanted, density.embedding(context), generator=generator))
        draws = torch.cat(parts)
        return draws[torch.randperm(count, generator=generator)].transpose(0, 1)
