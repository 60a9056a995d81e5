"""Hidden Markov models: scans beside hmmlearn's, which are written in C++, and a million observations in one go."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.timing import BRIEF, Local, Plan, take_turns
from counterflow.hmm import forward_filter, smooth, viterbi

__all__ = ["run_hmm"]

SIZES = ((3, 10_000), (3, 1_000_000), (8, 10_000), (8, 200_000))
"""States and observations."""

MILLION = """
import json, time
from pathlib import Path
import torch
from counterflow import flows
from counterflow.hmm import FlowMarkovModel
torch.set_num_threads(1)
model = FlowMarkovModel([flows.spline_coupling(1, layers=2) for _ in range(3)]).double()
x = torch.randn(1_000_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
model.smooth(x[:1000])
found = {}
for name, ask in {"score": model.filter, "posteriors": model.smooth, "path": model.decode}.items():
    Path("/proc/self/clear_refs").write_text("5")  # the peak is now what is in use (Linux)
    known = lambda: dict(line.split(":") for line in Path("/proc/self/status").read_text().splitlines())
    before = int(known()["VmRSS"].split()[0])
    began = time.process_time()
    ask(x)
    more = int(known()["VmHWM"].split()[0]) - before
    found[name] = {"seconds": round(time.process_time() - began, 2), "more_memory_mb": round(more / 1024)}
print(json.dumps(found))
"""


def run_hmm(*, plan: Plan = BRIEF, tell: Callable[[str], None] = print) -> dict[str, Any]:
    """Time scans over given log-densities, and a model of flows on a million observations.

    Args:
        plan: How many rounds.
        tell: Called with a line for each size.

    Returns:
        Figures, as plain data.
    """
    rows = [_scans(states, length, plan) for states, length in SIZES]
    for row in rows:
        tell(f"{row['states']} states, {row['rows']:,} rows: {row['milliseconds']}")
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    million = json.loads(done.stdout)
    tell(f"a million observations: {million}")
    return {"scans": rows, "million": million}


def _scans(states: int, rows: int, plan: Plan) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    density = torch.randn(rows, states, generator=generator, dtype=torch.float64)
    start, transition = (
        torch.rand(shape, generator=generator, dtype=torch.float64).log().log_softmax(-1)
        for shape in ((states,), (states, states))
    )
    racers = _ours(density, start, transition) | _hmmlearn(density, start, transition)
    times = take_turns({name: Local(call, time.process_time) for name, call in racers.items()}, plan).times
    return {
        "states": states,
        "rows": rows,
        "milliseconds": {name: round(1000 * each.median, 2) for name, each in times.items()},
    }


def _ours(density: torch.Tensor, start: torch.Tensor, transition: torch.Tensor) -> dict[str, Callable[[], object]]:
    law = {"log_start": start, "log_transition": transition}
    return {
        "filter": lambda: forward_filter(density, **law),
        "E-step": lambda: smooth(density, **law),
        "Viterbi": lambda: viterbi(density, **law),
    }


def _hmmlearn(density: torch.Tensor, start: torch.Tensor, transition: torch.Tensor) -> dict[str, Callable[[], object]]:
    """hmmlearn's inner functions: its forward pass in log-space and scaled, its E-step, its Viterbi algorithm."""
    from hmmlearn import _hmmc

    x, law = density.numpy(), (start.exp().numpy(), transition.exp().numpy())

    def expect() -> object:
        _, forward = _hmmc.forward_log(*law, x)
        backward = _hmmc.backward_log(*law, x)
        return forward + backward, _hmmc.compute_log_xi_sum(forward, law[1], backward, x)

    return {
        "hmmlearn filter": lambda: _hmmc.forward_log(*law, x),
        "hmmlearn filter, scaled": lambda: _hmmc.forward_scaling(*law, density.exp().numpy()),
        "hmmlearn E-step": expect,
        "hmmlearn Viterbi": lambda: _hmmc.viterbi(*law, x),
    }
