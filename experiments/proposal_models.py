"""What is fitted to a target to be drawn from in its place, each with what it cost."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from counterflow import flows
from counterflow.core.errors import CounterflowError
from counterflow.distributions import Gaussian, StudentT
from counterflow.flows import Flow
from counterflow.inference import ProposalFit, fit_proposal, fit_variational, laplace, pathfinder, start_from
from experiments.proposal_targets import Counted, Target

__all__ = ["METHODS", "SETTINGS", "broad_law", "fitted", "is_kept", "wide_flow"]

_WIDTH, _DEGREES = 4.0, 3.0
_IMPORTANCE = {"objective": "importance", "annealing": 0.5, "steps": 1500}
_OFF_POLICY: dict[str, Any] = {"rounds": 10, "draws": 4000, "steps": 300, "batch_size": 256, "learning_rate": 2e-3}
_NORMAL = {"steps": 1000, "draws": 256, "learning_rate": 0.02}
SETTINGS = {
    "width": _WIDTH,
    "degrees": _DEGREES,
    "flow": "the defaults of fit_variational and realnvp",
    "importance": _IMPORTANCE,
    "off_policy": _OFF_POLICY,
    "normal": _NORMAL,
}


def wide_flow(features: int, generator: torch.Generator) -> Flow:
    """A RealNVP of default size that starts as a wide normal law."""
    law = Gaussian(torch.zeros(features), _WIDTH**2 * torch.eye(features))
    return start_from(law, flows.realnvp(features, generator=generator))


def broad_law(features: int) -> Flow:
    """A Student law as wide, with heavy tails."""
    law = Gaussian(torch.zeros(features), _WIDTH**2 * torch.eye(features))
    return start_from(law, flows.with_base(flows.linear(features), StudentT(features, degrees=_DEGREES)))


def _laplace(density: Counted, features: int, _: torch.Generator) -> tuple[Any, dict]:
    return laplace(density, torch.ones(features)), {}


def _pathfinder(density: Counted, features: int, generator: torch.Generator) -> tuple[Any, dict]:
    return pathfinder(density, torch.full((features,), 2.0), generator=generator), {}


def _normal(density: Counted, features: int, generator: torch.Generator) -> tuple[Any, dict]:
    flow = flows.linear(features)
    fit_variational(density, flow, generator=generator, progress=False, **_NORMAL)
    return flow, {}


def _flow(density: Counted, features: int, generator: torch.Generator) -> tuple[Any, dict]:
    flow = flows.realnvp(features, generator=generator)
    return flow, _ended(fit_variational(density, flow, generator=generator, progress=False).report)


def _importance(density: Counted, features: int, generator: torch.Generator) -> tuple[Any, dict]:
    flow = wide_flow(features, generator)
    return flow, _ended(fit_variational(density, flow, generator=generator, progress=False, **_IMPORTANCE).report)


def _off_policy(density: Counted, features: int, generator: torch.Generator) -> tuple[Any, dict]:
    flow = wide_flow(features, generator)
    found = fit_proposal(density, flow, broad=broad_law(features), generator=generator, progress=False, **_OFF_POLICY)
    return flow, {"rounds": _rounds(found), "outcome": str(found.outcome), "buffer": _buffer(found)}


METHODS: dict[str, Callable[[Counted, int, torch.Generator], tuple[Any, dict]]] = {
    "Laplace": _laplace,
    "pathfinder": _pathfinder,
    "normal law": _normal,
    "flow": _flow,
    "flow, importance": _importance,
    "flow, off-policy": _off_policy,
}


def fitted(target: Target, name: str, *, method: str, keep: Path | None) -> tuple[Any, dict]:
    """The proposal and its notes, from the folder if it was fitted before; no proposal where fitting was refused."""
    file = None if keep is None else _file(name, method, keep)
    if file is not None and is_kept(name, method, keep):
        return _read(target, method, file)
    density, begin = Counted(target.log_density), time.perf_counter()
    try:
        proposal, notes = METHODS[method](density, target.features, torch.Generator().manual_seed(0))
    except CounterflowError as error:
        proposal, notes = None, {"refused": str(error)}
    seconds = time.perf_counter() - begin
    notes = {"seconds": seconds, "gradients": density.gradients, "values": density.values, **notes}
    if file is not None:
        _write(proposal, notes, file)
    return proposal, notes


def is_kept(name: str, method: str, keep: Path | None) -> bool:
    """Whether the folder holds what a method made of a target."""
    return keep is not None and _file(name, method, keep).with_suffix(".json").exists()


def _file(name: str, method: str, keep: Path) -> Path:
    return keep / f"{name}_{method.replace(', ', '_').replace(' ', '_')}"


def _ended(report: Any) -> dict:
    return {"outcome": str(report.outcome), "best_epoch": report.best_epoch, "epochs": report.epochs}


def _rounds(found: ProposalFit) -> list[dict]:
    names = ("evaluations", "effective_share", "shape", "exponent")
    return [
        {name: getattr(one, name) for name in names if getattr(one, name) == getattr(one, name)} for one in found.rounds
    ]


def _buffer(found: ProposalFit) -> dict:
    """What all draws of the training say together."""
    sample = found.sample
    log_z = float(sample.log_weights.double().logsumexp(0) - torch.tensor(float(len(sample.points))).log())
    share = sample.effective_draws / len(sample.points)
    return {"log_z": log_z, "shape": sample.shape, "effective_share": share}


def _write(proposal: Any, notes: dict, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(proposal, Gaussian):
        save_file({"mean": proposal.mean, "factor": proposal.factor.contiguous()}, file.with_suffix(".safetensors"))
    elif proposal is not None:
        save_file(proposal.state_dict(), file.with_suffix(".safetensors"))
    file.with_suffix(".json").write_text(json.dumps(notes, indent=2))


def _read(target: Target, method: str, file: Path) -> tuple[Any, dict]:
    notes = json.loads(file.with_suffix(".json").read_text())
    if "refused" in notes:
        return None, notes
    saved = load_file(file.with_suffix(".safetensors"))
    if "factor" in saved:
        return Gaussian(saved["mean"], factor=saved["factor"]), notes
    generator = torch.Generator().manual_seed(0)
    plain = {"normal law": flows.linear, "flow": lambda features: flows.realnvp(features, generator=generator)}
    flow = plain.get(method, lambda features: wide_flow(features, generator))(target.features)
    flow.load_state_dict(saved)
    return flow.eval(), notes
