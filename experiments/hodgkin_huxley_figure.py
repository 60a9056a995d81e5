"""The figures of the neuron."""

import torch
from torch import Tensor

from counterflow.inference import RankCalibration, tasks
from experiments.tables import results_path

__all__ = ["draw"]


def draw(observed: Tensor, drawn: dict[str, Tensor], ranks: RankCalibration, *, truth: Tensor) -> None:
    """Draw traces of the prior, of the posterior over the observed one, the ranks, and the posterior's pairs."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from counterflow.plotting import plot_pairs, plot_predictive, plot_ranks

    figure, (prior, posterior, below) = plt.subplots(3, 1, figsize=(9, 9), layout="constrained")
    times = tasks.StepCurrent().times
    every = slice(None, None, 4)
    for ax, name, title in (
        (prior, "prior", "Simulated with parameters of the prior"),
        (posterior, "posterior", "Simulated with parameters of the posterior"),
    ):
        plot_predictive(drawn[name][:, every], observed[every], times=times[every], lines=8, title=title, ax=ax)
        ax.set(xlabel="ms", ylabel="mV", ylim=(-105, 100))
    plot_ranks(ranks, ax=below)
    figure.savefig(results_path("hodgkin_huxley.png"), dpi=80)
    axes = plot_pairs(drawn["theta"], truth=truth, names=tasks.PARAMETERS, limits=_limits())
    axes[0, 0].figure.savefig(results_path("hodgkin_huxley_pairs.png"), dpi=60)


def _limits() -> list[tuple[float, float]]:
    """The range of the prior."""
    prior = tasks.hodgkin_huxley().prior
    return torch.stack([prior.low, prior.high], dim=1).tolist()
