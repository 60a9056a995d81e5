"""The figure of the circle."""

from typing import Any

import torch

from counterflow.flows import Flow
from experiments.circle_data import circle
from experiments.tables import results_path

__all__ = ["draw"]

_CURVES = {
    "kl": "KL(data, flow)",
    "mixed_block": "mixed block of the metric",
    "normal_block": "normal block",
    "latent_share": "normal share of a step",
    "input_share": "the same in input space",
}


def draw(flows: dict[float, Flow], result: dict[str, Any]) -> None:
    """Draw samples of the flows, what falls with the noise, and what falls with the error of decoders."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn, (points, noise, decoders) = plt.subplots(1, 3, figsize=(12.5, 4))
    generator = torch.Generator().manual_seed(3)
    for (level, flow), color in zip(list(flows.items())[::2], ("0.75", "tab:blue"), strict=False):
        with torch.no_grad():
            points.scatter(*flow.sample(1500, generator=generator).T, s=2, color=color, label=f"noise {level}")
    points.plot(*circle(torch.linspace(-3.15, 3.15, 200)).T, color="black", linewidth=0.6)
    points.set(aspect="equal", xticks=[], yticks=[], title="samples of two flows")
    points.legend(frameon=False, markerscale=4, loc="center")
    for name, label in _CURVES.items():
        noise.plot(list(flows), [row[name] for row in result["flows"].values()], marker="o", markersize=4, label=label)
    noise.set(xscale="log", yscale="log", xlabel="noise around the circle", title="flows")
    for name, study in result["decoders"].items():
        for what, marker in (("noise", "o"), ("training", "^")):
            rows = study[what]
            decoders.plot([row["reconstruction_from_circle"] for row in rows], [row["latent_share"] for row in rows],
                          marker=marker, markersize=5, linewidth=1, label=f"{name}: {what}")  # fmt: skip
    decoders.set(xscale="log", yscale="log", xlabel="distance of reconstructions from the circle",
                 title="decoders: normal share of a step")  # fmt: skip
    for axes in (noise, decoders):
        axes.legend(frameon=False, fontsize=8)
        axes.grid(alpha=0.3)
    drawn.tight_layout()
    drawn.savefig(results_path("circle.png"), dpi=110)
