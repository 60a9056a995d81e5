"""Ensembles of conditional densities: built, and trained member after member."""

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.flows.ensemble import Ensemble
from counterflow.flows.heads import Head
from counterflow.inference.heads import ConditionalDensity, Target
from counterflow.inference.member_training import HowToTrain, fit_member
from counterflow.nets.embeddings import Embedding, EmbeddingLike, make_embedding
from counterflow.nets.observations import ObservationReader
from counterflow.training import FitReport

__all__ = ["build_ensemble", "fit_ensemble"]


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
