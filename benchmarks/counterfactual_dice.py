"""dice-ml explains the rows of one folder; run by the Python of an environment of its own.

.venv-bench-dice/bin/python benchmarks/counterfactual_dice.py FOLDER [METHOD ...]
"""

import contextlib
import io
import json
import random
import sys
import time
import warnings
from collections import Counter
from importlib.metadata import version
from pathlib import Path

import dice_ml
import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.counterfactual_setting import TARGET, Setting, fit_classifier, read_setting

__all__ = ["main"]


def main(folder: Path, methods: list[str]) -> None:
    """Write the answers of each method, and what they took, beside the rows."""
    warnings.filterwarnings("ignore")
    random.seed(0)  # noqa: TID251  the peer draws from the global state
    np.random.seed(0)  # noqa: NPY002, TID251  the peer draws from the global state
    setting, train, rows = read_setting(folder)
    model = fit_classifier(setting, train)
    chances = model.predict_proba(rows)[:, 1].tolist()
    (folder / "probabilities.json").write_text(json.dumps(chances) + "\n", encoding="utf-8")
    data = dice_ml.Data(dataframe=train, continuous_features=setting.continuous, outcome_name=TARGET)
    wrapped = dice_ml.Model(model=model, backend="sklearn", model_type="classifier")
    for method in methods or list(setting.rows):
        explain(setting, folder, rows.head(setting.rows[method]), dice_ml.Dice(data, wrapped, method=method), method)


def explain(setting: Setting, folder: Path, rows: pd.DataFrame, explainer: object, method: str) -> None:
    """Explain row by row, as its interface does it."""
    found, ended = [], Counter()
    wall, cpu = time.perf_counter(), time.process_time()
    for place in range(len(rows)):
        try:
            with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
                answer = explainer.generate_counterfactuals(
                    rows.iloc[[place]], total_CFs=setting.count, desired_class=1, features_to_vary=setting.vary,
                    verbose=False, **({"random_seed": setting.seed} if method == "random" else {}),
                )  # fmt: skip
            frame = answer.cf_examples_list[0].final_cfs_df
            ended["answered" if frame is not None and len(frame) else "nothing found"] += 1
            if frame is not None:
                found.append(frame.drop(columns=TARGET).assign(row=place))
        except Exception as error:
            ended[f"{type(error).__name__}: {str(error)[:60]}"] += 1
    record = {
        "rows": len(rows),
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "ended": dict(ended),
        "version": version("dice-ml"),
    }
    pd.concat(found or [rows.head(0).assign(row=[])]).to_csv(folder / f"dice-{method}.csv", index=False)
    (folder / f"dice-{method}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
