"""Independence Metropolis-Hastings: chains that jump by a flow, and mix better the nearer it is to the target."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, UnreliableError
from counterflow.inference.chains import effective_size, split_rhat
from counterflow.inference.proposals import LogDensity, Proposal, checked_density

__all__ = ["ChainSample", "independence_metropolis"]

WORST_RHAT = 1.01
FEWEST_EFFECTIVE = 100


@dataclass(frozen=True, eq=False)
class ChainSample:
    """Chains that end in the target.

    Args:
        chains: ``(chains, steps, *event)``, after those that were thrown away.
        moved: Whether each step was accepted, ``(chains, steps)``.

    Example:
        >>> ChainSample(torch.zeros(2, 3, 1), torch.ones(2, 3, dtype=torch.bool)).acceptance
        1.0
    """

    chains: Float[Tensor, "chains steps *event"]
    moved: Bool[Tensor, "chains steps"]

    @property
    def acceptance(self) -> float:
        """The share of proposals that were accepted."""
        return float(self.moved.double().mean())

    @property
    def rhat(self) -> float:
        """The largest split R-hat of any number of a point: 1 where chains agree."""
        return float(split_rhat(self.chains.flatten(2)).max())

    @property
    def effective_draws(self) -> float:
        """The least effective number of draws of any number of a point."""
        return float(effective_size(self.chains.flatten(2)).min())

    @property
    def trustworthy(self) -> bool:
        """Whether the chains agree (R-hat at most 1.01) and hold at least 100 effective draws."""
        return self.rhat <= WORST_RHAT and self.effective_draws >= FEWEST_EFFECTIVE

    @property
    def points(self) -> Float[Tensor, "draws *event"]:
        """All draws of all chains.

        Raises:
            UnreliableError: If the chains cannot be trusted; ``chains`` shows them all the same.
        """
        if not self.trustworthy:
            raise UnreliableError(
                f"draws cannot be reported: R-hat is {self.rhat:.3f} (at most {WORST_RHAT}) with "
                f"{self.effective_draws:.0f} effective draws (at least {FEWEST_EFFECTIVE}) and acceptance "
                f"{self.acceptance:.3f}. Run more steps, or train the proposal longer."
            )
        return self.chains.flatten(0, 1)


def independence_metropolis(
    log_density: LogDensity,
    proposal: Proposal,
    *,
    steps: int = 1000,
    chains: int = 8,
    warmup: int = 100,
    generator: torch.Generator | None = None,
) -> ChainSample:
    r"""Walk through a target by proposals that do not look where the chain is.

    .. math:: x' \sim q, \quad \text{accepted with chance } \min \left( 1,
        \frac{\tilde p(x')\, q(x)}{\tilde p(x)\, q(x')} \right)

    The proposal is fixed: it is not trained while the chains run, so that they end in the target and nowhere else.

    Args:
        log_density: The target's natural log-density up to a constant.
        proposal: A flow, or anything with ``sample_and_log_prob(n, generator=)``.
        steps: Steps of each chain that are kept.
        chains: How many chains run side by side, at least 2.
        warmup: First steps that are thrown away.
        generator: Where draws come from.

    Returns:
        The chains, and how they agree.

    Raises:
        ArgumentError: The target is NaN or infinite somewhere, or zero at all first draws.

    Reference:
        Tierney, "Markov chains for exploring posterior distributions", 1994, section 2.3.3.

    Example:
        >>> from counterflow import flows
        >>> target = lambda x: -(x[:, 0] - 0.3).square() / 2
        >>> found = independence_metropolis(target, flows.linear(1), generator=torch.Generator().manual_seed(0))
        >>> found.trustworthy, abs(found.points.mean().item() - 0.3) < 0.05
        (True, True)
    """
    for name, value, least in (("steps", steps, 4), ("chains", chains, 2), ("warmup", warmup, 0)):
        check_count(value, name, least)
    with torch.no_grad():
        x, log_q = proposal.sample_and_log_prob(chains * (steps + warmup + 1), generator=generator)
        ratios = torch.cat([checked_density(log_density, part) for part in x.split(10_000)]) - log_q
    ratios, x = ratios.view(chains, -1), x.view(chains, steps + warmup + 1, *x.shape[1:])
    if not ratios[:, 0].isfinite().any():
        raise ArgumentError(
            f"log_density is -inf at all of the first {chains} draws. Is the proposal where the target is?"
        )
    chance = torch.rand(ratios.shape, generator=generator, dtype=ratios.dtype, device=ratios.device).log()
    place = torch.zeros(chains, dtype=torch.long, device=ratios.device)
    rows, places, moves = torch.arange(chains, device=ratios.device), [], []
    for step in range(1, steps + warmup + 1):
        accepted = chance[:, step] < ratios[:, step] - ratios[rows, place].nan_to_num(neginf=-1e30)
        place = torch.where(accepted, step, place)
        places.append(place)
        moves.append(accepted)
    kept = torch.stack(places[warmup:], dim=1)
    return ChainSample(x[rows[:, None], kept], torch.stack(moves[warmup:], dim=1))
