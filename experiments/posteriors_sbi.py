"""sbi's NPE on simulations that ``experiments.posteriors`` left in a folder; run in an environment with sbi."""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch
from sbi.inference import NPE
from sbi.utils import BoxUniform
from torch.distributions import MultivariateNormal

__all__ = ["main"]

BOXES = {"two_moons": (2, 1.0), "gaussian_linear_uniform": (10, 1.0), "slcp": (5, 3.0)}


def main(name: str, model: str, seed: int, count: int, folder: Path) -> None:
    """Train with sbi's defaults, draw for every observation, and write draws and seconds."""
    torch.set_num_threads(1)
    torch.manual_seed(seed)  # noqa: TID251  (sbi draws from the global state)
    given = {key: torch.from_numpy(value) for key, value in np.load(folder / "in.npz").items()}
    if name == "gaussian_linear":
        prior = MultivariateNormal(torch.zeros(10), 0.1 * torch.eye(10))
    else:
        features, side = BOXES[name]
        prior = BoxUniform(-side * torch.ones(features), side * torch.ones(features))
    started = time.perf_counter()
    inference = NPE(prior, density_estimator=model, show_progress_bars=False)
    estimator = inference.append_simulations(given["theta"], given["x"]).train()
    posterior = inference.build_posterior(estimator)
    draws = [posterior.sample((count,), x=x, show_progress_bars=False) for x in given["observed"]]
    seconds = time.perf_counter() - started
    np.savez(folder / "out.npz", draws=torch.stack(draws).numpy(), seconds=seconds)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
