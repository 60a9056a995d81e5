"""The circle: as the noise around it falls, so do the parts of a latent step that lead off it.

    python -m experiments.circle --keep /tmp/circle

Data are points of the unit circle plus normal noise in both directions, of standard deviation 0.3 down to 0.01. For
each a spline flow is trained (from the one before: the noise falls while it learns), and what the theorem behind
diffeomorphic counterfactuals speaks of is measured: the mass of the flow outside a tube around the circle, its
divergence from the law of the data (which has a closed form), the blocks of its metric that mix tangent and normal,
and the normal share of a step in the latent.

Then decoders whose latent has fewer dimensions than the data (:mod:`experiments.circle_decoders`): the approximate
theorem. Trained flows are kept in the folder named by ``--keep`` and used again from there.
"""

import argparse
import copy
import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from counterflow import flows, geometry
from counterflow.flows import Flow
from counterflow.training import fit
from experiments import circle_decoders, circle_figure
from experiments.circle_data import NOISES, draw, gradient_of, log_density, logit, normal_share, tangent
from experiments.tables import machine, results_path

__all__ = ["measures"]

_ROWS, _BATCH, _EPOCHS, _RATE = 20_000, 500, 30, 3e-3
_TEST_ROWS, _STEP_ROWS, _FINITE_RATE = 20_000, 2_000, 1e-2


def measures(flow: Flow, *, noise: float, rows: int = _TEST_ROWS, seed: int = 7) -> dict[str, float]:
    """What the theorem speaks of, for one flow, in float64."""
    generator = torch.Generator().manual_seed(seed)
    flow = flow.double().eval()
    x = draw(rows, generator, noise=noise).double()
    with torch.no_grad():
        gain = log_density(x, noise=noise) - flow.log_prob(x)
        samples = flow.sample(rows, generator=generator)
    return {
        "kl": float(gain.mean()),
        "kl_error": float(gain.std() / rows**0.5),
        "outside_tube": _outside(samples, 3 * noise),
        "data_outside_tube": _outside(x, 3 * noise),
        "outside_tenth": _outside(samples, 0.1),
        "data_outside_tenth": _outside(x, 0.1),
        **_blocks(flow, x[:_STEP_ROWS]),
        **_steps(flow, x[:_STEP_ROWS]),
    }


def _outside(x: Tensor, width: float) -> float:
    """The share of points that are farther from the circle than the tube is wide."""
    return float(((x.norm(dim=1) - 1).abs() > width).double().mean())


def _blocks(flow: Flow, x: Tensor) -> dict[str, float]:
    """The inverse metric in the frame of tangent and normal: medians of its blocks."""
    along, out = tangent(x), x / x.norm(dim=1, keepdim=True)
    frame = torch.stack([along, out], dim=1)
    blocks = frame @ geometry.inverse_metric(flow, x) @ frame.mT
    return {
        "tangent_block": float(blocks[:, 0, 0].median()),
        "mixed_block": float(blocks[:, 0, 1].abs().median()),
        "normal_block": float(blocks[:, 1, 1].median()),
    }


def _steps(flow: Flow, x: Tensor) -> dict[str, float]:
    """The normal share of one step: in the latent to first order and of finite length, and in input space."""
    gradient, along = gradient_of(x), tangent(x)
    first_order = geometry.raise_gradient(flow, x, gradient=gradient)
    after = geometry.latent_step(flow, x, objective=lambda x: nn.functional.logsigmoid(logit(x)), rate=_FINITE_RATE)
    off = (after.norm(dim=1) - x.norm(dim=1)).abs() / (after - x).norm(dim=1)
    share = normal_share(first_order, along)
    return {
        "latent_share": float(share.mean()),
        "latent_share_median": float(share.median()),
        "finite_share": float(off.mean()),
        "input_share": float(normal_share(gradient, along).mean()),
    }


def trained(folder: Path | None, *, epochs: int) -> dict[float, tuple[Flow, float]]:
    """One flow for each noise, with the seconds of its training; from the folder if they were kept there."""
    generator, found = torch.Generator().manual_seed(0), {}
    flow = flows.spline_coupling(2, layers=6, hidden=(64, 64), bins=12, generator=generator)
    for noise in NOISES:
        file = None if folder is None else folder / f"flow_{noise}.safetensors"
        if file is not None and file.exists():
            state = load_file(file)
            seconds = float(state.pop("seconds"))
            flow.load_state_dict(state)
        else:
            report = fit(
                flow,
                draw(_ROWS, generator, noise=noise),
                max_epochs=epochs,
                patience=epochs,
                batch_size=_BATCH,
                learning_rate=_RATE,
                compile=False,
                generator=generator,
                progress=False,
            )
            seconds = report.seconds
            print(f"noise {noise}: held-out loss {report.best_validation:.4f}, {seconds:.0f} s", flush=True)
        if file is not None and not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            save_file({**flow.state_dict(), "seconds": torch.tensor(seconds)}, file)
        found[noise] = (copy.deepcopy(flow), seconds)
    return found


def main() -> None:
    """Train, measure, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, help="the folder of trained weights")
    parser.add_argument("--epochs", type=int, default=_EPOCHS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = trained(options.keep, epochs=options.epochs)
    found = {}
    for noise, (flow, seconds) in known.items():
        found[noise] = {**measures(flow, noise=noise), "training_seconds": seconds}
        print(noise, json.dumps(found[noise], indent=2), flush=True)
    decoders = circle_decoders.study()
    settings = {"rows": _ROWS, "batch": _BATCH, "epochs": options.epochs, "rate": _RATE, "finite_rate": _FINITE_RATE}
    result = {"machine": machine(), "settings": settings, "flows": found, "decoders": decoders}
    results_path("circle.json").write_text(json.dumps(result, indent=2) + "\n")
    circle_figure.draw({noise: flow for noise, (flow, _) in known.items()}, result)


if __name__ == "__main__":
    main()
