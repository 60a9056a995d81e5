"""FlowHMM beside hmmlearn's Gaussian mixtures: on laws that are known, and on series whose law nobody knows.

    python -m experiments.hmm --keep /tmp/hmm

The paper's examples: a chain whose states emit two normal laws and a uniform one; a beta, a uniform and a normal law; a
uniform law and two moons; 10,000 observations each. What is learned is compared with the law itself on a fresh series:
mean log-likelihood per step, total variation of the emissions after matching states, share of states that the Viterbi
path gets right. Then the paper's series, and a room's sensors, where states found without labels are compared with
whether somebody was there. hmmlearn's models get the same rows in the same run.
"""

import argparse
import json
import time
import warnings
from collections.abc import Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

from counterflow import FlowHMM, flows
from counterflow.hmm import forward_filter, viterbi
from experiments import hmm_figure
from experiments.hmm_data import KNOWN, REAL, Known, occupancy
from experiments.tables import machine, results_path

__all__ = ["Learner", "agreement", "total_variation"]

MIXTURES = (1, 5, 10, 20)
_ROWS = 10_000
_ITERATIONS = 30
_FLOW = {"layers": 2, "batch_size": 1000, "max_epochs": 250, "patience": 80, "learning_rate": 2e-2}
_SMOOTH = {"validation": 0.2, "stretch": 400}  # for a room's sensors, whose neighboring rows are alike
_NET = {"layers": 1, "hidden": (24, 24), "bins": 6}  # of a spline_autoregressive, in more than one dimension


class Learner:
    """A model of either library, fitted, with one manner of asking.

    Args:
        name: What it is called.
        model: The fitted model.
        seconds: How much of the processor it took.
    """

    def __init__(self, name: str, model: Any, seconds: float) -> None:
        self.name, self.model, self.seconds = name, model, seconds

    def score(self, x: np.ndarray) -> float:
        """The mean log-likelihood per step."""
        return self.model.score(x) if isinstance(self.model, FlowHMM) else self.model.score(x) / len(x)

    def log_densities(self, x: np.ndarray) -> np.ndarray:
        """The log-density of each row under each state."""
        ours = isinstance(self.model, FlowHMM)
        return self.model.emission_log_density(x) if ours else self.model._compute_log_likelihood(x)

    def path(self, x: np.ndarray) -> np.ndarray:
        """The Viterbi path."""
        return self.model.predict(x)


def ours(x: np.ndarray, states: int, *, seed: int) -> FlowHMM:
    """FlowHMM as it learns laws and series."""
    flow = _FLOW | ({"flow": partial(flows.spline_autoregressive, **_NET)} if x.shape[1] > 1 else {})
    return FlowHMM(states, random_state=seed, **flow)


def learners(model: FlowHMM, x: np.ndarray, *, mixtures: Sequence[int], keep: Path | None) -> list[Learner]:
    """A FlowHMM, and hmmlearn's mixtures with each number of components."""
    states, seed = model.n_states, model.random_state
    found = [_kept(model, x, keep)]
    for number in mixtures:
        began = time.process_time()
        try:
            model = _gmm(x, states, number, seed)
            found.append(Learner(f"GMM-HMM {number}", model, time.process_time() - began))
        except ValueError as error:  # hmmlearn's covariances may cease to be positive definite
            print("GMM-HMM", number, "gave up:", error, flush=True)
    return found


def _folder(keep: Path | None, name: str) -> Path | None:
    return None if keep is None else keep / name.replace(",", "").replace("&", "").replace(" ", "-")


def _kept(model: FlowHMM, x: np.ndarray, folder: Path | None) -> Learner:
    seconds = None if folder is None else folder.with_suffix(".seconds")
    if folder is not None and seconds is not None and seconds.exists():
        return Learner("FlowHMM", FlowHMM.load(folder), float(seconds.read_text()))
    began = time.process_time()
    model.fit(x)
    took = time.process_time() - began
    if folder is not None and seconds is not None:
        model.save(folder)
        seconds.write_text(str(took))
    return Learner("FlowHMM", model, took)


