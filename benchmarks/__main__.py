"""Measure speed, or write the page about it.

python -m benchmarks             everything, then the page
python -m benchmarks engine      training steps, log-densities and samples against peers
python -m benchmarks tables      encoding, decoding and explaining tables
python -m benchmarks table       the page docs/explanation/speed.md from the newest figures
"""

import argparse
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.cases import FAMILIES, OPERATIONS, SIZES, check_known
from benchmarks.engine import run_engine
from benchmarks.libraries import MODULES, find_libraries
from benchmarks.machine import describe_machine
from benchmarks.page import PAGE, write_page
from benchmarks.results_folder import RESULTS, write_result
from benchmarks.tables import run_tables
from benchmarks.timing import Plan

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Do what the command line asks for."""
    options = _parser().parse_args(arguments)
    check_known(options.sizes, list(SIZES), "--sizes")
    if options.threads:
        torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", "Inputs to the softmax are not scaled down")  # peers, of a net that is not theirs
    plan = Plan(seconds=options.seconds)
    if options.what in ("all", "engine"):
        _engine(options, plan)
    if options.what in ("all", "tables"):
        machine = describe_machine()
        print(write_result("tables", run_tables(plan=plan), machine=machine, folder=options.results))
    if options.what in ("all", "table"):
        print(write_page(options.page, options.results))


def _engine(options: argparse.Namespace, plan: Plan) -> None:
    machine = describe_machine()
    figures = run_engine(
        sizes={label: SIZES[label] for label in options.sizes},
        families=options.families,
        operations=options.operations,
        libraries=find_libraries(tuple(options.libraries)),
        plan=plan,
    )
    print(write_result("engine", figures, machine=machine, folder=options.results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="?", choices=("all", "engine", "tables", "table"), default="all")
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="default: %(default)s")
    parser.add_argument("--families", nargs="+", default=list(FAMILIES), help="default: %(default)s")
    parser.add_argument("--operations", nargs="+", default=list(OPERATIONS), help="default: %(default)s")
    parser.add_argument("--libraries", nargs="+", default=list(MODULES), help="default: those that are installed")
    parser.add_argument("--seconds", type=float, default=Plan.seconds, help="for the rounds of a comparison")
    parser.add_argument("--threads", type=int, help="default: torch's own choice")
    parser.add_argument("--results", type=Path, default=RESULTS, help="the folder of the JSON files")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page to write")
    return parser


if __name__ == "__main__":
    main()
