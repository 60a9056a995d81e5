"""Several conditional densities of one kind, averaged."""

import math
from collections.abc import Sequence
from typing import Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["Ensemble", "Member", "Sampler"]

_POINTS_AT_ONCE = 50_000


@runtime_checkable
class Sampler(Protocol):
    """A density under an embedding that can be drawn from, such as a conditional :class:`Flow`."""

    def sample(
        self, n: int | tuple[int, ...], /, context: Tensor, *, generator: torch.Generator | None = None
    ) -> Tensor:
        """Draw points ``(n, rows, features)``."""
        ...


@runtime_checkable
class Member(Protocol):
    """One density of an ensemble: an embedding of the condition, and what it steers."""

    embedding: nn.Module
    flow: Sampler

    def __call__(self, y: Tensor, context: Tensor | None = None) -> Tensor:
        """Compute the natural log-density of each row."""
        ...


class Ensemble(nn.Module):
    r"""The even mixture of conditional densities: :math:`q(y \mid c) = \frac1m \sum_i q_i(y \mid c)`.

    Args:
        members: The densities: modules with an ``embedding`` of the condition and a ``flow`` under it.

    Reference:
        Hermans et al., "A Crisis in Simulation-Based Inference? Beware, Your Posterior Approximations Can Be
        Unfaithful", 2022, section 4: averages are less overconfident.
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
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
        for module, wanted in zip(self.members, chosen.bincount(minlength=len(self.members)).tolist(), strict=True):
            member = cast("Member", module)
            if wanted:
                parts.append(member.flow.sample(wanted, member.embedding(context), generator=generator))
        draws = torch.cat(parts)
        return draws[torch.randperm(count, generator=generator)].transpose(0, 1)