def _gmm(x: np.ndarray, states: int, mixtures: int, seed: int) -> Any:
    from hmmlearn.hmm import GMMHMM

    model = GMMHMM(
        states,
        mixtures,
        covariance_type="full" if x.shape[1] > 1 else "diag",
        n_iter=_ITERATIONS,
        random_state=seed,
        min_covar=1e-4,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scale = x.std(0)
        model.fit(x / scale)
        model._check()
    return _Scaled(model, scale)


class _Scaled:
    """A model of scaled rows, asked in the units of the rows."""

    def __init__(self, model: Any, scale: np.ndarray) -> None:
        self.model, self.scale = model, scale

    def score(self, x: np.ndarray) -> float:
        return self.model.score(x / self.scale) - len(x) * np.log(self.scale).sum()

    def predict(self, x: np.ndarray) -> np.ndarray:
        return self.model.predict(x / self.scale)

    def _compute_log_likelihood(self, x: np.ndarray) -> np.ndarray:
        return self.model._compute_log_likelihood(x / self.scale) - np.log(self.scale).sum()


def total_variation(learner: Learner, law: Known) -> tuple[list[float], np.ndarray]:
    """Half the integral of what emissions differ by, for each true state after matching, and the matching."""
    grid, cell = law.grid()
    true, learned = law.densities(grid).exp().numpy(), np.exp(learner.log_densities(grid))
    apart = np.abs(true[:, :, None] - learned[:, None, :]).sum(0) * cell / 2
    apart += (1 - np.minimum(learned.sum(0) * cell, 1))[None, :] / 2  # what lies beyond the box
    rows, columns = linear_sum_assignment(apart)
    return apart[rows, columns].tolist(), columns


def agreement(path: np.ndarray, states: np.ndarray) -> float:
    """The share of rows whose states agree, after the best matching."""
    size = max(path.max(), states.max()) + 1
    counts = np.zeros((size, size))
    np.add.at(counts, (path, states), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(path))


def alike(law: Known, x: np.ndarray, states: np.ndarray) -> list[dict[str, float]]:
    """What the likelihood does not tell apart: laws in which two states emit mixtures of their two emissions.

    States that follow, and are followed by, the same states with the same chances may share their emissions in any way.
    """
    transition, found = torch.tensor(law.transition), []
    grid, cell = law.grid()
    for i, j in combinations(range(law.states), 2):
        if not (torch.equal(transition[i], transition[j]) and torch.equal(transition[:, i], transition[:, j])):
            continue
        density, (first, second) = law.densities(x).exp(), law.densities(grid).exp().T[[i, j]]
        apart = float((first - second).abs().sum() * cell / 2)
        for lent in (0.0, 0.1, 0.2, 0.3, 0.5):
            shares = torch.eye(law.states, dtype=torch.float64)
            shares[i, j], shares[j, i], shares[i, i], shares[j, j] = lent, lent, 1 - lent, 1 - lent
            emitted = (density @ shares).log()
            score = float(forward_filter(emitted, **law.law).log_predictive.mean())
            accuracy = agreement(viterbi(emitted, **law.law).numpy(), states)
            found.append({"lent": lent, "total_variation": lent * apart, "score": score, "accuracy": accuracy})
    return found


def judge_known(
    name: str, *, seeds: Sequence[int], mixtures: Sequence[int], keep: Path | None
) -> tuple[dict[str, Any], Any]:
    """What each learned of a law that is known."""
    law, runs, drawn = KNOWN[name](), [], None
    for seed in seeds:
        x, _ = law.sample(_ROWS, seed)
        fresh, states = law.sample(_ROWS, 1000 + seed)
        score, path = law.oracle(fresh)
        run: dict[str, Any] = {"seed": seed, "truth": {"score": score, "accuracy": agreement(path, states)}}
        folder = _folder(keep, f"{name} {seed}")
        for learner in learners(ours(x, law.states, seed=seed), x, mixtures=mixtures, keep=folder):
            apart, order = total_variation(learner, law)
            drawn = (law, learner, order) if isinstance(learner.model, FlowHMM) else drawn
            run[learner.name] = {
                "score": learner.score(fresh),
                "short_of_truth": score - learner.score(fresh),
                "total_variation": apart,
                "accuracy": agreement(learner.path(fresh), states),
                "seconds": learner.seconds,
            }
            print(name, seed, learner.name, json.dumps(run[learner.name]), flush=True)
        runs.append(run)
    return {"runs": runs, "laws of the same likelihood": alike(law, fresh, states)}, drawn


def _asked(runs: list[dict[str, Any]]) -> dict[str, bool]:
    ours = [(run["FlowHMM"], run["truth"]) for run in runs]
    return {
        "score within .02 nats": all(found["short_of_truth"] <= 0.02 for found, _ in ours),
        "total variation at most .08": all(max(found["total_variation"]) <= 0.08 for found, _ in ours),
        "accuracy within .01": all(found["accuracy"] >= truth["accuracy"] - 0.01 for found, truth in ours),
    }


def judge_real(name: str, *, mixtures: Sequence[int], keep: Path | None) -> dict[str, Any]:
    """The later part of a series, after the earlier one."""
    series = REAL[name]()
    found: dict[str, Any] = {"rows": [len(series.train), len(series.test)], "states": series.states}
    for learner in learners(
        ours(series.train, series.states, seed=0), series.train, mixtures=mixtures, keep=_folder(keep, name)
    ):
        found[learner.name] = {"score": learner.score(series.test), "seconds": learner.seconds}
        print(name, learner.name, found[learner.name], flush=True)
    others = [value["score"] for key, value in found.items() if key.startswith("GMM")]
    return found | ({"above_best_mixture": found["FlowHMM"]["score"] - max(others)} if others else {})


def judge_occupancy(*, seeds: Sequence[int], mixtures: Sequence[int], keep: Path | None) -> dict[str, Any]:
    """States found without labels beside whether somebody was in the room."""
    rows, occupied = occupancy()
    runs = []
    for seed in seeds:
        run: dict[str, Any] = {"seed": seed}
        for learner in learners(
            FlowHMM(2, random_state=seed, **_SMOOTH),
            rows[0],
            mixtures=mixtures,
            keep=_folder(keep, f"occupancy {seed}"),
        ):
            paths = [learner.path(part) for part in rows]
            run[learner.name] = {
                "accuracy": [agreement(path, truth) for path, truth in zip(paths, occupied, strict=True)],
                "adjusted_rand": [float(adjusted_rand_score(t, p)) for p, t in zip(paths, occupied, strict=True)],
                "score": [learner.score(part) for part in rows],
                "seconds": learner.seconds,
            }
            print("occupancy", seed, learner.name, json.dumps(run[learner.name]), flush=True)
        runs.append(run)
    return {"rows": [len(part) for part in rows], "runs": runs}


def judged(name: str, *, seeds: Sequence[int], **how: Any) -> tuple[dict[str, Any], Any]:
    """What was found of one of the laws or series, and what of it can be drawn."""
    if name in KNOWN:
        return judge_known(name, seeds=seeds, **how)
    return (judge_occupancy(seeds=seeds, **how) if name == "occupancy" else judge_real(name, **how)), None


def merged(before: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What was found now, and of the learners that were not asked again what was found before."""
    runs = {run["seed"]: run for run in before.get("runs", [])}
    for run in found.get("runs", []):
        runs[run["seed"]] = runs.get(run["seed"], {}) | run
    return before | found | ({"runs": [runs[seed] for seed in sorted(runs)]} if runs else {})


def main() -> None:
    """Fit, judge, write and draw; what was measured before and is not asked for again stays in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[*KNOWN, "occupancy", *REAL])
    parser.add_argument("--keep", type=Path, help="the folder of trained models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--mixtures", type=int, nargs="*", default=MIXTURES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    settings = {"rows": _ROWS, "hmmlearn_iterations": _ITERATIONS, "flow": _FLOW, "net": _NET, "smooth": _SMOOTH}
    path, drawn = results_path("hmm.json"), {}
    result: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"known": {}, "real": {}}
    result |= {"machine": machine(), "settings": settings}
    for name in options.names:
        found, picture = judged(name, seeds=options.seeds, mixtures=options.mixtures, keep=options.keep)
        part = result["known" if name in KNOWN else "real"]
        part[name] = merged(part.get(name, {}), found)
        if name in KNOWN:
            part[name]["asked"] = _asked(part[name]["runs"])
        path.write_text(json.dumps(result, indent=2) + "\n")
        drawn |= {name: picture} if picture else {}
    if len(drawn) == len(KNOWN):
        hmm_figure.draw(drawn, result["known"])


if __name__ == "__main__":
    main()
