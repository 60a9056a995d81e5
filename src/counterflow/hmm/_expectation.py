"""Generalized expectation and maximization: exact posteriors of the states, then some steps of the flows."""

from collections.abc import Iterator
from itertools import chain, repeat

import torch
from torch import Tensor

from counterflow.hmm.learning import Series, Weighted, deal, held_out_loss, weighted_loss
from counterflow.hmm.model import FlowMarkovModel
from counterflow.hmm.smoothing import smooth
from counterflow.training import FitReport, TrainingSettings, optimise

__all__ = ["expect", "fit_expectation"]

_SHARP_SHARE = 3


def expect(model: FlowMarkovModel, series: Series, *, pseudo_count: float, sharpness: float = 1.0) -> Tensor:
    """The E-step, and the M-step of starts and transitions: what each state answers for of the rows that train."""
    density = torch.where(series.made.unsqueeze(1), model.log_density(series.x), 0.0)
    found = smooth(density, **model.law._asdict(), lengths=series.lengths)
    model.set_law(found.starts, found.transitions, pseudo_count=pseudo_count)
    powers = (sharpness * found.log_posterior[series.made]).exp()
    return powers / powers.sum(1, keepdim=True).clamp(min=torch.finfo(powers.dtype).tiny)


def fit_expectation(
    model: FlowMarkovModel,
    series: Series,
    *,
    settings: TrainingSettings,
    batch_size: int = 500,
    pseudo_count: float = 0.1,
    sharpness: float = 1.0,
    generator: torch.Generator,
) -> FitReport:
    r"""Train by generalized expectation and maximization (Baum and Welch).

    .. math:: \gamma_t(j) \propto p(s_t = j \mid x; \theta)^\beta, \qquad
        \theta \leftarrow \theta + \text{steps uphill of } \sum_t \sum_j \gamma_t(j) \log p_j(x_t)

    Each epoch begins with the exact posteriors of all states under what was learned so far, from which starts and
    transitions follow in closed form; then the flows take one pass over the observations, in random order. With
    :math:`\beta = 1` this is EM. Where states overlap it creeps: mixtures of two emissions explain a series nearly as
    well as the emissions themselves. Larger :math:`\beta` in the first third of the epochs goes past what overlaps, and
    plain EM then puts back what the likelihood asks for.

    Args:
        model: The model, changed in place.
        series: What to learn from; the held-out rows stop the training, where there are any.
        settings: Epochs, learning rate and so on.
        batch_size: The most rows of a batch.
        pseudo_count: What is added to every expected count of starts and transitions.
        sharpness: :math:`\beta` in the first third of the most epochs, but no longer than patience; later, it is 1.
        generator: Where the randomness comes from.

    Returns:
        The report of the run.

    Reference:
        Dempster, Laird, Rubin, "Maximum likelihood from incomplete data via the EM algorithm", 1977, section 1
        (generalized EM). Rabiner, 1989, equations 40 to 40c. Naim, Gildea, "Convergence of the EM algorithm for
        Gaussian mixtures with unbalanced mixing coefficients", 2012 (anti-annealing).
    """
    x = series.x[series.made]
    sharp = min(settings.max_epochs // _SHARP_SHARE, settings.patience)
    powers = chain([sharpness] * sharp, repeat(1.0))

    def batches(dealer: torch.Generator) -> Iterator[Weighted]:
        shares = expect(model, series, pseudo_count=pseudo_count, sharpness=next(powers))
        return deal(x, shares, batch_size=batch_size, generator=dealer)

    return optimise(
        model, weighted_loss, batches, validate=held_out_loss(series), settings=settings, generator=generator
    )
