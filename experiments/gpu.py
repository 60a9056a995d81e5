"""Learning and explaining a table on a GPU and on the CPU beside it, with different numbers of rows.

    python -m experiments.gpu

HELOC and a small neural network; rows are repeated where more are asked for than there are. Needs an NVIDIA GPU.
"""

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from counterflow import CounterfactualExplainer
from experiments.tables import load_table, machine, results_path

__all__ = ["main"]

DEVICES = ("cpu", "cuda")


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write ``experiments/results/gpu.json``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="+", default=[500, 2_000, 8_000])
    parser.add_argument("--learn", type=int, nargs="+", default=[7_500, 60_000], help="rows of the training tables")
    options = parser.parse_args(arguments)
    data = load_table("heloc")
    model = make_pipeline(StandardScaler(), MLPClassifier((64, 64), max_iter=60, random_state=0))
    model.fit(data.features, data.labels)
    refused = data.features[model.predict(data.features) == data.labels.min()]
    found: dict[str, object] = {"machine": machine() | {"gpu": torch.cuda.get_device_name()}, "learning": []}
    for rows in options.learn:
        table = _repeated(data.features, rows)
        for device in DEVICES:
            explainer = CounterfactualExplainer(model, schema=data.schema, random_state=0, device=device)
            seconds = _seconds(lambda explainer=explainer, table=table: explainer.fit(table))
            found["learning"].append({"rows": rows, "device": device, "seconds": seconds})
            print(found["learning"][-1], flush=True)
        found["explaining"] = found.get("explaining") or [
            _explained(explainer, _repeated(refused, count), device) for count in options.rows for device in DEVICES
        ]
    results_path("gpu.json").write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _explained(explainer: CounterfactualExplainer, rows: pd.DataFrame, device: str) -> dict[str, object]:
    explainer.set_params(device=device)
    wish = max(explainer.model_.classes)
    explainer.explain(rows[:20], wish)
    answers = []
    seconds = _seconds(lambda: answers.append(explainer.explain(rows, wish)))
    asked = answers[0].answered
    shares = {"valid": float(answers[0].valid[asked].mean()), "plausible": float(answers[0].plausible[asked].mean())}
    print({"rows": len(rows), "device": device, "seconds": seconds, **shares}, flush=True)
    return {"rows": len(rows), "device": device, "seconds": seconds, **shares}


def _repeated(frame: pd.DataFrame, count: int) -> pd.DataFrame:
    return frame.iloc[np.arange(count) % len(frame)].reset_index(drop=True)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 3)


if __name__ == "__main__":
    main()
