"""Posteriors of the benchmark: ours beside those of sbi, judged by classifiers against the reference draws.

    python -m experiments.posteriors [--tasks two_moons slcp ...] [--budgets 10000 1000] [--seeds 0 1 2] [--sbi PYTHON]

For each task, budget and seed parameters and data are simulated once; ``fit_posterior`` with its defaults and, by
``--sbi`` (the interpreter of an environment with sbi; see ``benchmarks/constraints-sbi.txt``), sbi's NPE learn from
the same. Both then give 10,000 draws for each of the ten observations. Settings were chosen by held-out likelihood;
no reference draw was looked at.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path
from statistics import mean

import numpy as np
import torch

from counterflow.datasets import reference_posterior
from counterflow.inference import Simulations, fit_posterior, tasks
from counterflow.metrics import c2st
from experiments.posteriors_figure import draw
from experiments.tables import all_data, machine, results_path

__all__ = ["main"]

TASKS = ("two_moons", "gaussian_linear", "gaussian_linear_uniform", "slcp")
OBSERVATIONS = 10
DRAWS = 10_000
JUDGED = {2: (10_000, 10_000), 5: (10_000, 2_000), 10: (1_000, 1_000)}
"""How many draws of each side the network judges, by the number of parameters: in the first seed at the largest budget,
and else. In ten dimensions it takes minutes, and logistic regression on squares and products sees more there."""

ASKED = {"two_moons": 0.56, "gaussian_linear": 0.54, "slcp": 0.85, "gaussian_linear_uniform": 0.54}


def simulated(name: str, budget: int, seed: int) -> Simulations:
    """The simulations that both learn from."""
    task = tasks.by_name(name)
    generator = torch.Generator().manual_seed(1000 + seed)
    theta = task.prior.sample(budget, generator=generator)
    return Simulations(theta, task.simulator(theta, generator))


def ours(name: str, simulations: Simulations, observed: torch.Tensor, *, seed: int) -> tuple[torch.Tensor, float]:
    """Our draws for every observation, and the seconds that training and drawing took."""
    started = time.perf_counter()
    generator = torch.Generator().manual_seed(seed)
    posterior = fit_posterior(simulations, tasks.by_name(name).prior, generator=generator, progress=False)
    draws = posterior.sample_each(DRAWS, observed, generator=generator)
    return draws, time.perf_counter() - started


def theirs(
    python: str, model: str, name: str, *, simulations: Simulations, observed: torch.Tensor, seed: int
) -> tuple[torch.Tensor, float]:
    """The draws of sbi, in its own environment, and its seconds without imports."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        np.savez(path / "in.npz", theta=simulations.theta, x=simulations.x, observed=observed)
        script = Path(__file__).parent / "posteriors_sbi.py"
        subprocess.run(
            [python, str(script.resolve()), name, model, str(seed), str(DRAWS), folder], check=True, cwd=folder
        )
        found = np.load(path / "out.npz")
        return torch.from_numpy(found["draws"]), float(found["seconds"])


def judged(name: str, draws: torch.Tensor, count: int) -> tuple[list[float], list[float]]:
    """C2ST of each observation by the network of the benchmark, and by logistic regression on squares and products."""
    network, quadratic = [], []
    for i in range(OBSERVATIONS):
        reference = reference_posterior(all_data() / "sbibm", name, observation=i + 1).draws
        network.append(c2st(reference[:count], draws[i, :count]))
        quadratic.append(c2st(reference, draws[i], classifier="logistic"))
    return network, quadratic


def cell(name: str, budget: int, seed: int, *, python: str | None, model: str) -> list[dict[str, object]]:
    """One task, budget and seed: a record of ours, and one of sbi's."""
    observed = torch.stack(
        [reference_posterior(all_data() / "sbibm", name, observation=i + 1).observation for i in range(OBSERVATIONS)]
    )
    simulations = simulated(name, budget, seed)
    found = {"counterflow": ours(name, simulations, observed, seed=seed)}
    if python:
        found[f"sbi {model}"] = theirs(python, model, name, simulations=simulations, observed=observed, seed=seed)
    records = []
    for who, (draws, seconds) in found.items():
        most, few = JUDGED[draws.shape[2]]
        count = most if (budget, seed) == (10_000, 0) else few
        network, quadratic = judged(name, draws, count)
        record = {"task": name, "budget": budget, "seed": seed, "who": who, "seconds": seconds}
        records.append({**record, "c2st": network, "c2st_quadratic": quadratic, "judged": count})
        print(
            f"{name} {budget} seed {seed} {who}: {mean(network):.3f} ({mean(quadratic):.3f}) in {seconds:.1f} s",
            flush=True,
        )
    return records


def summary(records: list[dict]) -> list[dict[str, object]]:
    """Means over observations and seeds, with bootstrap intervals over both."""
    rng, rows = np.random.default_rng(0), []
    for key in sorted({(r["task"], r["budget"], r["who"]) for r in records}):
        own = [r for r in records if (r["task"], r["budget"], r["who"]) == key]
        values = np.array([r["c2st"] for r in own])
        again = [
            values[rng.integers(len(values), size=len(values))][:, rng.integers(10, size=10)].mean()
            for _ in range(2000)
        ]
        low, high = np.quantile(again, [0.025, 0.975])
        rows.append(
            {
                "task": key[0],
                "budget": key[1],
                "who": key[2],
                "c2st": float(values.mean()),
                "low": float(low),
                "high": float(high),
                "quadratic": float(np.mean([r["c2st_quadratic"] for r in own])),
                "seconds": mean(r["seconds"] for r in own),
                "seeds": len(own),
                "asked": ASKED[key[0]] if key[1] == 10_000 else None,
            }
        )
    return rows


def main() -> None:
    """Measure, and write ``posteriors.json`` after every cell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[10_000, 1_000])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--sbi", default=None, help="the interpreter of an environment with sbi")
    parser.add_argument("--model", default="nsf", help="the density estimator of sbi")
    parser.add_argument("--out", default="posteriors.json")
    given = parser.parse_args()
    torch.set_num_threads(1)
    path = results_path(given.out)
    records = json.loads(path.read_text())["records"] if path.exists() else []
    for budget in given.budgets:
        for seed in given.seeds:
            for name in given.tasks:
                if any((r["task"], r["budget"], r["seed"]) == (name, budget, seed) for r in records):
                    continue
                records += cell(name, budget, seed, python=given.sbi, model=given.model)
                held = {"machine": machine(), "draws": DRAWS, "summary": summary(records), "records": records}
                path.write_text(json.dumps(held, indent=1) + "\n")
    draw(summary(records), path.with_suffix(".png"))
    for row in summary(records):
        print(row)


if __name__ == "__main__":
    main()
