"""Tables: how many rows a second are encoded, decoded and explained, and how long learning takes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import torch

from benchmarks.timing import USUAL, Local, Plan, Turns, quartiles, take_turns
from counterflow import CounterfactualExplainer
from counterflow.datasets import loan
from counterflow.models import TableClassifier
from counterflow.tables import FlowEncoding, TableCodec

__all__ = ["TableSettings", "run_tables"]

T = TypeVar("T")


@dataclass(frozen=True)
class TableSettings:
    """How many rows of the made-up loan table each part sees.

    Args:
        encoded: Rows that are encoded and decoded.
        fitted: Rows that the explainer learns from.
        explained: Rows that the model refuses, and that are explained at once.
        repeats: How often they are explained.
    """

    encoded: int = 20_000
    fitted: int = 3_000
    explained: int = 500
    repeats: int = 3


USUAL_SETTINGS = TableSettings()


def run_tables(
    *, settings: TableSettings = USUAL_SETTINGS, plan: Plan = USUAL, tell: Callable[[str], None] = print
) -> dict[str, Any]:
    """Time the way of a table through the library.

    Args:
        settings: How many rows.
        plan: How many rounds of encoding and decoding.
        tell: Called with a line for each part.

    Returns:
        Settings and figures, as plain data.
    """
    rates = _coding_rates(settings, plan)
    for name, rate in rates.items():
        tell(f"{name}: {rate['rows_per_second']:,.0f} rows a second")
    explained = _explaining(settings)
    tell(f"fit {explained['fit_seconds']:.1f} s, explain {explained['rows_per_second']:,.1f} rows a second")
    return {"settings": asdict(settings), "rates": rates, "explaining": explained}


def _coding_rates(settings: TableSettings, plan: Plan) -> dict[str, Any]:
    """Frames to numbers to points, and all the way back."""
    data = loan(settings.encoded)
    frame, codec = data.features, TableCodec(data.schema)
    numbers = codec.to_numbers(frame)
    encoding, tensor = FlowEncoding.fit(data.schema, numbers), torch.from_numpy(numbers)
    generator = torch.Generator().manual_seed(0)
    points, _ = encoding.dequantize(tensor, generator)
    racers = {
        "frame to numbers": Local(lambda: codec.to_numbers(frame)),
        "numbers to points": Local(lambda: encoding.dequantize(tensor, generator)),
        "points to numbers": Local(lambda: encoding.decode(points)),
        "numbers to frame": Local(lambda: codec.to_frame(numbers, like=frame)),
    }
    turns = take_turns(racers, plan)
    return {name: _rate(turns, name, settings.encoded) for name in racers}


def _rate(turns: Turns, name: str, rows: int) -> dict[str, Any]:
    seconds = turns.times[name]
    low, high = quartiles(seconds.rounds)
    return {
        "rows_per_second": round(rows / seconds.median, 1),
        "quartiles": [round(rows / high, 1), round(rows / low, 1)],
        "rounds": turns.rounds,
    }


def _explaining(settings: TableSettings) -> dict[str, Any]:
    """Fit once, explain the same rows several times."""
    data = loan(settings.fitted)
    model = TableClassifier.fit(data.schema, data.features, data.labels.tolist())
    explainer = CounterfactualExplainer(model, schema=data.schema, random_state=0)
    fit_seconds, _ = _timed(lambda: explainer.fit(data.features, data.labels))
    rows = _refused(model, settings)
    runs = [_timed(lambda: explainer.explain(rows, "approved")) for _ in range(settings.repeats)]
    answer, seconds = runs[0][1], [run[0] for run in runs]
    asked = int(answer.answered.sum())
    return {
        "fit_seconds": round(fit_seconds, 3),
        "explained": asked,
        "valid_share": round(float(answer.valid[answer.answered].mean()), 4),
        "plausible_share": round(float(answer.plausible[answer.answered].mean()), 4),
        "seconds": [round(value, 3) for value in seconds],
        "rows_per_second": round(asked / statistics.median(seconds), 2),
    }


def _timed(work: Callable[[], T]) -> tuple[float, T]:
    began = time.perf_counter()
    result = work()
    return time.perf_counter() - began, result


def _refused(model: TableClassifier, settings: TableSettings) -> Any:
    """Fresh rows that the model refuses."""
    fresh = loan(5 * settings.explained, random_state=1).features
    return fresh[model.predict(fresh) == "refused"].head(settings.explained)
