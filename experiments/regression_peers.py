"""NGBoost and XGBDistribution on the rows of a file; run with the Python of an environment where they are installed.

    PYTHON experiments/regression_peers.py rows.npz

Both stop early by a tenth of the rows. Means, deviations and seconds of the processor are written beside the file.
"""

import sys
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Fit both and write what they predict."""
    from ngboost import NGBRegressor
    from xgboost_distribution import XGBDistribution

    path = Path(sys.argv[1])
    data = np.load(path)
    x, y, fresh, seed = data["x"], data["y"], data["fresh"], int(data["seed"])
    order = np.random.default_rng(seed).permutation(len(y))
    held, train = order[: len(y) // 10], order[len(y) // 10 :]
    found = {}
    began = time.process_time()
    model = NGBRegressor(n_estimators=2000, verbose=False, random_state=seed, early_stopping_rounds=50)
    model.fit(x[train], y[train], X_val=x[held], Y_val=y[held])
    law = model.pred_dist(fresh, max_iter=model.best_val_loss_itr)
    found |= {"NGBoost mean": law.loc, "NGBoost deviation": law.scale, "NGBoost seconds": time.process_time() - began}
    began = time.process_time()
    boosted = XGBDistribution(
        distribution="normal", n_estimators=2000, early_stopping_rounds=20, random_state=seed, n_jobs=1
    )
    boosted.fit(x[train], y[train], eval_set=[(x[held], y[held])], verbose=False)
    law = boosted.predict(fresh)
    found |= {
        "XGBDistribution mean": law.loc,
        "XGBDistribution deviation": law.scale,
        "XGBDistribution seconds": time.process_time() - began,
    }
    np.savez(path.parent / "predictions.npz", **found)


if __name__ == "__main__":
    main()
