"""How near a proposal is to a target whose normalizer is known and which can be drawn from."""

from typing import Any

import torch
from torch import Tensor

from counterflow.core.errors import UnreliableError
from counterflow.inference import (
    ImportanceSample,
    effective_size,
    evidence_bounds,
    importance_sample,
    independence_metropolis,
)
from experiments.proposal_targets import Target

__all__ = ["chains", "judged", "sliced_wasserstein"]

_DRAWS, _COMPARED = 10_000, 4000


def sliced_wasserstein(x: Tensor, y: Tensor, *, directions: int = 200) -> float:
    """The mean over random directions of the Wasserstein-1 distance between the shadows of equally many points."""
    ways = torch.randn(x.shape[1], directions, generator=torch.Generator().manual_seed(2))
    ways = ways / ways.norm(dim=0)
    return float(((x @ ways).sort(0).values - (y @ ways).sort(0).values).abs().mean())


def judged(target: Target, proposal: Any, *, seed: int = 1) -> dict[str, object]:
    """Bounds, weights and distances of a proposal, and whether its estimates are reported or refused."""
    generator = torch.Generator().manual_seed(seed)
    found = importance_sample(target.log_density, proposal, n=_DRAWS, generator=generator)
    exact = target.draw(_DRAWS, generator)
    bounds = evidence_bounds(target.log_density, proposal, exact=exact, n=_DRAWS, generator=generator)
    distance = sliced_wasserstein(found.points[:_COMPARED], exact[:_COMPARED])
    floor = sliced_wasserstein(target.draw(_COMPARED, generator), exact[_COMPARED : 2 * _COMPARED])
    return {
        "lower": bounds.lower - target.log_z,
        "lower_error": bounds.lower_error,
        "upper": bounds.upper - target.log_z,
        "upper_error": bounds.upper_error,
        **weighed(found, target.log_z),
        "sliced_wasserstein": distance,
        "sliced_wasserstein_floor": floor,
        "raw_means": target.known(found.points).mean(0).tolist(),
        "true_means": list(target.means),
    }


def weighed(found: ImportanceSample, log_z: float) -> dict[str, object]:
    """What weights say: the normalizer less the true one, shares of effective draws, the tail, and the refusal."""
    count = len(found.points)
    raw = found.log_weights.double().logsumexp(0) - torch.tensor(float(count)).log()
    said: dict[str, object] = {
        "log_z_difference": float(raw) - log_z,
        "effective_share": found.effective_draws / count,
        "perplexity_share": found.perplexity / count,
        "shape": found.shape,
    }
    try:
        return {**said, "log_z_error": found.log_normalizer_error}
    except UnreliableError as error:
        return {**said, "refused": str(error)}


def chains(target: Target, proposal: Any, *, seed: int = 3, steps: int = 2500) -> dict[str, object]:
    """Means of known functions by a proposal as it is, and by independence Metropolis-Hastings with it."""
    generator = torch.Generator().manual_seed(seed)
    raw = target.known(proposal.sample(8 * steps, generator=generator))
    found = independence_metropolis(target.log_density, proposal, steps=steps, chains=8, generator=generator)
    walked = target.known(found.chains.flatten(0, 1))
    error = walked.std(0) / effective_size(walked.unflatten(0, found.moved.shape)).sqrt()
    return {
        "true": list(target.means),
        "raw": raw.mean(0).tolist(),
        "raw_error": (raw.std(0) / len(raw) ** 0.5).tolist(),
        "chain": walked.mean(0).tolist(),
        "chain_error": error.tolist(),
        "acceptance": found.acceptance,
        "rhat": found.rhat,
        "effective_draws": found.effective_draws,
        "reported": found.trustworthy,
    }
