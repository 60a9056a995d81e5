"""A neuron of Hodgkin and Huxley: eight parameters from seven features of one voltage trace.

    python -m experiments.hodgkin_huxley --keep /tmp/hodgkin_huxley

Traces are simulated with parameters from the prior of Goncalves et al. (2020), a posterior is learned from them, and it
is judged three ways: by where true parameters stand among draws for 150 fresh simulations, by how often balls hold them
(both amortized, over the whole prior), and by traces simulated anew from the posterior of one observation, whose
parameters are those of the paper's figure 4. Simulations and the trained posterior are kept in the folder named by
``--keep`` and used again from there.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from counterflow.inference import (
    BoxUniform,
    Posterior,
    fit_posterior,
    posterior_predictive_check,
    simulate,
    simulation_based_calibration,
    tarp,
    tasks,
)
from experiments import hodgkin_huxley_figure
from experiments.tables import machine, results_path

__all__ = ["TRUTH", "observe", "simulate_shares"]

TRUTH = (50.0, 5.0, 0.1, 0.07, 600.0, -60.0, 0.1, -70.0)
"""The parameters behind the observation."""

_TASK = tasks.hodgkin_huxley()
_LOW, _WIDTH = _TASK.prior.low, _TASK.prior.high - _TASK.prior.low
_PRIOR = BoxUniform(torch.zeros(8), torch.ones(8))
"""What is learned are shares of the parameters' ranges, which span from a tenth to three thousand."""


def simulate_shares(shares: Tensor, generator: torch.Generator) -> Tensor:
    """The features of traces, given where in their ranges the parameters lie."""
    return _TASK.simulator(_LOW + _WIDTH * shares, generator)


def observe() -> Tensor:
    """The observed trace."""
    return tasks.membrane_voltage(torch.tensor([TRUTH]), generator=torch.Generator().manual_seed(1))[0]


def timed(run: Callable[[], Any]) -> tuple[Any, float]:
    """What a call gives, and how many seconds of the processor it took."""
    begin = time.process_time()
    return run(), time.process_time() - begin


def learn(count: int, epochs: int, folder: Path) -> tuple[Posterior, dict[str, Any]]:
    """Simulate and train, or read what was kept."""
    generator = torch.Generator().manual_seed(0)
    found, simulating = timed(
        lambda: simulate(simulate_shares, _PRIOR, count=count, folder=folder / "simulations", generator=generator)
    )
    notes_file = folder / "notes.json"
    if notes_file.exists():
        return Posterior.load(folder / "posterior"), json.loads(notes_file.read_text())
    posterior, training = timed(
        lambda: fit_posterior(found, _PRIOR, max_epochs=epochs, generator=torch.Generator().manual_seed(1))
    )
    posterior.save(folder / "posterior")
    report = posterior.reports[0]
    notes = {
        "simulations": len(found),
        "failed": found.failures,
        "without_a_spike": float((found.x[:, 0] == 0).double().mean()),
        "simulating_seconds": simulating,
        "training_seconds": training,
        "epochs": report.epochs,
        "best_epoch": report.best_epoch,
        "held_out_nats": -report.best_validation,
        "outcome": report.outcome.sentence,
    }
    notes_file.write_text(json.dumps(notes))
    return posterior, notes


def calibrate(posterior: Posterior, *, rows: int, draws: int) -> tuple[Any, dict[str, Any]]:
    """Rank true parameters of fresh simulations among draws of their posteriors."""
    generator = torch.Generator().manual_seed(2)
    theta = _PRIOR.sample(rows, generator=generator)
    x = simulate_shares(theta, generator)
    drawn = posterior.sample_each(draws, x, generator=generator)
    ranks = simulation_based_calibration(drawn, theta, names=_TASK.parameters, generator=generator)
    balls = tarp(drawn, theta, generator=generator)
    shrunk = (drawn.std(1) / theta.std(0)).median(0).values
    return ranks, {
        "rows": rows,
        "draws": draws,
        "band_pvalues": ranks.band_pvalues,
        "ks_pvalues": ranks.ks_pvalues,
        "pvalue": ranks.pvalue,
        "prior_c2st": ranks.prior_c2st,
        "says": ranks.says,
        "tarp_area": balls.area,
        "tarp_pvalue": balls.pvalue,
        "deviation_to_prior": dict(zip(_TASK.parameters, shrunk.tolist(), strict=True)),
    }


def predict(posterior: Posterior, observed: Tensor, *, draws: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Simulate from posterior and prior, and compare features with those that were observed."""
    generator = torch.Generator().manual_seed(3)
    features = tasks.voltage_features(observed[None])[0]
    theta = {
        "posterior": _LOW + _WIDTH * posterior.sample(draws, features, generator=generator),
        "prior": _TASK.prior.sample(draws, generator=generator),
    }
    traces = {name: tasks.membrane_voltage(rows, generator=generator) for name, rows in theta.items()}
    found: dict[str, Any] = {"observed": dict(zip(tasks.FEATURES, features.tolist(), strict=True))}
    for name, voltage in traces.items():
        simulated = tasks.voltage_features(voltage)
        check = posterior_predictive_check(simulated, features, names=tasks.FEATURES)
        found[name] = {
            "tails": dict(zip(check.names, check.tails.tolist(), strict=True)),
            "pvalue": check.pvalue,
            "medians": dict(zip(tasks.FEATURES, simulated.median(0).values.tolist(), strict=True)),
            "same_spikes": float((simulated[:, 0] == features[0]).double().mean()),
            "spikes_within_one": float(((simulated[:, 0] - features[0]).abs() <= 1).double().mean()),
            "mean_voltage_error": float((simulated[:, 3] - features[3]).abs().median()),
        }
    shares = torch.tensor([0.05, 0.5, 0.95])
    quantiles = torch.quantile(theta["posterior"], shares, dim=0).T.tolist()
    found["quantiles"] = dict(zip(_TASK.parameters, quantiles, strict=True))
    found["truth_rank"] = (theta["posterior"] < torch.tensor(TRUTH)).double().mean(0).tolist()
    more = _LOW + _WIDTH * posterior.sample(5000, features, generator=generator)
    return {**traces, "theta": more}, found


def main() -> None:
    """Simulate, train, judge, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of simulations and the posterior")
    parser.add_argument("--simulations", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--rows", type=int, default=150, help="fresh simulations to rank in")
    parser.add_argument("--draws", type=int, default=150, help="draws of the one posterior to simulate from")
    options = parser.parse_args()
    torch.set_num_threads(1)
    posterior, notes = learn(options.simulations, options.epochs, options.keep)
    print(json.dumps(notes, indent=1), flush=True)
    (ranks, calibrated), judging = timed(lambda: calibrate(posterior, rows=options.rows, draws=99))
    print(json.dumps(calibrated, indent=1), judging, flush=True)
    observed = observe()
    drawn, predicted = predict(posterior, observed, draws=options.draws)
    print(json.dumps(predicted, indent=1), flush=True)
    settings = {"truth": TRUTH, "stimulus": vars(tasks.StepCurrent()), **vars(options), "keep": None}
    result = {"machine": machine(), "settings": settings, "learning": notes, "calibration": calibrated, **predicted}
    results_path("hodgkin_huxley.json").write_text(json.dumps(result, indent=2) + "\n")
    hodgkin_huxley_figure.draw(observed, drawn, ranks, truth=torch.tensor(TRUTH))


if __name__ == "__main__":
    main()
