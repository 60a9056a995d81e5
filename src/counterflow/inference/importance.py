"""Importance sampling: draws of a proposal, weighted so that they count as draws of the target."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, UnreliableError
from counterflow.inference.pareto import smooth_weights
from counterflow.inference.proposals import LogDensity, Proposal, checked_density

__all__ = ["WORST_SHAPE", "ImportanceSample", "importance_sample"]

WORST_SHAPE = 0.7
"""Above this shape of the tail of the weights no estimate is reported."""


@dataclass(frozen=True, eq=False)
class ImportanceSample:
    r"""Weighted draws, with what they say of themselves.

    Args:
        points: ``(n, *event)``, drawn from the proposal.
        log_weights: :math:`\log \tilde p(x_i) - \log q(x_i)`, ``(n,)``.
        smoothed: The same with the largest smoothed, see :func:`~counterflow.inference.smooth_weights`.
        shape: :math:`\hat k` of their tail.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> target = lambda x: -x.square().sum(-1) / 2  # a normal density without its constant
        >>> found = importance_sample(target, flows.linear(1), n=1000, generator=generator)
        >>> round(found.log_normalizer.item(), 3)  # log sqrt(2 pi)
        0.919
    """

    points: Float[Tensor, "n *event"]
    log_weights: Float[Tensor, " n"]
    smoothed: Float[Tensor, " n"]
    shape: float

    @property
    def trustworthy(self) -> bool:
        """Whether the tail is light enough for estimates: a shape of at most 0.7."""
        return self.shape <= WORST_SHAPE

    @property
    def weights(self) -> Float[Tensor, " n"]:
        """The smoothed weights, divided by their sum."""
        return self.smoothed.softmax(0)

    @property
    def effective_draws(self) -> float:
        r"""Kish's number of draws that count: :math:`(\sum w)^2 / \sum w^2`, of the weights as they are."""
        return float(1 / self.log_weights.double().softmax(0).square().sum())

    @property
    def perplexity(self) -> float:
        r"""The exponential of the weights' entropy, :math:`\exp(-\sum w \log w)`: a gentler count of draws."""
        return float(torch.special.entr(self.log_weights.double().softmax(0)).sum().exp())

    @property
    def log_normalizer(self) -> Float[Tensor, ""]:
        r"""The logarithm of :math:`Z = \int \tilde p`, of the weights as they are.

        Raises:
            UnreliableError: If the weights cannot be trusted.
        """
        self._insist("the normalizer")
        return self.log_weights.logsumexp(0) - math.log(len(self.log_weights))

    @property
    def log_normalizer_error(self) -> float:
        """The standard error of :attr:`log_normalizer`, by the delta method: that of the mean weight over its size."""
        self._insist("the normalizer's error")
        shares = self.log_weights.double().softmax(0) * len(self.log_weights)
        return float(shares.std() / math.sqrt(len(shares)))

    def expectation(self, function: Callable[[Tensor], Tensor]) -> Float[Tensor, "*out"]:
        """Estimate the mean of a function under the target.

        Args:
            function: From points ``(n, *event)`` to values ``(n, *out)``.

        Raises:
            UnreliableError: If the weights cannot be trusted.
        """
        self._insist("an expectation")
        values = function(self.points)
        return torch.tensordot(self.weights.to(values.dtype), values, dims=1)

    def resample(self, n: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "n *event"]:
        """Draw points in proportion to the weights, with replacement: nearly draws of the target.

        Raises:
            UnreliableError: If the weights cannot be trusted.
        """
        self._insist("draws")
        return self.points[torch.multinomial(self.weights, n, replacement=True, generator=generator)]

    def _insist(self, what: str) -> None:
        if not self.trustworthy:
            raise UnreliableError(
                f"{what} cannot be reported: the tail of the importance weights has shape {self.shape:.2f}, above "
                f"{WORST_SHAPE}, with {self.effective_draws:.1f} effective of {len(self.log_weights)} draws. Use a "
                "proposal with wider tails, a DefensiveMixture for example, or train it longer."
            )


def importance_sample(
    log_density: LogDensity,
    proposal: Proposal,
    *,
    n: int,
    batch_size: int = 10_000,
    generator: torch.Generator | None = None,
) -> ImportanceSample:
    r"""Draw from a proposal and weigh the draws for a target.

    .. math:: Z = \mathbb{E}_q \left[ \frac{\tilde p(x)}{q(x)} \right], \qquad
        \mathbb{E}_p[f] \approx \frac{\sum_i w_i f(x_i)}{\sum_i w_i}

    Args:
        log_density: The target's natural log-density, up to a constant: from ``(rows, *event)`` to ``(rows,)``;
            ``-inf`` where there is none.
        proposal: A flow, or anything with ``sample_and_log_prob(n, generator=)``.
        n: How many draws.
        batch_size: How many are made together.
        generator: Where they are drawn from.

    Returns:
        The draws; what they estimate is reported only if the tail of their weights allows it.

    Raises:
        ArgumentError: The target is NaN or infinite somewhere, or nowhere above zero on the draws.

    Reference:
        Robert, Casella, "Monte Carlo Statistical Methods", 2004, section 3.3.
    """
    check_count(n, "n")
    points, weights = [], []
    with torch.no_grad():
        for start in range(0, n, batch_size):
            x, log_q = proposal.sample_and_log_prob(min(batch_size, n - start), generator=generator)
            points.append(x)
            weights.append(checked_density(log_density, x) - log_q)
    log_weights = torch.cat(weights)
    if not log_weights.isfinite().any():
        raise ArgumentError(f"log_density is -inf at all of {n} draws. Is the proposal where the target is?")
    smoothed, shape = smooth_weights(log_weights)
    return ImportanceSample(torch.cat(points), log_weights, smoothed, shape)
