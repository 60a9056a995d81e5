"""How many directions lead along the digits? The Jacobian's spectrum of a flow beside an estimate from neighbors.

``python -m experiments.spectra --keep FOLDER`` computes all 784 singular values of the flow's Jacobian at 64 MNIST test
digits, a few matrices at a time, and says how much memory that took; the dimension that they show (so many directions
hold 90% of the variance; the widest gap) stands beside the estimate of Levina and Bickel from the nearest real digits.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import torch

from counterflow import geometry
from experiments.image_data import dequantize, load_images
from experiments.image_models import kept_flow
from experiments.tables import machine, results_path

__all__ = ["spectra"]

SHARES = (0.5, 0.9, 0.99)
NEIGHBORS = (5, 10, 20)


def spectra(name: str, keep: Path, *, digits: int, real: int) -> dict[str, object]:
    """Compute the spectra and both kinds of dimension."""
    data = load_images(name)
    flow, notes = kept_flow(data, keep)
    generator = torch.Generator().manual_seed(0)
    x = dequantize(data.part(2)[0][:digits], generator, bits=data.bits)
    reference = dequantize(data.part(0)[0][:real], generator, bits=data.bits)
    before, begin = _peak(), time.perf_counter()
    values = geometry.jacobian_singular_values(flow, x, points_at_once=256)
    seconds = time.perf_counter() - begin
    by_share = {share: geometry.local_dimension(values, rule="share", share=share).double() for share in SHARES}
    return {
        "digits": len(x),
        "flow": notes,
        "seconds": seconds,
        "peak_megabytes": {"before": before, "after": _peak()},
        "all_matrices_megabytes": len(x) * x[0].numel() ** 2 * 4 / 2**20,
        "median_values": values.median(0).values.tolist(),
        "dimension_by_share": {share: _quartiles(found) for share, found in by_share.items()},
        "dimension_by_gap": _quartiles(geometry.local_dimension(values).double()),
        "dimension_by_neighbors": {
            k: _quartiles(geometry.neighbor_dimension(x, reference, neighbors=k).double()) for k in NEIGHBORS
        },
    }


def _quartiles(numbers: torch.Tensor) -> list[float]:
    return torch.quantile(numbers, torch.tensor([0.25, 0.5, 0.75], dtype=numbers.dtype)).tolist()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def figure(found: dict, path: Path) -> None:
    """Draw the median spectrum with the dimensions marked."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    values = found["median_values"]
    axes.semilogy(range(1, len(values) + 1), values, color="tab:blue")
    marks = {
        "90% of the variance": (found["dimension_by_share"][0.9][1], "tab:orange", "--"),
        "estimate from 10 neighbors": (found["dimension_by_neighbors"][10][1], "tab:green", ":"),
    }
    for label, (place, color, style) in marks.items():
        axes.axvline(place, color=color, linestyle=style, label=f"{label}: {place:.0f}")
    axes.set(xlabel="direction", ylabel="singular value of dx/dz", title=f"median of {found['digits']} digits")
    axes.legend(frameon=False)
    drawn.savefig(path, dpi=110)


def main() -> None:
    """Compute, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=Path, required=True, help="the folder of trained weights")
    parser.add_argument("--set", default="mnist", choices=("mnist", "digits"))
    parser.add_argument("--digits", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = spectra(options.set, options.keep, digits=options.digits, real=20_000)
    figure(found, results_path(f"spectra_{options.set}.png"))
    text = json.dumps({"machine": machine(), **found}, indent=2)
    print(text[:3000], flush=True)
    results_path(f"spectra_{options.set}.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
