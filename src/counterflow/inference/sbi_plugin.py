"""Our flows inside of the package sbi: a builder that its NPE and NLE take as ``density_estimator``."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from counterflow.core.errors import ArgumentError, MissingExtra
from counterflow.flows.heads import FlowMatchingHead, Head, SplineHead
from counterflow.inference.heads import ConditionalDensity, Target
from counterflow.inference.priors import as_prior
from counterflow.nets.embeddings import Embedding, EmbeddingLike, make_embedding
from counterflow.nets.observations import ObservationReader

__all__ = ["SbiBuilder", "sbi_builder"]


SbiBuilder = Callable[[Tensor, Tensor], Any]
"""``build(theta, x)``: what sbi calls once, with the training parameters and data."""


def sbi_builder(
    *,
    estimates: str = "posterior",
    head: Head | None = None,
    embedding: EmbeddingLike | None = None,
    prior: object = None,
    generator: torch.Generator | None = None,
) -> SbiBuilder:
    """Make what ``sbi.inference.NPE(prior, density_estimator=...)`` and ``NLE`` take to train our flow.

    Args:
        estimates: ``"posterior"`` for NPE, ``"likelihood"`` for NLE: sbi calls both alike, so it must be said.
        head: The form of the density; flow matching is not for these two.
        embedding: What reads observations, for a posterior.
        prior: A prior whose bounds the posterior keeps, so that none of sbi's rejection of leaked draws is needed.
        generator: Where weights are drawn from.

    Returns:
        The builder; the estimator that it builds has sbi's ``log_prob``, ``sample`` and ``loss``.

    Raises:
        MissingExtra: If sbi is not installed (when the builder is made).
        ArgumentError: If ``estimates`` is neither, or the head is one for flow matching.

    Example:
        >>> builder = sbi_builder()  # doctest: +SKIP
        >>> inference = sbi.inference.NPE(prior, density_estimator=builder)  # doctest: +SKIP
    """
    if estimates not in ("posterior", "likelihood"):
        raise ArgumentError(f"estimates must be 'posterior' or 'likelihood', got {estimates!r}. Choose one of these.")
    if isinstance(head, FlowMatchingHead):
        raise ArgumentError("head must be trained by maximum likelihood inside of NPE and NLE, got flow matching.")
    try:
        from counterflow.inference.sbi_estimator import FlowEstimator
    except ImportError as error:
        raise MissingExtra("a density estimator for sbi", "sbi", "sbi") from error
    rng = generator or torch.Generator().manual_seed(0)

    def build(theta: Tensor, x: Tensor) -> Any:
        y, condition = (theta, x) if estimates == "posterior" else (x, theta)
        bounded = as_prior(prior) if prior is not None and estimates == "posterior" else None
        target = Target.unbounded(y.shape[1]) if bounded is None else Target(bounded.low, bounded.high)
        reader = ObservationReader(tuple(condition.shape[1:]), missing=bool(condition.isnan().any()))
        reader.learn(condition)
        reads: EmbeddingLike = embedding or Embedding("none" if condition.dim() == 2 else "mlp")
        net, length = make_embedding(reads, reader, generator=rng)
        plain = isinstance(reads, Embedding) and reads.kind == "none"
        density = ConditionalDensity(head or SplineHead(), target, net, length, linear=plain, generator=rng)
        density.initialize(y, reader(condition))
        return FlowEstimator(density, reader, y.shape[1:], condition.shape[1:])

    return build
