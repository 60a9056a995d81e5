"""A flow plugged into the latents of a frozen autoencoder: does it draw, tell and change what it is asked to?

    python -m experiments.plugin digits mnist smile utk modelnet10 --keep /tmp/plugin

Each set but its test points is halved: from one half an autoencoder learns, and on its frozen latents a spline flow
given the attributes; from the other half a judge, a network that tells attributes of real points. The judge says of
samples and of edits what they show. Bayes' rule of the flow is compared with logistic regression and a support vector
machine on the same latents, its density with a normal law of each class, its edits with the nearest real point that
has the new attribute and with a fresh sample. Trained weights are kept in the folder named by ``--keep`` and used
again from there. Sheets of sets that may not be shown are written there too.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import torch

from experiments import plugin_figure
from experiments.plugin_data import SETS
from experiments.plugin_measures import classes, densities, draws, edits
from experiments.plugin_models import RECIPES, kept_autoencoder, kept_flow, kept_judge
from experiments.tables import machine, results_path

__all__ = ["measure"]

_SHOWN = ("digits", "mnist", "smile")


def measure(name: str, keep: Path) -> dict[str, object]:
    """Train what is not kept, and measure everything of one set."""
    data = SETS[name]()
    judge, judge_notes = kept_judge(data, keep)
    autoencoder, autoencoder_notes = kept_autoencoder(data, keep)
    latent, flow_notes = kept_flow(data, autoencoder, keep)
    latent.eval()
    begin = time.process_time()
    found = {
        "points": {"learn": len(data.learn.x), "judge": len(data.judge.x), "test": len(data.test.x)},
        "training": {"judge": judge_notes, "autoencoder": autoencoder_notes, "flow": flow_notes},
        "judged": draws(latent, judge, data),
        "classes": classes(latent, data),
        "log_density_of_latents": densities(latent, data),
        "edits": edits(latent, judge, data),
    }
    found["measuring_seconds"] = time.process_time() - begin
    plugin_figure.draw(latent, data, None if name in _SHOWN else str(keep / name / "sheet.png"))
    return {"recipe": asdict(RECIPES[name]), **found}


def main() -> None:
    """Measure the sets that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="+", choices=tuple(SETS))
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.names:
        found = {"machine": machine(), **measure(name, options.keep)}
        results_path(f"plugin_{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
