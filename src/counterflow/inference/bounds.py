"""Log Z from both sides: draws of a proposal give a lower bound, exact draws of the target an upper one."""

import math
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ShapeError
from counterflow.inference.proposals import LogDensity, checked_density

__all__ = ["EvidenceBounds", "evidence_bounds"]


class EvidenceBounds(NamedTuple):
    r"""What lies below and above the log-normalizer, in nats, with standard errors.

    Args:
        lower: :math:`\mathbb{E}_q[\log \tilde p - \log q]`.
        lower_error: Its standard error.
        upper: :math:`\mathbb{E}_p[\log \tilde p - \log q]`.
        upper_error: Its standard error.
    """

    lower: float
    lower_error: float
    upper: float
    upper_error: float

    @property
    def gap(self) -> float:
        """Both divergences together, KL(q || p) + KL(p || q): nothing where the proposal is the target."""
        return self.upper - self.lower


def evidence_bounds(
    log_density: LogDensity,
    proposal: Any,
    *,
    exact: Float[Tensor, "m *event"],
    n: int = 10_000,
    batch_size: int = 10_000,
    generator: torch.Generator | None = None,
) -> EvidenceBounds:
    r"""Enclose the log-normalizer of a target of which exact draws exist, as in a simulation.

    .. math:: \mathbb{E}_q\left[\log \frac{\tilde p(x)}{q(x)}\right] \;\le\; \log Z \;\le\;
        \mathbb{E}_p\left[\log \frac{\tilde p(x)}{q(x)}\right]

    The lower bound does not see a mode that no draw of the proposal visits; the upper one does.

    Args:
        log_density: The target's natural log-density up to a constant, of points ``(rows, *event)``.
        proposal: A flow, or anything with ``sample_and_log_prob(n, generator=)`` and ``log_prob``.
        exact: Draws of the target itself, at least 2.
        n: Draws of the proposal, at least 2.
        batch_size: How many points are weighed together.
        generator: Where they are drawn from.

    Returns:
        The bounds; one is infinite where a draw lies outside of the other density.

    Raises:
        ShapeError: If there are fewer than 2 exact draws.
        ArgumentError: The target is NaN or infinite somewhere.

    Reference:
        Grosse, Ghahramani, Adams, "Sandwiching the marginal likelihood using bidirectional Monte Carlo", 2015,
        section 3.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> target = lambda x: -(x[:, 0] - 1).square() / 2
        >>> exact = 1 + torch.randn(10_000, 1, generator=generator)
        >>> found = evidence_bounds(target, flows.linear(1), exact=exact, generator=generator)
        >>> round(found.lower, 1), round(found.upper, 1)  # log sqrt(2 pi) = 0.92, less and more half a nat
        (0.4, 1.4)
    """
    check_count(n, "n", 2)
    if len(exact) < 2:
        raise ShapeError(
            f"exact must hold at least 2 draws, got {len(exact)}. Without any, only the lower bound exists."
        )
    with torch.no_grad():
        made = [
            checked_density(log_density, x) - log_q
            for x, log_q in (
                proposal.sample_and_log_prob(min(batch_size, n - start), generator=generator)
                for start in range(0, n, batch_size)
            )
        ]
        given = [checked_density(log_density, x) - proposal.log_prob(x) for x in exact.split(batch_size)]
    return EvidenceBounds(*_mean_and_error(torch.cat(made)), *_mean_and_error(torch.cat(given)))


def _mean_and_error(gains: Tensor) -> tuple[float, float]:
    if not gains.isfinite().all():
        return float(gains.sum()), math.inf
    return float(gains.double().mean()), float(gains.double().std() / math.sqrt(len(gains)))
