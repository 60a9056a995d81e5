"""The figure of the helix."""

from typing import Any

import torch

from experiments.helix_models import REACH, curve, distance_to_curve
from experiments.tables import results_path

__all__ = ["draw"]

_COLORS = {"latent": "tab:blue", "input": "tab:red"}


def draw(attacks: dict[str, Any], found: dict[str, Any]) -> None:
    """Draw the attacks with the first flow, the distances of all to the curve, and their singular values."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    drawn = plt.figure(figsize=(12.5, 4))
    space = drawn.add_subplot(1, 3, 1, projection="3d")
    boxes, lines = drawn.add_subplot(1, 3, 2), drawn.add_subplot(1, 3, 3)
    space.plot(*curve(torch.linspace(-REACH, REACH, 400)).T.tolist(), color="0.75", linewidth=1)
    for name, (answer, *_) in next(iter(attacks.values())).items():
        for row in answer.found.nonzero()[:8, 0].tolist():
            space.plot(*answer.path[row].T.tolist(), color=_COLORS[name], linewidth=1.2)
    space.set(title="points, changed", xticklabels=[], yticklabels=[], zticklabels=[])
    columns = {name: ended["latent"] for name, ended in attacks.items()}
    columns["input space"] = next(iter(attacks.values()))["input"]
    for place, (name, (answer, images, _)) in enumerate(columns.items()):
        distance = distance_to_curve(images[answer.found]).clamp(min=1e-6)
        boxes.boxplot(distance.numpy(), positions=[place], widths=0.5, patch_artist=True,
                      boxprops={"facecolor": _COLORS["input" if name == "input space" else "latent"], "alpha": 0.5},
                      medianprops={"color": "black"})  # fmt: skip
    boxes.set(yscale="log", title="distance to the helix at p = 0.9", xticks=range(len(columns)))
    boxes.set_xticklabels(columns, fontsize=8)
    for style, name in zip(("-", "--", ":"), attacks, strict=False):
        spectrum = found[name]["spectrum"]
        for values, color in zip(zip(*spectrum["values"], strict=True), ("C0", "C1", "C2"), strict=True):
            lines.plot(spectrum["t"], values, style, color=color, label=name if color == "C0" else None)
    lines.set(yscale="log", title="singular values of dx/dz", xlabel="height")
    lines.legend(frameon=False, fontsize=8)
    drawn.tight_layout()
    drawn.savefig(results_path("helix.png"), dpi=110)
