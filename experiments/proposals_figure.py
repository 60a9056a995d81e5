"""The figure of the proposals: draws beside exact ones, and what the weights are worth."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.proposal_models import METHODS, fitted
from experiments.proposal_targets import TARGETS, straightened
from experiments.tables import results_path

__all__ = ["draw"]

_SHOWN = {"normal law": "tab:red", "flow": "tab:blue", "flow, importance": "tab:green"}
_POINTS = 1500


def draw(result: dict[str, Any], keep: Path | None) -> None:
    """Draw each target in two of its dimensions, and the share of effective draws of each method."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 3, figsize=(12, 7), layout="constrained", height_ratios=(1.5, 1))
    for (name, build), (top, bottom) in zip(TARGETS.items(), axes.T, strict=True):
        target, generator = build(), torch.Generator().manual_seed(8)
        shown = ("normal law", "flow, importance" if name == "modes" else "flow")
        draws = {"exact": target.draw(_POINTS, generator)}
        for method in shown:
            draws[method] = fitted(target, name, method=method, keep=keep)[0].sample(_POINTS, generator=generator)
        for method, x in draws.items():
            color = _SHOWN.get(method, "0.6")
            top.scatter(*_plane(name, x).T.tolist(), s=3, color=color, alpha=0.5, linewidths=0, label=method)
        top.set(title=_TITLES[name], **_LIMITS[name])
        top.legend(frameon=False, fontsize=8, markerscale=3, loc="upper left")
        _bars(bottom, result["targets"][name])
    axes[1, 0].set_ylabel("effective draws / N")
    figure.savefig(results_path("proposals.png"), dpi=100)


_TITLES = {
    "funnel": "funnel: v and one more",
    "banana": "banana: where it bends",
    "modes": "four modes: where they lie apart",
}
_LIMITS: dict[str, dict[str, tuple[float, float]]] = {
    "funnel": {"xlim": (-9, 9), "ylim": (-25, 25)},
    "banana": {"xlim": (-32, 32), "ylim": (-26, 8)},
    "modes": {"xlim": (-8, 10), "ylim": (-8, 10)},
}


def _plane(name: str, x: Tensor) -> Tensor:
    if name == "funnel":
        return x[:, :2]
    if name == "banana":
        white = straightened(x)
        return torch.stack([10 * white[:, 0], white[:, 1] - 3 * (white[:, 0].square() - 1)], dim=1)
    exact = TARGETS[name]().draw(20_000, torch.Generator().manual_seed(0))
    return (x - exact.mean(0)) @ torch.linalg.eigh(exact.T.cov())[1][:, -2:]


def _bars(ax: Any, found: dict[str, Any]) -> None:
    """Effective shares, pale where no estimate is reported, else with the true log Z taken from the estimate."""
    methods = [method for method in METHODS if method in found]
    shares = [found[method].get("effective_share", 0.0) for method in methods]
    refused = ["refused" in found[method] for method in methods]
    bars = ax.bar(
        range(len(methods)), shares, color=["tab:blue" if "flow" in method else "tab:red" for method in methods]
    )
    for bar, share, no, method in zip(bars, shares, refused, methods, strict=True):
        bar.set(alpha=0.35 if no else 0.9)
        text = f"{share:.2f}\n" + ("refused" if no else f"log Z {found[method]['log_z_difference']:+.3f}")
        ax.annotate(text, (bar.get_x() + bar.get_width() / 2, share), ha="center", va="bottom", fontsize=7)
    ax.set(ylim=(0, 1.2), xticks=range(len(methods)))
    ax.set_xticklabels([method.replace("flow, ", "flow,\n") for method in methods], fontsize=7, rotation=30)
