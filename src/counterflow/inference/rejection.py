"""Rejection sampling: exact draws of a target, if a bound is right; and it is watched."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import UnreliableError
from counterflow.inference.proposals import LogDensity, Proposal, checked_density

__all__ = ["RejectionSample", "rejection_sample"]


@dataclass(frozen=True, eq=False)
class RejectionSample:
    r"""Accepted draws.

    Args:
        points: ``(n, *event)``, independent draws of the target if the bound holds.
        tried: How many draws of the proposal were made.
        accepted: How many of these were taken, at least n.
        log_bound: The bound that was used.
        largest: The largest :math:`\log \tilde p - \log q` that was seen: at most ``log_bound``.
    """

    points: Float[Tensor, "n *event"]
    tried: int
    accepted: int
    log_bound: float
    largest: float

    @property
    def acceptance(self) -> float:
        """The share of draws that were accepted: an estimate of :math:`Z / M`."""
        return self.accepted / self.tried

    @property
    def log_normalizer(self) -> float:
        """The logarithm of Z, from the acceptance and the bound."""
        return math.log(self.acceptance) + self.log_bound


def rejection_sample(
    log_density: LogDensity,
    proposal: Proposal,
    *,
    n: int,
    log_bound: float,
    batch_size: int = 10_000,
    most_tries: int = 10_000_000,
    generator: torch.Generator | None = None,
) -> RejectionSample:
    r"""Draw from a target exactly, through a proposal that times a number lies above it everywhere.

    .. math:: x \sim q, \quad \text{accepted with chance } \frac{\tilde p(x)}{M q(x)}, \qquad
        M \ge \sup_x \frac{\tilde p(x)}{q(x)}

    The bound is yours to state: draws alone never prove one. A single draw above it shows that it is wrong, and then
    nothing is returned.

    Args:
        log_density: The target's natural log-density up to a constant; ``-inf`` where there is none.
        proposal: A flow, or anything with ``sample_and_log_prob(n, generator=)``.
        n: How many draws are wanted.
        log_bound: :math:`\log M`.
        batch_size: How many are tried together.
        most_tries: After so many draws it gives up.
        generator: Where they are drawn from.

    Returns:
        The draws, and how many were needed.

    Raises:
        UnreliableError: A draw exceeds the bound, or ``most_tries`` were not enough.
        ArgumentError: The target is NaN or infinite somewhere.

    Reference:
        von Neumann, "Various techniques used in connection with random digits", 1951.

    Example:
        >>> from counterflow import flows
        >>> generator = torch.Generator().manual_seed(0)
        >>> half = lambda x: torch.where(x[:, 0] > 0, -x[:, 0].square() / 2, -torch.inf)  # half of a bell
        >>> found = rejection_sample(half, flows.linear(1), n=500, log_bound=0.92, generator=generator)
        >>> found.points.min().item() > 0, round(found.acceptance, 1)
        (True, 0.5)
    """
    check_count(n, "n")
    taken, tried, accepted, largest = [], 0, 0, -math.inf
    while accepted < n:
        if tried >= most_tries:
            raise UnreliableError(
                f"only {accepted} of {n} draws were accepted in {tried} tries. The bound exp({log_bound:.3g}) is far "
                "above the target: use a proposal that is nearer to it."
            )
        with torch.no_grad():
            x, log_q = proposal.sample_and_log_prob(batch_size, generator=generator)
            ratio = checked_density(log_density, x) - log_q
        largest = max(largest, float(ratio.max()))
        if largest > log_bound:
            raise UnreliableError(
                f"the bound is wrong: log_bound is {log_bound:.6g}, and a draw has log p - log q = {largest:.6g}. "
                "State a larger bound, or use importance_sample, which needs none."
            )
        chance = torch.rand(len(x), generator=generator, dtype=ratio.dtype, device=ratio.device)
        kept = x[chance.log() < ratio - log_bound]
        taken.append(kept)
        tried, accepted = tried + len(x), accepted + len(kept)
    return RejectionSample(torch.cat(taken)[:n], tried, accepted, log_bound, largest)
