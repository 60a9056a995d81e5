"""Flows as variational families and as proposals, where the normalizer is known and exact draws exist.

    python -m experiments.proposals --keep /tmp/proposals

Neal's funnel, a bent normal law and a mixture of four normal laws, all in ten dimensions. Laplace's law, Pathfinder's,
the best normal law, and flows trained by variational inference and off-policy are fitted to each and judged as
proposals. Then: exact draws by rejection under a bound, chains that mend what a flow has wrong, targets on which flows
fail, and the posterior of the eight schools, whose evidence and means one integral gives. Fitted proposals are kept in
the folder named by ``--keep`` and used again from there.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch
from scipy import stats

from counterflow import flows
from counterflow.core.errors import UnreliableError
from counterflow.distributions import Gaussian, StudentT
from counterflow.flows import Flow
from counterflow.inference import (
    DefensiveMixture,
    fit_variational,
    importance_sample,
    independence_metropolis,
    pathfinder,
    rejection_sample,
    start_from,
)
from experiments import proposals_figure
from experiments.proposal_measures import chains, judged, weighed
from experiments.proposal_models import METHODS, SETTINGS, broad_law, fitted, is_kept
from experiments.proposal_targets import (
    TARGETS,
    Target,
    banana,
    bent,
    cauchy,
    eight_schools,
    modes,
    schools_exactly,
    straightened,
)
from experiments.tables import machine, results_path

__all__ = ["compared", "exact_draws", "failures", "mended", "schools"]

_CHEAP = {"steps": 500, "draws": 256, "learning_rate": 3e-3, "progress": False}
_SHORT = {**_CHEAP, "steps": 300, "draws": 128}


def compared(keep: Path | None, *, kept_only: bool = False) -> dict[str, Any]:
    """Each method on each target, or those that the folder holds."""
    found: dict[str, Any] = {}
    for name, build in TARGETS.items():
        target = build()
        found[name] = {"log_z": target.log_z}
        for method in METHODS:
            if kept_only and not is_kept(name, method, keep):
                continue
            proposal, notes = fitted(target, name, method=method, keep=keep)
            found[name][method] = notes if proposal is None else {**notes, **judged(target, proposal)}
            print(name, method, json.dumps(found[name][method]), flush=True)
    return found


def exact_draws(*, count: int = 20_000) -> dict[str, Any]:
    """Rejection sampling of a banana in the plane through a flow with something broad in it.

    The bound is the largest ratio on a fine grid over 99.99999 % of the target, and 2 % on top of it.
    """
    target, generator = banana(2), torch.Generator().manual_seed(0)
    law = pathfinder(target.log_density, torch.ones(2), generator=generator)
    flow = start_from(law, flows.realnvp(2, layers=4, hidden=(32, 32), generator=generator))
    fit_variational(target.log_density, flow, generator=generator, **_CHEAP)
    wide = start_from(Gaussian(torch.zeros(2), 100 * torch.eye(2)), flows.with_base(flows.linear(2), StudentT(2)))
    proposal = DefensiveMixture(flow, wide, share=0.2)
    log_bound = _largest_ratio(target, proposal) + 0.02
    found = rejection_sample(target.log_density, proposal, n=count, log_bound=log_bound, generator=generator)
    wanted = math.exp(target.log_z - log_bound)
    white = straightened(found.points)
    tests = {"first": white[:, 0], "second": white[:, 1]}
    return {
        "tried": found.tried,
        "acceptance": found.acceptance,
        "acceptance_error": math.sqrt(wanted * (1 - wanted) / found.tried),
        "normalizer_over_bound": wanted,
        "largest_log_ratio": found.largest,
        "log_bound": log_bound,
        "ks_p_values": {name: float(stats.kstest(values.numpy(), "norm").pvalue) for name, values in tests.items()},
        "ks_p_value_of_the_radius": float(stats.kstest(white.square().sum(1).numpy(), stats.chi2(2).cdf).pvalue),
    }


@torch.no_grad()
def _largest_ratio(target: Target, proposal: Any, *, points: int = 401, reach: float = 5.5) -> float:
    """The largest log-ratio of target and proposal on a grid that is even in the straightened coordinates."""
    axis = torch.linspace(-reach, reach, points)
    grid = bent(torch.cartesian_prod(axis, axis))
    return max(float((target.log_density(x) - proposal.log_prob(x)).max()) for x in grid.split(100_000))


def mended(keep: Path | None) -> dict[str, Any]:
    """Chains with a flow trained for too short on the banana, and with the one that found the four modes."""
    target, generator = banana(), torch.Generator().manual_seed(0)
    short = flows.realnvp(target.features, generator=generator)
    fit_variational(target.log_density, short, steps=500, draws=256, generator=generator, progress=False)
    four = modes()
    flow = fitted(four, "modes", method="flow, importance", keep=keep)[0]
    return {"banana, 500 steps": chains(target, short), "modes": chains(four, flow)}


def failures() -> dict[str, Any]:
    """Tails that a flow over a normal base does not have, and modes that it does not visit."""
    target, generator = cauchy(), torch.Generator().manual_seed(0)
    light = flows.realnvp(target.features, generator=generator)
    heavy = flows.with_base(flows.realnvp(target.features, generator=generator), StudentT(target.features, degrees=1.0))
    found: dict[str, Any] = {}
    for name, flow in {"Cauchy, normal base": light, "Cauchy, Student base": heavy}.items():
        fit_variational(target.log_density, flow, generator=generator, **_SHORT)
        found[name] = weighed(importance_sample(target.log_density, flow, n=10_000, generator=generator), target.log_z)
    for name, target in {"four modes, near": modes(), "four modes, far": modes(distance=15.0)}.items():
        flow = flows.realnvp(target.features, generator=generator)
        fit_variational(target.log_density, flow, generator=generator, **_SHORT)
        found[name] = {**judged(target, flow), "chain": _walk(target, flow)}
        defended = DefensiveMixture(flow, broad_law(target.features))
        found[f"{name}, defended"] = judged(target, defended)
    return found


def _walk(target: Target, flow: Flow) -> dict[str, Any]:
    """What a chain with the flow says of the modes, and whether it calls itself trustworthy."""
    found = independence_metropolis(
        target.log_density, flow, steps=1000, chains=8, generator=torch.Generator().manual_seed(4)
    )
    return {
        "reported": found.trustworthy,
        "rhat": found.rhat,
        "means": target.known(found.chains.flatten(0, 1)).mean(0).tolist(),
    }


def schools() -> dict[str, Any]:
    """The eight schools: a normal law and a flow beside one integral."""
    log_z, means = schools_exactly()
    found: dict[str, Any] = {"log_z": log_z, "means": means.tolist()}
    for name, build in {"normal law": flows.linear, "flow": flows.realnvp}.items():
        generator = torch.Generator().manual_seed(0)
        variances = torch.tensor([25.0, 1.0, *[25.0] * 8])  # about those of the prior
        flow = start_from(
            Gaussian(torch.zeros(10), variances.diag()),
            build(10) if build is flows.linear else build(10, generator=generator),
        )
        fitted = fit_variational(eight_schools, flow, generator=generator, **{**_CHEAP, "steps": 1000})
        sample = importance_sample(eight_schools, flow, n=20_000, generator=generator)
        found[name] = {"lower": fitted.bound - log_z, **weighed(sample, log_z)}
        try:
            estimate = sample.expectation(lambda x: x)
            deviation = sample.expectation(lambda x, at=estimate: (x - at).square()).sqrt()
            found[name]["worst_mean_in_deviations"] = float(((estimate - means).abs() / deviation).max())
            found[name]["means"] = estimate.tolist()
        except UnreliableError as error:
            found[name]["refused"] = str(error)
    return found


def main() -> None:
    """Fit, judge, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="the folder of fitted proposals")
    parser.add_argument("--parts", nargs="*", help="only these; the others stay as they were measured before")
    parser.add_argument(
        "--kept", action="store_true", help="fit nothing to the three targets that is not in the folder"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    parts = {
        "targets": lambda: compared(options.keep, kept_only=options.kept),
        "rejection": exact_draws,
        "chains": lambda: mended(options.keep),
        "schools": schools,
        "failures": failures,
    }
    file = results_path("proposals.json")
    result = json.loads(file.read_text()) if options.parts is not None and file.exists() else {}
    for name in options.parts or parts:
        result[name] = parts[name]()
        print(name, json.dumps(result[name], indent=1), flush=True)
        result |= {"machine": machine(), "settings": {**SETTINGS, "cheap": _CHEAP, "short": _SHORT}}
        file.write_text(json.dumps(result, indent=2) + "\n")
    proposals_figure.draw(result, options.keep)


if __name__ == "__main__":
    main()
