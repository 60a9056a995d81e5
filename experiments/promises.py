"""Look for a broken promise: 30 made-up tables with models and explainers, and 10,000 pairs of a row and a question.

    python -m experiments.promises [--worlds 30] [--rows 35] [--rounds 2] [--jobs 2] [--thorough]

For each world and each registered method random rows are explained under random constraints (immutable columns,
directions, ranges, categories, at most k changes, rules between columns, costs) with random wishes, ranges of
probability, levels and norms, and everything that is promised of an answer is checked by code apart from the search's:
see ``tests/laws/promises.py``. Searches take few steps unless ``--thorough`` is given: a promise does not hang on them.
"""

import argparse
import json
import platform
import time
import warnings
from collections import Counter
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from counterflow.estimators.methods import METHODS
from tests.laws.promises import answered, world

RESULTS = Path(__file__).parent / "results" / "promises.json"
EMPTY: dict[str, Any] = {"broken": [], "cases_by_method": {}, "endings": {}, "seconds": 0.0, "worlds": []}


def main() -> None:
    """Run everything, and write the tally after every world."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worlds", type=int, default=30)
    parser.add_argument("--rows", type=int, default=35, help="rows in each question")
    parser.add_argument("--rounds", type=int, default=2, help="questions for each world and method")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--thorough", action="store_true", help="searches of their usual length")
    parser.add_argument("--resume", action="store_true", help="keep the result that is there, and add missing worlds")
    options = parser.parse_args()
    known = json.loads(RESULTS.read_text(encoding="utf-8")) if options.resume else EMPTY
    seeds = [seed for seed in range(options.worlds) if seed not in {each["seed"] for each in known["worlds"]}]
    began, done = time.monotonic(), []
    with get_context("spawn").Pool(options.jobs, maxtasksperchild=3) as pool:
        for result in pool.imap_unordered(partial(tried, options), seeds):
            done.append(result)
            found = together(known, done, options, time.monotonic() - began)
            RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            print(f"world {result['seed']}: {found['cases']:,} cases, {len(found['broken'])} broken", flush=True)


def tried(options: argparse.Namespace, seed: int) -> dict[str, Any]:
    """All methods in one world: how many cases, how they ended, and what was broken."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    made, broken = world(seed), []
    cases, endings = Counter(), Counter()
    for name in METHODS:
        for question in range(options.rounds):
            cases[name] += options.rows
            try:
                answer = answered(made, name, question, rows=options.rows, quick=not options.thorough)
            except AssertionError as error:
                broken.append(str(error))
            else:
                endings.update(f"{name}: {status.value}" for status in answer.status)
    kinds = [str(column.kind) for column in made.schema.columns]
    rules = [str(link) for link in made.schema.links]
    model = type(made.model[-1]).__name__
    about = {"seed": seed, "columns": kinds, "rules": rules, "model": model}
    return {**about, "cases": cases, "endings": endings, "broken": broken}


def together(
    known: dict[str, Any], done: list[dict[str, Any]], options: argparse.Namespace, seconds: float
) -> dict[str, Any]:
    """What was known and what was done since, as one result."""
    cases = sum((each["cases"] for each in done), Counter(known["cases_by_method"]))
    endings = sum((each["endings"] for each in done), Counter(known["endings"]))
    worlds = known["worlds"] + [{key: each[key] for key in ("seed", "columns", "rules", "model")} for each in done]
    return {
        "cases": sum(cases.values()),
        "broken": known["broken"] + [sentence for each in done for sentence in each["broken"]],
        "cases_by_method": cases,
        "endings": dict(sorted(endings.items())),
        "settings": vars(options),
        "seconds": round(known["seconds"] + seconds, 1),
        "machine": {"system": platform.platform(), "python": platform.python_version(), "torch": torch.__version__},
        "worlds": sorted(worlds, key=lambda each: each["seed"]),
    }


if __name__ == "__main__":
    main()
