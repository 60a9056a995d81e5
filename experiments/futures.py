"""Futures of things that move: where somebody will be after a period of time, as a density over the plane.

    python -m experiments.futures forks walks --budget short --keep FOLDER    # some minutes of one core
    python -m experiments.futures forks walks --budget long --keep FOLDER     # some half hour
    python -m experiments.futures gather --keep FOLDER                        # writes and draws what was measured

Road forks (``counterflow.datasets.forks``) have a law that is known exactly; pedestrians of ETH and UCY are real, and
each scene is forecast by what was learned on the others. RegFlow, full and of a low rank, an equation steered by FiLM
and a spline flow are compared with a normal law and a mixture of five, all under the same encoder, in the same run.
"""

import argparse
import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch

from counterflow.datasets import Forks, forks
from counterflow.regression import DensityRegression
from experiments import futures_figure
from experiments.futures_measures import ConstantPace, judge_forks, judge_walks, scene_input
from experiments.futures_models import METHODS, PEDESTRIANS, Rows, trained
from experiments.futures_pedestrians import AHEAD, SCENES, Windows, blurred, load_windows, residual_rows
from experiments.tables import machine, results_path

__all__ = ["UNSEEN", "fork_rows"]

UNSEEN = 6
"""The step ahead that some models never see."""

WITHOUT = ("spline", "RegFlow, rank 4")
"""The methods that are also trained without it."""

FORKS = {"long": {"scenes": 40_000, "epochs": 30}, "short": {"scenes": 8_000, "epochs": 4}}
WALKS = {
    "long": {"windows": 2_000, "horizons_each": 4, "epochs": 10},
    "short": {"windows": 2_000, "horizons_each": 2, "epochs": 4},
}
_TEST_SCENES, _TEST_WINDOWS = 1_000, 1_000


@cache
def fork_rows(count: int, seed: int) -> tuple[Forks, Rows]:
    """Scenes with a place drawn in each."""
    generator = torch.Generator().manual_seed(seed)
    scenes = forks(count, generator=generator)
    return scenes, Rows(scene_input(scenes), scenes.sample(1, generator=generator)[:, 0], scenes.horizon)


@cache
def _test_windows(scene: str) -> Windows:
    return load_windows(scene, "test").some(_TEST_WINDOWS, torch.Generator().manual_seed(1))


def _folder(keep: Path, *names: object) -> Path:
    return keep / "_".join(str(name).replace(", ", "_").replace(" ", "_").lower() for name in names)


def _kept(path: Path, measure: Callable[[], dict[str, object]]) -> dict[str, object]:
    """What was measured before, or is measured now."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measure()))
        print(path.parent.name, path.read_text(), flush=True)
    return json.loads(path.read_text())


def _forks(options: argparse.Namespace) -> None:
    """Train and measure each method on the forks of each seed."""
    how = FORKS[options.budget]
    scenes, test = fork_rows(_TEST_SCENES, 7)
    for seed in options.seeds:
        for name in options.methods:
            folder = _folder(options.keep, "forks", options.budget, seed, name)
            rows = partial(lambda seed: fork_rows(how["scenes"], 100 + seed)[1], seed)
            law, _ = trained(name, rows, methods=METHODS, seed=seed, epochs=how["epochs"], folder=folder)
            _kept(folder / "measures.json", partial(judge_forks, law, scenes, test.y))


def _walk_rows(scene: str, how: dict[str, int], *, unseen: bool) -> Rows:
    """Windows of all scenes but one, with some of their horizons."""
    generator = torch.Generator().manual_seed(SCENES.index(scene))
    windows = load_windows(scene, "train").some(how["windows"], generator)
    horizons = [step for step in range(1, AHEAD + 1) if not (unseen and step == UNSEEN)]
    return residual_rows(windows, horizons=horizons, each=how["horizons_each"], generator=generator)


def _walks(options: argparse.Namespace) -> None:
    """Train each method on all scenes but one, with or without a step, and measure it on that scene."""
    how = WALKS[options.budget]
    for scene in options.scenes:
        for unseen in (False, True):
            for name in [name for name in (WITHOUT if unseen else PEDESTRIANS) if name in options.methods]:
                folder = _folder(options.keep, "walks", options.budget, scene, "without" if unseen else "all", name)
                rows = partial(_walk_rows, scene, how, unseen=unseen)
                law, _ = trained(name, rows, methods=PEDESTRIANS, seed=0, epochs=how["epochs"], folder=folder)
                _kept(folder / "measures.json", partial(judge_walks, law, _test_windows(scene)))


def _gather(options: argparse.Namespace) -> None:
    """Write what was measured, beside what needs no training, and draw."""
    scenes, test = fork_rows(_TEST_SCENES, 7)
    found: dict[str, object] = {
        "machine": machine(),
        "settings": {"forks": FORKS, "walks": WALKS, "test_scenes": _TEST_SCENES, "test_windows": _TEST_WINDOWS},
        "forks_entropy": -scenes.log_prob(test.y).mean().item(),
        "forks_exact": judge_forks(None, scenes, test.y),
    }
    for scene in options.scenes:
        pace, windows = (
            ConstantPace(blurred(load_windows(scene, "train"), torch.Generator().manual_seed(0))),
            _test_windows(scene),
        )
        found[f"walks_{scene}_constant_pace"] = {**judge_walks(None, windows), "test_windows": len(windows.seen)}
        found[f"walks_{scene}_constant_pace_normal_residuals"] = judge_walks(pace, windows)
    for path in sorted(options.keep.glob("*/measures.json")):
        notes = json.loads((path.parent / "notes.json").read_text())
        found[path.parent.name] = {**json.loads(path.read_text()), **notes}
    results_path("futures.json").write_text(json.dumps(found, indent=2) + "\n")
    _draw(options, scenes)


def _draw(options: argparse.Namespace, scenes: Forks) -> None:
    """Draw the first scenes with several likely exits, and the first windows of people who are under way."""
    several = (scenes.weights > 0.15).sum(1) > 1
    laws = _laws(options.keep, METHODS, "forks", options.budget, 0)
    futures_figure.draw_forks(laws, scenes[several][:3], (1.5, 3.0, 5.0))
    scene = options.scenes[0]
    windows = _test_windows(scene)
    under_way = (windows.pace > 0.5).nonzero()[:5, 0]
    laws = _laws(options.keep, PEDESTRIANS, "walks", options.budget, scene, "all")
    futures_figure.draw_walks(laws, Windows(*(part[under_way] for part in windows)))


def _laws(keep: Path, methods: dict, *names: object) -> dict[str, DensityRegression]:
    """What is kept of the methods."""
    folders = {name: _folder(keep, *names, name) for name in methods}
    return {
        name: trained(name, None, methods=methods, seed=0, epochs=0, folder=folder)[0]
        for name, folder in folders.items()
        if (folder / "notes.json").exists()
    }


def main() -> None:
    """Train and measure, or gather."""
    parts = {"forks": _forks, "walks": _walks, "gather": _gather}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=parts)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--budget", choices=FORKS, default="long")
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--methods", nargs="*", choices=[*METHODS], default=[*METHODS])
    parser.add_argument("--scenes", nargs="*", choices=SCENES, default=SCENES)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for part in options.parts:
        parts[part](options)


if __name__ == "__main__":
    main()
