"""PointFlow on shapes whose law is known, on furniture and on people: does the flow over latents beat a normal law?

    python -m experiments.pointflow --keep /tmp/pointflow
    python -m experiments.pointflow solids --kinds coupling --keep /tmp/pointflow

For each set of shapes a PointFlow with couplings over points, and a continuous one trained by flow matching. From each,
as many shapes are drawn as there are test shapes: by its flow over latents, and from a normal law with the mean and the
covariance of the same encoder's latents of the training shapes. Both are compared with the test shapes, and beside them
as many training shapes: the floor. Reconstructions of test shapes are compared with their shapes, and beside them are
other points of the same shapes. The earth mover's distances are exact. Trained weights are kept in the folder named by
``--keep`` and used again from there; pictures of all sets go to the folder named by ``--look``.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from counterflow import metrics
from counterflow.distributions import Gaussian
from counterflow.pointclouds import PointFlow, draw_points
from experiments import pointflow_figure
from experiments.pointflow_data import POINTS, SETS, ShapeSet
from experiments.pointflow_models import MODELS, RECIPES, SETTINGS, trained
from experiments.tables import machine, results_path

__all__ = ["assign", "compared", "distances", "gaussian_latents", "reconstruction", "speed"]

_SEEN = POINTS // 2  # points of each shape when sets are compared


def assign(cost: Tensor) -> Tensor:
    """The best assignment by SciPy's solver."""
    return torch.as_tensor(linear_sum_assignment(cost.numpy())[1])


def gaussian_latents(model: PointFlow, clouds: Tensor, *, generator: torch.Generator) -> Gaussian:
    """The normal law with mean and covariance of the encoder's latents, drawn from their posteriors."""
    with torch.no_grad():
        mean, log_deviation = model.posterior(draw_points(clouds, 4 * POINTS, generator=generator))
    z = mean + log_deviation.exp() * torch.randn(mean.shape, generator=generator)
    return Gaussian(z.mean(0), z.T.cov())


def compared(generated: list[Tensor], test: Tensor, own: dict[str, Tensor], limits: tuple[float, float]) -> dict:
    """Sets of generated shapes beside the test shapes: means over the sets.

    By each distance of which ``own`` holds that of the test shapes, and by as many shapes; the earth mover's is that of
    the first set.
    """
    found: dict[str, Any] = {}
    for kind in own:
        rows, most = [], len(own[kind])
        for shapes in generated if kind == "chamfer" else generated[:1]:
            table, other = distances(test[:most], shapes[:most], kind=kind), distances(shapes[:most], kind=kind)
            judged = metrics.nearest_neighbor_accuracy(table, reference=own[kind], generated=other)
            matched = metrics.minimum_matching_distance(table), metrics.matching_coverage(table)
            rows.append([*judged, *matched])
        values = torch.tensor(rows, dtype=torch.float64)
        names = ("1-NNA", "1-NNA of reference", "1-NNA of generated", "MMD", "COV")
        found[kind] = dict(zip(names, values.mean(0).tolist(), strict=True)) | {
            "1-NNA of each set": values[:, 0].tolist()
        }
    found["JSD"] = sum(metrics.occupancy_divergence(test, x, limits=limits) for x in generated) / len(generated)
    return found


def distances(x: Tensor, y: Tensor | None = None, *, kind: str) -> Tensor:
    """Of all pairs, by some points of each; they are in random order, so that the first of them are a sample."""
    second = None if y is None else y[:, :_SEEN]
    return metrics.cloud_distances(x[:, :_SEEN], second, kind=kind, assignment=assign)


def reconstruction(model: PointFlow, data: ShapeSet, *, generator: torch.Generator) -> dict[str, Any]:
    """How far reconstructions of test shapes are from them, and other points of the same shapes."""
    again = model.reconstruct(data.test, POINTS, generator=generator)
    other = data.test.roll(1, 0)  # another shape of the set
    found: dict[str, Any] = {}
    for name, x in (("reconstructed", again), ("same shape", data.again), ("another shape", other)):
        far = metrics.earth_mover_distance(data.test, x, assignment=assign)
        found[name] = {
            "chamfer": float(metrics.chamfer_distance(data.test, x).mean()),
            "earth_mover": float(far.mean()),
        }
    return found


