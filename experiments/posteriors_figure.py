"""The picture of ``experiments.posteriors``: C2ST and seconds, ours beside those of sbi."""

from pathlib import Path

import matplotlib.pyplot as plt

__all__ = ["draw"]

COLORS = {"counterflow": "tab:blue"}


def draw(rows: list[dict], path: Path) -> None:
    """Draw means with their intervals for each budget, and the seconds of both."""
    budgets = sorted({row["budget"] for row in rows})
    tasks = sorted({row["task"] for row in rows})
    who = sorted({row["who"] for row in rows})
    axes = plt.subplots(1, len(budgets) + 1, figsize=(4 * len(budgets) + 4, 3.6), layout="constrained")[1]
    for ax, budget in zip(axes, budgets, strict=False):
        for k, name in enumerate(who):
            own = {row["task"]: row for row in rows if row["budget"] == budget and row["who"] == name}
            at = [i + 0.24 * (k - (len(who) - 1) / 2) for i, task in enumerate(tasks) if task in own]
            found = [own[task] for task in tasks if task in own]
            middle = [row["c2st"] for row in found]
            reach = [[row["c2st"] - row["low"] for row in found], [row["high"] - row["c2st"] for row in found]]
            ax.errorbar(at, middle, reach, fmt="o", capsize=3, color=COLORS.get(name, "tab:orange"), label=name)
        ax.axhline(0.5, color="0.6", linewidth=0.8)
        ax.set_xticks(range(len(tasks)), [task.replace("_", "\n") for task in tasks], fontsize=8)
        ax.set(title=f"{budget:,} simulations", ylim=(0.48, 1.0), ylabel="C2ST (one half is best)")
    axes[0].legend(fontsize=8)
    ax = axes[-1]
    for k, name in enumerate(who):
        for j, budget in enumerate(budgets):
            own = {row["task"]: row["seconds"] for row in rows if row["budget"] == budget and row["who"] == name}
            at = [i + 0.18 * (2 * j + k - 1.5) for i, task in enumerate(tasks) if task in own]
            label = f"{name}, {budget:,}"
            seconds = [own[task] for task in tasks if task in own]
            ax.bar(at, seconds, 0.17, label=label, color=COLORS.get(name, "tab:orange"), alpha=0.5 + 0.5 * j)
    ax.set_yscale("log")
    ax.set_xticks(range(len(tasks)), [task.replace("_", "\n") for task in tasks], fontsize=8)
    ax.set(title="training and 100,000 draws", ylabel="seconds of one core")
    ax.legend(fontsize=7)
    plt.savefig(path, dpi=100)
