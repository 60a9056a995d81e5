"""The co-occurrence form: training on how often cells follow each other, at a price that no length changes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.numerics import safe_log
from counterflow.hmm.cells import Cells, count_pairs, find_cells, followed
from counterflow.hmm.learning import Series
from counterflow.hmm.model import FlowMarkovModel
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["WithJoint", "cooccurrence", "fit_cooccurrence"]


class WithJoint(nn.Module):
    """A model whose states are drawn in pairs, as softmax of free numbers: the law of two states in a row.

    Args:
        model: The model; :meth:`settle` writes its law.
    """

    def __init__(self, model: FlowMarkovModel) -> None:
        super().__init__()
        joint = model.log_transition + _stationary(model.log_transition.exp()).log().unsqueeze(1)
        self.model = model
        self.joint = nn.Parameter(joint.clamp(min=-20.0).to(model.flows[0].dtype))

    def forward(self, cells: Cells) -> Float[Tensor, "cells cells"]:
        """The chance of each pair of cells."""
        joint = self.joint.double().flatten().softmax(0).view_as(self.joint)
        return cooccurrence(self.model(cells.centers) + cells.log_volume.unsqueeze(1), joint)

    @torch.no_grad()
    def settle(self) -> None:
        """Write the law into the model: starts are the law of a state."""
        joint = self.joint.double().flatten().log_softmax(0).view_as(self.joint)
        self.model.log_start.copy_(joint.logsumexp(1).log_softmax(0))
        self.model.log_transition.copy_(joint.log_softmax(1))


def cooccurrence(
    log_mass: Float[Tensor, "cells states"], joint: Float[Tensor, "states states"]
) -> Float[Tensor, "cells cells"]:
    r"""The chance of each pair of cells: :math:`Q = P S P^\top`, where the columns of P are normalized.

    Args:
        log_mass: How much each state emits into each cell, up to a factor for each state.
        joint: S, the chance of each pair of states.

    Returns:
        Q.

    Example:
        >>> cooccurrence(torch.eye(2).log(), torch.tensor([[0.5, 0.0], [0.25, 0.25]])).tolist()
        [[0.5, 0.0], [0.25, 0.25]]
    """
    emission = log_mass.softmax(0)
    return emission @ joint @ emission.T


def fit_cooccurrence(
    model: FlowMarkovModel,
    series: Series,
    *,
    settings: TrainingSettings,
    cells: int | None = None,
    smoothing: float = 0.01,
    generator: torch.Generator,
) -> FitReport:
    r"""Train on pairs of cells alone.

    .. math:: \min_\theta \mathrm{KL}(\hat Q \,\|\, P_\theta S_\theta P_\theta^\top), \qquad
        P_{mj} \propto p_j(g_m)\, v_m

    The observations are put into cells around points :math:`g_m` of volumes :math:`v_m`, found by k-means, and pairs of
    consecutive ones are counted once; after that a step costs the same for a thousand observations and for a
    billion. It learns nothing from longer memory than one step, and nothing of what is finer than a cell.

    The authors' code minimizes the divergence the other way round, from the model to the counts, and leaves volumes
    out; this way round it is the likelihood of the pairs, and the volumes make P what a state emits into a cell.

    Args:
        model: The model, changed in place.
        series: What to learn from.
        settings: Epochs, of twenty steps each, learning rate and so on.
        cells: How many cells; ``None`` for 40 in one dimension and 150 in several.
        smoothing: What is added to the count of each pair; 1 in the paper, where cells are few.
        generator: Where the randomness comes from.

    Returns:
        The report of the run, whose losses are divergences.

    Raises:
        DataError: No observation is followed by another.

    Reference:
        Lorek, Nowak, Trzcinski, Zieba, "FlowHMM: Flow-based continuous hidden Markov models", 2022, the training by
        co-occurrence.
    """
    features = series.x.shape[1]
    found = find_cells(series.x[series.made], cells or (40 if features == 1 else 150), generator=generator)
    pairs = followed(series.lengths, series.made)
    counts = count_pairs(found.of(series.x), pairs, cells=len(found.centers)) + smoothing
    target = counts / counts.sum()
    module = WithJoint(model)

    def divergence(module: nn.Module, cells: Cells) -> Tensor:
        return (target * (target.log() - safe_log(module(cells)))).sum()

    report = optimise(module, divergence, [found] * 20, settings=settings, generator=generator)
    module.settle()
    return report


def _stationary(transition: Tensor) -> Tensor:
    """The law of states after a long time, the long-run mean of all starts where there is none."""
    power = (transition + torch.eye(len(transition), dtype=transition.dtype)) / 2
    for _ in range(20):
        power = power @ power
        power = power / power.sum(1, keepdim=True)
    return power.mean(0)
