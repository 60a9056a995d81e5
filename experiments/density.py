"""Held-out log-likelihood on real data: counterflow at its best, and all libraries in equal wall time.

    python -m experiments.density best --minutes 60
    python -m experiments.density run bsds300 --library zuko --minutes 5 --cores 0
    python -m experiments.density compare --minutes 5

`best` trains one large flow of counterflow on BSDS300. `run` trains one library's flow of the common architecture.
`compare` does so for every library and data set, one after another, each in a process of its own, skipping those whose
result is there already, and draws the picture.
"""

import argparse
import os
from functools import partial
from importlib import import_module
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("counterflow", "zuko", "nflows", "flowjax")


def main(arguments: list[str] | None = None) -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    best = commands.add_parser("best", help="one large flow of counterflow on BSDS300")
    best.add_argument("--compile", action="store_true", help="compile the training step: worth it on an idle machine")
    best.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    best.add_argument("--layers", type=int, default=5)
    best.add_argument("--hidden", type=int, default=512, help="width of both hidden layers of every conditioner")
    saved = commands.add_parser("judge", help="judge the weights that `best` has saved so far")
    saved.add_argument("weights", type=Path)
    saved.add_argument("--cores", type=int, nargs="+", help="the processor cores to use; default all")
    run = commands.add_parser("run", help="one library's flow of the common architecture")
    run.add_argument("dataset", choices=("power", "bsds300"))
    run.add_argument("--library", choices=LIBRARIES, required=True)
    compare = commands.add_parser("compare", help="all libraries, one after another")
    compare.add_argument("--datasets", nargs="+", choices=("power", "bsds300"), default=["power", "bsds300"])
    compare.add_argument("--libraries", nargs="+", choices=LIBRARIES, default=list(LIBRARIES))
    compare.add_argument("--jax-python", help="the interpreter that has flowjax; default .venv-bench-jax/bin/python")
    compare.add_argument("--folder", type=Path, default=RESULTS, help="where results go")
    for command in (run, compare):
        command.add_argument(
            "--way", choices=("auto", "whole", "layers", "eager"), default="auto", help="what counterflow compiles"
        )
    for command in (best, run):
        command.add_argument("--out", type=Path, help="the JSON file to write")
        command.add_argument("--weights", type=Path, help="where the best weights go; nowhere by default")
    for command in (best, run, compare):
        command.add_argument("--minutes", type=float, default=60.0 if command is best else 5.0)
        command.add_argument("--cores", type=int, nargs="+", help="the processor cores to use; default all")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--note", default="", help="a sentence for the record, such as what else was running")
    options = parser.parse_args(arguments)
    {"best": run_best, "judge": judge_saved, "run": run_one, "compare": run_all}[options.command](options)


def run_best(options: argparse.Namespace) -> None:
    """Train the large flow."""
    _use_cores(options.cores)
    from experiments.density_best import BATCH, RATE, build, describe, judge_turned
    from experiments.density_data import load
    from experiments.density_loop import Plan, train

    plan = Plan(60 * options.minutes, batch=BATCH, rate=RATE, seed=options.seed)
    about = _about("bsds300", "counterflow", options) | {"architecture": describe(options.layers, options.hidden)}
    out = options.out or RESULTS / "density_best.json"
    data = load("bsds300")
    size = {"layers": options.layers, "hidden": options.hidden, "device": options.device}
    record = train(
        lambda: build(data.features, options.seed, compiled=options.compile, **size),
        data,
        plan=plan,
        about=about,
        out=out,
        weights=options.weights,
        judge_further=lambda contestant: judge_turned(contestant, data),
    )
    _tell(record.result)


def judge_saved(options: argparse.Namespace) -> None:
    """Print the log-densities of a flow whose training was cut short."""
    _use_cores(options.cores)
    from safetensors.torch import load_file

    from experiments.density_best import build, judge_turned
    from experiments.density_data import load
    from experiments.density_loop import judge

    data = load("bsds300")
    contestant = build(data.features, 0, compiled=False)
    contestant.restore(load_file(options.weights))
    _tell(judge(contestant, data))
    _tell(judge_turned(contestant, data))


def run_one(options: argparse.Namespace) -> None:
    """Train one library's flow of the common architecture."""
    _use_cores(options.cores)
    from experiments.density_data import load
    from experiments.density_loop import Plan, train
    from experiments.density_shape import SHAPES

    if options.library == "flowjax":
        from experiments.density_flowjax import BUILDERS
    else:
        from experiments.density_torch import BUILDERS
    import_module(options.library)  # before the clock starts
    shape = SHAPES[options.dataset]
    plan = Plan(60 * options.minutes, rate=shape.rate, seed=options.seed, every=min(10.0, 3 * options.minutes))
    about = _about(options.dataset, options.library, options) | {"architecture": vars(shape)}
    out = options.out or RESULTS / f"density_{options.dataset}_{options.library}.json"
    builder, data = BUILDERS[options.library], load(options.dataset)
    if options.library == "counterflow":
        builder = partial(builder, way=options.way)
    record = train(lambda: builder(shape, options.seed), data, plan=plan, about=about, out=out, weights=options.weights)
    _tell(record.result)


def run_all(options: argparse.Namespace) -> None:
    """Run every contestant in a process of its own, and draw the picture."""
    from experiments.density_compare import compare

    compare(options)


def _use_cores(cores: list[int] | None) -> None:
    """Keep this process on some cores, before any library counts them."""
    if cores:
        os.sched_setaffinity(0, cores)
    os.environ["OMP_NUM_THREADS"] = str(len(os.sched_getaffinity(0)))


def _about(dataset: str, library: str, options: argparse.Namespace) -> dict:
    """What a reader needs to know to run it again."""
    import platform
    import sys
    from importlib.metadata import version

    engines = ("flowjax", "jax") if library == "flowjax" else (library, "torch")
    return {
        "dataset": dataset,
        "library": library,
        "versions": {name: version(name) for name in engines},
        "command": " ".join(["python", "-m", "experiments.density", *(_without_folder(word) for word in sys.argv[1:])]),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "note": options.note,
    }


def _without_folder(word: str) -> str:
    """A word of the command line; of a path from the root its last part, for the rest is this machine's."""
    return Path(word).name if Path(word).is_absolute() else word


def _tell(result: dict) -> None:
    from experiments.density_loop import say

    say(", ".join(f"{name} {value:.3f}" for name, value in result.items()))


if __name__ == "__main__":
    main()