def classified(model: PointFlow, data: ShapeSet) -> float | None:
    """The accuracy of a linear classifier of kinds that sees latents."""
    if data.labels is None:
        return None
    judge = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    judge.fit(model.features(data.train[:, :POINTS]).numpy(), data.labels[0].numpy())
    return float(judge.score(model.features(data.test).numpy(), data.labels[1].numpy()))


def speed(model: PointFlow, *, shapes: int = 8, repeats: int = 3) -> float:
    """Points drawn in a second of processor time, the median of some runs after a first one."""
    seconds = []
    for run in range(repeats + 1):
        begin = time.process_time()
        model.sample(shapes, 2048, generator=torch.Generator().manual_seed(run))
        seconds.append(time.process_time() - begin)
    return shapes * 2048 / sorted(seconds[1:])[repeats // 2]


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Everything of one set."""
    kinds, keep, look, draws = options.kinds, options.keep, options.look, options.draws
    data = SETS[name](torch.Generator().manual_seed(0))
    generator = torch.Generator().manual_seed(1)
    both = torch.cat([data.train.flatten(0, 1), data.test.flatten(0, 1)])
    limits = float(both.min()), float(both.max())
    own = {"chamfer": distances(data.test, kind="chamfer")}
    if options.moved:
        own["earth_mover"] = distances(data.test[: options.moved], kind="earth_mover")
    floor = [_some(data.train, len(data.test), generator) for _ in range(draws)]
    counts = {"train": len(data.train), "test": len(data.test), "moved": options.moved, "draws": draws}
    found: dict[str, Any] = {"shapes": counts}
    found["training shapes"] = compared(floor, data.test, own, limits)
    for kind in kinds:
        model, notes = trained(name, kind, data, keep=keep)
        normal = gaussian_latents(model, RECIPES[name].learned(data), generator=generator)
        n = len(data.test)
        drawn = {
            "flow": [model.sample(n, POINTS, generator=generator) for _ in range(draws)],
            "normal": [_decoded(model, normal.sample(n, generator=generator), generator) for _ in range(draws)],
        }
        found[kind] = {
            "training": notes,
            "reconstruction": reconstruction(model, data, generator=generator),
            "classifier": classified(model, data),
            "points_a_second": speed(model),
            **{source: compared(sets, data.test, own, limits) for source, sets in drawn.items()},
        }
        print(name, kind, json.dumps(found[kind], indent=1), flush=True)
        if look is not None:
            pointflow_figure.draw(model, data, drawn, look / f"{name}-{kind}.png")
        if name == "solids" and kind == "coupling":
            pointflow_figure.draw(model, data, drawn, results_path("pointflow.png"))
    return found


@torch.no_grad()
def _decoded(model: PointFlow, z: Tensor, generator: torch.Generator) -> Tensor:
    return model.decode(z, POINTS, generator=generator)


def _some(clouds: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Some training shapes; with replacement where there are too few."""
    order = torch.cat([torch.randperm(len(clouds), generator=generator) for _ in range(-(-count // len(clouds)))])
    return draw_points(clouds[order[:count]], POINTS, generator=generator)


def main() -> None:
    """Train, draw, measure, write; what was measured of other sets before stays."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help=f"among {', '.join(SETS)}; all if not given")
    parser.add_argument("--kinds", nargs="*", choices=list(MODELS), default=list(MODELS))
    parser.add_argument("--keep", type=Path, help="the folder of trained weights")
    parser.add_argument("--draws", type=int, default=3, help="sets of shapes that are drawn from each law")
    parser.add_argument("--moved", type=int, default=40, help="shapes of a set compared by the earth mover's distance")
    parser.add_argument("--look", type=Path, help="the folder of pictures of all sets")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.sets or SETS:
        _keep(name, measure(name, options))


def _keep(name: str, found: dict[str, Any]) -> None:
    """Put what was found of a set beside what the file holds of others."""
    path = results_path("pointflow.json")
    result = json.loads(path.read_text()) if path.exists() else {}
    settings = {"points": POINTS, "points_compared": _SEEN, **SETTINGS}
    result |= {"machine": machine(), "settings": settings, name: result.get(name, {}) | found}
    path.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
