"""Which diagnostic of a posterior sees which fault?

    python -m experiments.faults --repetitions 100 --local 20

Two cases whose posteriors are known in closed form: the benchmark's gaussian_linear (10 parameters, prior N(0, 0.1 I),
data N(theta, 0.1 I)), and a prior with two modes and correlated parameters under noisy data. The posterior that is
claimed is the exact one, or has one fault. Each diagnostic gets a fresh set of simulations in each repetition, and what
is counted is how often its p-value is at most 0.05: for the exact posterior that should be in 5 of 100, for a fault
as often as can be. Diagnostics that look at one observation get another one in each repetition.
"""

import argparse
import json
from collections.abc import Callable

import torch
from torch import Tensor

from counterflow.core.random import derive_seed, make_generator
from counterflow.core.threads import one_thread
from counterflow.inference import (
    fit_local_c2st,
    highest_density_coverage,
    posterior_predictive_check,
    simulation_based_calibration,
    tarp,
)
from counterflow.metrics import c2st, wilson_interval
from experiments import faults_figure
from experiments.faults_models import CASES, FAULTS, faulty
from experiments.tables import machine, results_path

__all__ = ["GROUPS", "alarm_rates"]

ROWS, COUNT, LOCAL_ROWS, OBSERVED_COUNT, NULLS = 300, 99, 500, 1000, 19
LEVEL = 0.05


def _simulated(name: str, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    theta = CASES[name].prior(rows).sample(1, generator=generator)[:, 0]
    return theta, CASES[name].simulate(theta, generator=generator)


def over_the_prior(name: str, fault: str, generator: torch.Generator) -> dict[str, float]:
    """Diagnostics that hold on average over the prior, all on the same simulations."""
    theta, x = _simulated(name, ROWS, generator)
    law = faulty(name, fault, x)
    draws = law.sample(COUNT, generator=generator)
    quantities = {"likelihood": CASES[name].log_likelihood}
    found = simulation_based_calibration(draws, theta, x=x, quantities=quantities, generator=generator)
    of_ranks = found.band_pvalues
    of_likelihood = of_ranks.pop("likelihood")
    own, true = law.log_prob(draws), law.log_prob(theta.unsqueeze(1))[:, 0]
    return {
        "SBC ranks": min(1.0, min(of_ranks.values()) * len(of_ranks)),
        "SBC, likelihood": of_likelihood,
        "TARP": tarp(draws, theta, generator=generator).pvalue,
        "TARP at the data": tarp(draws, theta, references=x, generator=generator).pvalue,
        "HPD coverage": highest_density_coverage(own, true, generator=generator).pvalue,
        "draws vs prior": _accuracy_pvalue(found.prior_c2st, 2 * ROWS),
    }


def at_one_observation(name: str, fault: str, generator: torch.Generator) -> dict[str, float]:
    """The predictive check, and the two-sample test against the exact posterior, which only a toy case has."""
    _, observed = _simulated(name, 1, generator)
    exact = CASES[name].posterior(observed).sample(OBSERVED_COUNT, generator=generator)[0]
    claimed = faulty(name, fault, observed).sample(OBSERVED_COUNT, generator=generator)[0]
    return {
        "predictive check": posterior_predictive_check(
            CASES[name].simulate(claimed, generator=generator), observed[0]
        ).pvalue,
        "C2ST vs exact": _accuracy_pvalue(c2st(exact, claimed, classifier="logistic"), 2 * OBSERVED_COUNT),
    }


def local(name: str, fault: str, generator: torch.Generator) -> dict[str, float]:
    """The local two-sample test at one observation."""
    theta, x = _simulated(name, LOCAL_ROWS, generator)
    draws = faulty(name, fault, x).sample(1, generator=generator)
    found = fit_local_c2st(draws, theta, x=x, nulls=NULLS, generator=generator)
    _, observed = _simulated(name, 1, generator)
    claimed = faulty(name, fault, observed).sample(OBSERVED_COUNT, generator=generator)[0]
    return {"local C2ST": found.test(claimed, observed[0]).pvalue}


def _accuracy_pvalue(accuracy: float, points: int) -> float:
    """The chance of as many hits by coin flips, in the normal approximation."""
    z = torch.tensor((accuracy - 0.5) * 2 * points**0.5)
    return float(torch.special.ndtr(-z))


GROUPS: dict[str, Callable[[str, str, torch.Generator], dict[str, float]]] = {
    "over the prior": over_the_prior,
    "local": local,
    "at one observation": at_one_observation,
}


def alarm_rates(name: str, fault: str, *, repetitions: dict[str, int], seed: int = 0) -> dict[str, dict[str, float]]:
    """How often each diagnostic gives the alarm, with the interval of 95 %."""
    rates = {}
    for group, diagnose in GROUPS.items():
        count = repetitions[group]
        generators = [make_generator(derive_seed(seed, name, fault, group, str(i))) for i in range(count)]
        pvalues = [diagnose(name, fault, generator) for generator in generators]
        for diagnostic in pvalues[0]:
            share = wilson_interval(sum(found[diagnostic] <= LEVEL for found in pvalues), count)
            ends = {"low": round(share.low, 3), "high": round(share.high, 3)}
            rates[diagnostic] = {"rate": round(share.value, 3), **ends, "repetitions": count}
    return rates


def main() -> None:
    """Measure all and write ``results/faults.json`` and its picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=100)
    parser.add_argument("--local", type=int, default=20, help="repetitions of the local two-sample test")
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=list(CASES), help="the others are kept")
    parser.add_argument("--faults", nargs="+", choices=list(FAULTS), default=list(FAULTS), help="the others are kept")
    options = parser.parse_args()
    repetitions = {group: options.local if group == "local" else options.repetitions for group in GROUPS}
    settings = {
        "rows": ROWS, "draws": COUNT, "rows of local C2ST": LOCAL_ROWS, "nulls of local C2ST": NULLS,
        "draws of one observation": OBSERVED_COUNT, "level": LEVEL,
    }  # fmt: skip
    for name in options.cases:
        rates = {}
        with one_thread():
            for fault in (fault for fault in CASES[name].faults if fault in options.faults):
                rates[fault] = alarm_rates(name, fault, repetitions=repetitions)
                print(name, fault, {key: rate["rate"] for key, rate in rates[fault].items()}, flush=True)
        _keep(name, rates, about={"machine": machine(), "settings": settings})
    found = json.loads(results_path("faults.json").read_text(encoding="utf-8"))
    faults_figure.draw({name: found[name] for name in CASES if name in found}, path=results_path("faults.png"))


def _keep(name: str, rates: dict[str, dict[str, dict[str, float]]], *, about: dict[str, object]) -> None:
    """Write results beside those of other cases and faults that are there already."""
    path = results_path("faults.json")
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    new = {**old, **about, name: {**old.get(name, {}), **rates}}
    path.write_text(json.dumps(new, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
