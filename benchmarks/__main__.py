"""Measure speed, or write the page about it.

python -m benchmarks             everything, then the page
python -m benchmarks engine      training steps, log-densities and samples against peers
python -m benchmarks gpu         the same on an NVIDIA GPU, where there is one
python -m benchmarks growth      how times grow with the number of features and of layers
python -m benchmarks memory      what 50 layers need in training, and what 5 need
python -m benchmarks continuous  flows that are differential equations
python -m benchmarks tables      encoding, decoding and explaining tables
python -m benchmarks hmm         hidden Markov models beside hmmlearn
python -m benchmarks counterfactuals  our methods beside dice-ml on Adult, Heloc and COMPAS, then the page about it
python -m benchmarks table       the page docs/explanation/speed.md from the newest figures
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from benchmarks import growth
from benchmarks.cases import FAMILIES, OPERATIONS, SIZES, SIZES_ON_GPU, check_known
from benchmarks.engine import ENTRANTS, run_engine, run_on_gpu
from benchmarks.hmm import run_hmm
from benchmarks.libraries import CONTESTANTS
from benchmarks.machine import cores, describe_machine
from benchmarks.page import PAGE, write_page
from benchmarks.results_folder import RESULTS, write_result
from benchmarks.tables import run_tables
from benchmarks.timing import BRIEF, Plan

__all__ = ["main"]

Options = argparse.Namespace


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    check_known(options.sizes, list(SIZES), "--sizes")
    check_known(options.contestants, list(CONTESTANTS), "--contestants")
    torch.set_num_threads(options.threads)
    for what, run in PARTS.items():
        if options.what in ("all", what):
            _measure(what, run, options)
    if options.what in ("all", "table"):
        print(write_page(options.page, options.results))


def _measure(what: str, run: Callable[[Options], dict[str, Any] | None], options: Options) -> None:
    machine = describe_machine(threads=options.threads)
    figures = run(options)
    if figures is not None:
        print(write_result(what, figures, machine=machine, folder=options.results))


def _engine(options: Options) -> dict[str, Any]:
    return run_engine(
        sizes={label: SIZES[label] for label in options.sizes},
        families=options.families,
        operations=options.operations,
        contestants=options.contestants,
        full=options.full,
        threads=options.threads,
        plan=_plan(options),
        tell=_tell,
    )


def _gpu(options: Options) -> dict[str, Any] | None:
    if not torch.cuda.is_available():
        print("gpu: needs an NVIDIA GPU, and torch finds none here")
        return None
    sizes = {label: size for label, size in SIZES_ON_GPU.items() if label in (*options.sizes, "D")}
    return run_on_gpu(sizes=sizes, families=options.families, threads=options.threads, plan=_brief(options), tell=_tell)


def _growth(options: Options) -> dict[str, Any]:
    return growth.run_sweeps(
        [growth.FEATURES, growth.DEPTHS], threads=options.threads, plan=_brief(options), tell=_tell
    )


def _memory(options: Options) -> dict[str, Any]:
    plan = replace(_brief(options), rounds=3)
    return growth.run_sweeps([growth.MEMORY], threads=options.threads, plan=plan, tell=_tell)


def _continuous(options: Options) -> dict[str, Any] | None:
    if find_spec("benchmarks.continuous") is None:
        print("continuous: nothing to measure in this version")
        return None
    return import_module("benchmarks.continuous").run_continuous(plan=_plan(options), tell=_tell)


def _tables(options: Options) -> dict[str, Any]:
    return run_tables(plan=_plan(options), tell=_tell)


def _hmm(options: Options) -> dict[str, Any] | None:
    if find_spec("hmmlearn") is None:
        print("hmm: needs hmmlearn (pip install -c constraints.txt '.[bench]')")
        return None
    return run_hmm(plan=_brief(options), tell=_tell)


def _counterfactuals(options: Options) -> dict[str, Any] | None:
    comparison = import_module("benchmarks.counterfactuals")
    if not comparison.DICE.exists() or find_spec("experiments.tables") is None or not _data_there():
        print("counterfactuals: needs .venv-bench-dice (make bench makes it) and the tables (COUNTERFLOW_DATA)")
        return None
    figures = comparison.run_counterfactuals(folder=Path("build") / "counterfactuals", tell=_tell)
    print(import_module("benchmarks.counterfactual_page").write_measured(figures))
    return figures


def _data_there() -> bool:
    return import_module("experiments.tables").data_folder().is_dir()


PARTS: dict[str, Callable[[Options], dict[str, Any] | None]] = {
    "engine": _engine,
    "gpu": _gpu,
    "growth": _growth,
    "memory": _memory,
    "continuous": _continuous,
    "tables": _tables,
    "hmm": _hmm,
    "counterfactuals": _counterfactuals,
}


_tell = partial(print, flush=True)
"""At once, so that a run of minutes can be followed in a file."""


def _plan(options: Options) -> Plan:
    return Plan(seconds=options.seconds, rounds=options.rounds, patience=options.patience)


def _brief(options: Options) -> Plan:
    """Shorter bursts and fewer rounds than usual, and never more than were asked for."""
    return Plan(min(BRIEF.seconds, options.seconds), min(BRIEF.rounds, options.rounds), patience=BRIEF.patience)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("all", *PARTS, "table"), default="all")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="default: %(default)s")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), help="default: %(default)s")
    parser.add_argument("--operations", nargs="+", default=list(OPERATIONS), help="default: %(default)s")
    parser.add_argument("--contestants", nargs="+", default=list(ENTRANTS), help="default: %(default)s")
    parser.add_argument("--full", action="store_true", help="peers that are slow to compile race at all sizes")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="a burst of calls; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=Plan.rounds, help="bursts of each; default: %(default)s")
    parser.add_argument("--patience", type=float, default=Plan.patience, help="seconds for a request of the engine")
    parser.add_argument("--threads", type=int, default=cores(), help="of each contestant; default: all %(default)s")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    return parser


if __name__ == "__main__":
    main()
