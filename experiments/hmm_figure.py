"""What FlowHMM learned of laws that are known, beside the truth."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch

from experiments.tables import results_path

__all__ = ["draw"]


def draw(learned: dict[str, Any], figures: dict[str, Any]) -> None:
    """One panel for each example: true densities filled, learned ones as lines."""
    figure, axes = plt.subplots(1, len(learned), figsize=(3.6 * len(learned), 3.3), layout="constrained")
    for ax, (name, (law, learner, order)) in zip(axes, learned.items(), strict=True):
        (_in_one_dimension if law.corners.shape[1] == 1 else _in_the_plane)(ax, law, learner, order)
        run = figures[name]["runs"][-1]
        ax.set_title(f"{name}\n{run['FlowHMM']['short_of_truth']:.3f} nats a step short of the truth", fontsize=9)
    figure.savefig(results_path("hmm.png"), dpi=100)
    plt.close(figure)


def _in_one_dimension(ax: Any, law: Any, learner: Any, order: np.ndarray) -> None:
    (low,), (high,) = law.corners.tolist()
    grid = np.linspace(low, high, 1200)[:, None]
    true, ours = law.densities(grid).exp().numpy(), np.exp(learner.log_densities(grid))[:, order]
    for state in range(law.states):
        ax.fill_between(grid[:, 0], true[:, state], alpha=0.25, linewidth=0, color=f"C{state}")
        ax.plot(grid[:, 0], ours[:, state], color=f"C{state}", linewidth=1.2)
    ax.set(ylim=(0, 1.35 * true.max()), yticks=[])


def _in_the_plane(ax: Any, law: Any, learner: Any, order: np.ndarray) -> None:
    (left, bottom), (right, top) = law.corners.tolist()
    axes = torch.linspace(left, right, 140, dtype=torch.float64), torch.linspace(bottom, top, 110, dtype=torch.float64)
    grid = torch.cartesian_prod(*axes).numpy()
    true, ours = law.densities(grid).exp().numpy(), np.exp(learner.log_densities(grid))[:, order]
    for state in range(law.states):
        shape = (140, 110)
        level = 0.2 * true[:, state].max()
        ax.contourf(*axes, true[:, state].reshape(shape).T, levels=[level, np.inf], colors=[f"C{state}"], alpha=0.25)
        ax.contour(*axes, ours[:, state].reshape(shape).T, levels=[level], colors=[f"C{state}"], linewidths=1.2)
    ax.set(xticks=[], yticks=[])
