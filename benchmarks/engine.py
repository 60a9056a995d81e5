"""The engine against peers: one training step, log-densities, samples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from benchmarks.cases import BINS, BOUND, FAMILIES, OPERATIONS, SIZES, Size, check_known, make_rows
from benchmarks.libraries import OURS, Library, Model, find_libraries
from benchmarks.timing import USUAL, Plan, Turns, quartiles, take_turns

__all__ = ["check_model", "record", "run_engine"]

Tell = Callable[[str], None]


def run_engine(
    *,
    sizes: Mapping[str, Size] = SIZES,
    families: Sequence[str] = FAMILIES,
    operations: Sequence[str] = OPERATIONS,
    libraries: Mapping[str, Library] | None = None,
    plan: Plan = USUAL,
    tell: Tell = print,
) -> dict[str, Any]:
    """Time all operations of all families at all sizes.

    Args:
        sizes: Sizes by name.
        families: Which of ``FAMILIES``.
        operations: Which of ``OPERATIONS``.
        libraries: Who takes part; ``None`` for all that are installed.
        plan: How many rounds.
        tell: Called with a line for each comparison.

    Returns:
        Settings, parameter counts, medians and ratios, as plain data.
    """
    check_known(families, FAMILIES, "families")
    check_known(operations, OPERATIONS, "operations")
    libraries = find_libraries() if libraries is None else libraries
    rows: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    for label, size in sizes.items():
        for family in families:
            models = {name: library.builders[family](size) for name, library in libraries.items()}
            counts.append(
                {"family": family, "size": label, "counts": {name: m.parameters for name, m in models.items()}}
            )
            tell(f"{family} {label}: parameters {_listed(counts[-1]['counts'])}")
            rows += _compare(models, make_rows(size), operations=operations, plan=plan, tell=tell, of=(family, label))
    return {
        "settings": {"bins": BINS, "bound": BOUND, "dtype": "float32", "activation": "ReLU", "plan": asdict(plan)},
        "sizes": {label: asdict(size) for label, size in sizes.items()},
        "libraries": {name: {"version": library.version, "note": library.note} for name, library in libraries.items()},
        "parameters": counts,
        "rows": rows,
    }


def check_model(model: Model, x: Tensor) -> None:
    """See that a model computes what the others compute: one finite log-density a row, and finite samples.

    Raises:
        RuntimeError: It does not, so that its times mean nothing.
    """
    log_prob, samples = model.log_prob(x), model.sample(2)
    if log_prob.shape != x.shape[:1] or not torch.isfinite(log_prob).all():
        raise RuntimeError(f"log_prob must be {x.shape[0]} finite numbers, got shape {tuple(log_prob.shape)}.")
    if samples.shape != (2, *x.shape[1:]) or not torch.isfinite(samples).all():
        raise RuntimeError(f"samples must be 2 finite rows, got shape {tuple(samples.shape)}.")
    if samples.dtype != x.dtype or log_prob.dtype != x.dtype:
        raise RuntimeError(f"all must compute in {x.dtype}, got {samples.dtype} and {log_prob.dtype}.")


def _compare(
    models: Mapping[str, Model], x: Tensor, *, operations: Sequence[str], plan: Plan, tell: Tell, of: tuple[str, str]
) -> list[dict[str, Any]]:
    """All operations of one family at one size."""
    rows = []
    for operation in operations:
        turns = take_turns({name: _call(model, operation, x) for name, model in models.items()}, plan)
        rows.append({"family": of[0], "size": of[1], "operation": operation, **record(turns)})
        tell(
            f"  {operation:10} " + _listed({name: f"{t['median_ms']:.2f} ms" for name, t in rows[-1]["times"].items()})
        )
    for model in models.values():
        check_model(model, x)
    return rows


def _call(model: Model, operation: str, x: Tensor) -> Callable[[], object]:
    calls = {
        "train step": lambda: model.train_step(x),
        "log_prob": lambda: model.log_prob(x),
        "sample": lambda: model.sample(len(x)),
    }
    return calls[operation]


def record(turns: Turns) -> dict[str, Any]:
    """Medians, quartiles, first calls, and how many times longer each peer takes than we do."""
    times = {}
    for name, seconds in turns.times.items():
        low, high = quartiles(seconds.rounds)
        times[name] = {
            "median_ms": _ms(seconds.median),
            "quartiles_ms": [_ms(low), _ms(high)],
            "first_ms": _ms(seconds.first),
        }
    ratios = {}
    for name in turns.times:
        if name != OURS:
            ends = [round(end, 3) for end in quartiles(turns.round_ratios(name, OURS))]
            ratios[name] = {"of_medians": round(turns.ratio(name, OURS), 3), "quartiles_of_rounds": ends}
    return {"rounds": turns.rounds, "times": times, "ratios": ratios}


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 4)


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
