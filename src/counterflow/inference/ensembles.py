"""Several conditional densities of one kind, averaged."""

import math
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.inference.embeddings import Embedding, EmbeddingLike, make_embedding
from counterflow.inference.heads import ConditionalDensity, Head, Target
from counterflow.inference.member_training import HowToTrain, fit_member
from counterflow.inference.observations import ObservationReader
from counterflow.training import FitReport

__all__ = ["Ensemble", "build_ensemble", "fit_ensemble"]

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


def build_ensemble(
    head: Head,
    target: Target,
    reader: ObservationReader,
    *,
    embedding: EmbeddingLike,
    members: int,
    generator: torch.Generator | None = None,
) -> Ensemble:
    """Build the members of an ensemble, with fresh weights.

    Args:
        head: The form of the densities.
        target: What they are of.
        reader: What reads the conditions.
        embedding: What follows it.
        members: How many.
        generator: Where weights are drawn from.

    Example:
        >>> from counterflow.inference import SplineHead
        >>> ensemble = build_ensemble(
        ...     SplineHead(), Target.unbounded(2), ObservationReader((3,)), embedding=Embedding(), members=2
        ... )
        >>> len(ensemble.members)
        2
    """
    check_count(members, "members")
    generator = generator or torch.Generator().manual_seed(0)
    built = []
    for _ in range(members):
        net, length = make_embedding(embedding, reader, generator=generator)
        linear = isinstance(embedding, Embedding) and embedding.kind == "none"
        built.append(ConditionalDensity(head, target, net, length, linear=linear, generator=generator))
    return Ensemble(built)


def fit_ensemble(
    ensemble: Ensemble,
    y: Float[Tensor, "rows features"],
    *,
    context: Float[Tensor, "_ *read"],
    how: HowToTrain,
) -> tuple[FitReport, ...]:
    """Train the members of an ensemble one after the other; each holds out rows of its own.

    Args:
        ensemble: What is trained; it is left in evaluation mode.
        y: Rows.
        context: What each is conditioned on, as it was read.
        how: How to train.

    Returns:
        How it went, member by member.
    """
    members = cast("list[ConditionalDensity]", list(ensemble.members))
    reports = tuple(fit_member(member, y, context=context, how=how) for member in members)
    ensemble.eval()
    return reports
