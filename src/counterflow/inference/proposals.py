"""What proposals offer, and the mixture that keeps their tails wide."""

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["DefensiveMixture", "LogDensity", "Proposal", "checked_density"]

LogDensity = Callable[[Tensor], Tensor]


@runtime_checkable
class Proposal(Protocol):
    """A density that is easily drawn from: every :class:`~counterflow.flows.Flow` is one."""

    def sample_and_log_prob(self, n: int, *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw ``(n, *event)`` points, with their log-densities ``(n,)``."""
        ...


def checked_density(log_density: LogDensity, x: Float[Tensor, "rows *event"]) -> Float[Tensor, " rows"]:
    """Ask a target for its log-density, and refuse what is none.

    Raises:
        ShapeError: If it does not answer one number for each point.
        ArgumentError: If it answers NaN or plus infinity.

    Example:
        >>> checked_density(lambda x: -x.abs().sum(-1), torch.ones(2, 3))
        tensor([-3., -3.])
    """
    value = log_density(x)
    if value.shape != x.shape[:1]:
        raise ShapeError(f"log_density must answer one number for each of {len(x)} points, got {tuple(value.shape)}.")
    if (value.isnan() | (value == torch.inf)).any():
        row = int((value.isnan() | (value == torch.inf)).nonzero()[0])
        raise ArgumentError(
            f"log_density must be finite or -inf, got {float(value[row])} at {x[row].flatten()[:5].tolist()}. "
            "Where there is no density let it be -inf."
        )
    return value


class DefensiveMixture:
    r"""A proposal with a share of something broad in it, so that no importance weight is large.

    .. math:: q(x) = (1 - \epsilon)\, q_0(x) + \epsilon\, q_1(x) \quad \Rightarrow \quad
        \frac{p}{q} \le \frac{1}{\epsilon}\, \frac{p}{q_1}

    Args:
        narrow: The proposal, with ``log_prob`` too.
        broad: What is mixed in: the prior, or a law with heavy tails; with ``sample`` and ``log_prob``.
        share: :math:`\epsilon`, in (0, 1).

    Raises:
        ArgumentError: If the share is not between 0 and 1.

    Reference:
        Hesterberg, "Weighted average importance sampling and defensive mixture distributions", 1995, section 2.

    Example:
        >>> from counterflow import flows
        >>> from counterflow.distributions import StudentT
        >>> proposal = DefensiveMixture(flows.linear(2), StudentT(2))
        >>> x, log_q = proposal.sample_and_log_prob(5)
        >>> x.shape, torch.equal(log_q, proposal.log_prob(x))
        (torch.Size([5, 2]), True)
    """

    def __init__(self, narrow: Any, broad: Any, *, share: float = 0.1) -> None:
        if not 0 < share < 1:
            raise ArgumentError(f"share must be between 0 and 1, got {share}. A tenth is usual.")
        self.narrow, self.broad, self.share = narrow, broad, share

    def log_prob(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, " rows"]:
        """Compute the log-density."""
        first = self.narrow.log_prob(x) + math.log1p(-self.share)
        return torch.logaddexp(first, self.broad.log_prob(x) + math.log(self.share))

    @torch.no_grad()
    def sample_and_log_prob(
        self, n: int, *, generator: torch.Generator | None = None
    ) -> tuple[Float[Tensor, "n *event"], Float[Tensor, " n"]]:
        """Draw points with their log-densities."""
        narrow, broad = self.narrow.sample(n, generator=generator), self.broad.sample(n, generator=generator)
        from_broad = torch.rand(n, generator=generator, device=narrow.device) < self.share
        x = torch.where(from_broad.view(-1, *[1] * (narrow.dim() - 1)), broad, narrow)
        return x, self.log_prob(x)
