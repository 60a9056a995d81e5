"""All contestants of `density.py` one after another, a table, and a picture of nats by seconds."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from experiments.density_loop import say

__all__ = ["compare", "draw", "is_done", "seconds_to_reach"]

ROOT = Path(__file__).parents[1]


def compare(options: argparse.Namespace) -> None:
    """Run what is not there yet, then show everything."""
    options.folder.mkdir(parents=True, exist_ok=True)
    records = []
    for dataset in options.datasets:
        for library in options.libraries:
            path = options.folder / f"density_{dataset}_{library}.json"
            if not is_done(path, 60 * options.minutes):
                subprocess.run(command(options, dataset, library, out=path), cwd=ROOT, check=True)
            records.append(json.loads(path.read_text(encoding="utf-8")))
    for record in records:
        about, result = record["about"], record["result"]
        say(
            f"{about['dataset']:8} {about['library']:12} test {result['test']:9.3f} +- {result['test_error']:.3f} "
            f"validation {result['validation']:9.3f} steps {result['steps']:7d} parameters {about['parameters']:8d}"
        )
    for dataset in options.datasets:
        _tell_reached([record for record in records if record["about"]["dataset"] == dataset])
    draw(records, options.folder / "density.png")


def seconds_to_reach(history: list[dict], validation: float) -> float | None:
    """When a contestant first had a validation log-density, in seconds; ``None`` if it never had."""
    return next((row["seconds"] for row in history if row["validation"] >= validation), None)


def _tell_reached(records: list[dict]) -> None:
    """Say when counterflow was where each peer ended."""
    ours = [record["history"] for record in records if record["about"]["library"] == "counterflow"]
    for record in [record for record in records if ours and record["about"]["library"] != "counterflow"]:
        about, end = record["about"], record["history"][-1]["validation"]
        reached = seconds_to_reach(ours[0], end)
        when = "never" if reached is None else f"after {reached:.0f} s"
        say(f"{about['dataset']:8} counterflow was where {about['library']} ended ({end:.3f} nats) {when}")


def command(options: argparse.Namespace, dataset: str, library: str, *, out: Path) -> list[str]:
    """The command line of one contestant."""
    jax_python = options.jax_python or str(ROOT / ".venv-bench-jax" / "bin" / "python")
    python = jax_python if library == "flowjax" else sys.executable
    cores = ["--cores", *map(str, options.cores)] if options.cores else []
    plan = [
        "--minutes",
        str(options.minutes),
        "--seed",
        str(options.seed),
        "--note",
        options.note,
        "--way",
        options.way,
        *cores,
    ]
    return [
        python,
        "-m",
        "experiments.density",
        "run",
        dataset,
        "--library",
        library,
        "--out",
        str(out.resolve()),
        *plan,
    ]


def is_done(path: Path, seconds: float) -> bool:
    """Whether a contestant has a result for this much time."""
    if not path.exists():
        return False
    record = json.loads(path.read_text(encoding="utf-8"))
    return bool(record["result"]) and record["about"]["plan"]["seconds"] == seconds


def draw(records: list[dict], path: Path) -> None:
    """Draw the validation log-density by seconds, one panel for each data set."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = list(dict.fromkeys(record["about"]["dataset"] for record in records))
    figure, panels = pyplot.subplots(1, len(names), figsize=(5 * len(names), 3.6), squeeze=False)
    for panel, name in zip(panels[0], names, strict=True):
        shown = [record for record in records if record["about"]["dataset"] == name]
        for record in shown:
            _draw_one(panel, record)
        ends = [record["result"]["validation"] for record in shown]
        margin = max(1.0, max(ends) - min(ends))
        panel.set_ylim(min(ends) - margin, max(ends) + 0.1 * margin)  # without the first steps, far below
        panel.set(title=name.upper(), xlabel="seconds from the start, compilation included", ylabel="validation nats")
        panel.legend(title="library: test nats")
    figure.tight_layout()
    figure.savefig(path, dpi=100)
    pyplot.close(figure)
    say(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def _draw_one(panel: object, record: dict) -> None:
    """Draw one contestant."""
    history, label = record["history"], f"{record['about']['library']}: {record['result']['test']:.3f}"
    panel.plot([row["seconds"] for row in history], [row["validation"] for row in history], label=label)
