"""Neural likelihood estimation: a likelihood is learned from simulations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.core.random import make_generator
from counterflow.flows.heads import Head, SplineHead
from counterflow.inference.ensembles import build_ensemble, fit_ensemble
from counterflow.inference.heads import Target
from counterflow.inference.likelihood import Likelihood
from counterflow.inference.masses import DiscreteMass, Levels
from counterflow.inference.member_training import HowToTrain, usual_batch_size
from counterflow.inference.priors import as_prior
from counterflow.inference.simulations import Simulations
from counterflow.nets.embeddings import Embedding
from counterflow.nets.observations import ObservationReader
from counterflow.training import FitReport, TrainingSettings

__all__ = ["fit_likelihood"]


def fit_likelihood(
    simulations: Simulations,
    prior: object,
    *,
    discrete: Sequence[int] = (),
    head: Head | None = None,
    members: int = 1,
    validation: float = 0.1,
    max_epochs: int = 60,
    patience: int = 20,
    batch_size: int | None = None,
    learning_rate: float = 2e-2,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Likelihood:
    r"""Learn the likelihood from simulations of one trial each: neural likelihood estimation.

    .. math:: \max_\phi \; \sum_i \log q_\phi(x_i \mid \theta_i)

    The posterior of any number of independent trials follows by Bayes' rule (``likelihood.posterior(x).sample(...)``),
    for the log-likelihoods of trials add up. Data must be vectors; summarize larger ones first.

    Args:
        simulations: Parameters with the data of one trial each, ``(rows, features)``.
        prior: The prior of the parameters.
        discrete: The columns of the data that are discrete: categories or counts, as numbers. Their probabilities are
            learned by a classifier, and the density of the other columns is conditioned on them.
        head: The form of the density of the continuous columns; ``None`` for :class:`SplineHead`.
        members: How many densities of the continuous columns are trained and averaged.
        validation: The share of the simulations held out.
        max_epochs: The most passes over the simulations.
        patience: Stop after this many epochs without a better held-out loss.
        batch_size: The most simulations in a batch; ``None`` for a tenth of them, from 50 to 200.
        learning_rate: Adam's step size at the start; it falls along a cosine.
        weight_decay: The decay rate of AdamW.
        generator: Where randomness comes from.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        The likelihood.

    Raises:
        DataError: If there are fewer than 10 simulations, or data are missing.
        ShapeError: If the data are no vectors, or prior and simulations differ in their number of parameters.
        ArgumentError: If a column does not exist.

    Reference:
        Papamakarios, Sterratt, Murray, "Sequential Neural Likelihood", 2019, equation 3; Boelts et al., "Flexible and
        efficient simulation-based inference for models of decision-making", 2022, for discrete columns.

    Example:
        >>> from counterflow.inference import BoxUniform, simulate
        >>> generator = torch.Generator().manual_seed(0)
        >>> coin = lambda theta, generator: (torch.rand(theta.shape, generator=generator) < theta).float()
        >>> prior = BoxUniform([0.0], [1.0])
        >>> tosses = simulate(coin, prior, count=2000, generator=generator)
        >>> likelihood = fit_likelihood(tosses, prior, discrete=[0], max_epochs=30, generator=generator)
        >>> heads = likelihood.log_prob(torch.tensor([1.0]), torch.tensor([[0.2], [0.8]])).exp()
        >>> [round(value, 1) for value in heads.tolist()]
        [0.2, 0.8]
    """
    prior, generator = as_prior(prior), make_generator(generator)
    x = _checked(simulations, prior.features, discrete)
    columns = tuple(sorted(int(column) for column in discrete))
    reader = ObservationReader((prior.features,))
    reader.learn(simulations.theta)
    settings = TrainingSettings(
        max_epochs=max_epochs,
        patience=patience,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        compile=False,
        progress=progress,
    )
    how = HowToTrain(settings, batch_size or usual_batch_size(len(simulations)), validation, generator)
    read, head, reports = reader(simulations.theta), head or SplineHead(), []
    mass, density = None, None
    if columns:
        mass, read = _fit_mass(x[:, list(columns)], read, how=how, reports=reports)
    if rest := [i for i in range(x.shape[1]) if i not in columns]:
        condition = ObservationReader((read.shape[1],))
        target = Target.unbounded(len(rest))
        density = build_ensemble(head, target, condition, embedding=Embedding(), members=members, generator=generator)
        reports += fit_ensemble(density, x[:, rest], context=read, how=how)
    return Likelihood(x.shape[1], columns, prior, reader, density, mass, head, simulations.prior_note, tuple(reports))


def _fit_mass(
    discrete: Tensor, read: Tensor, *, how: HowToTrain, reports: list[FitReport]
) -> tuple[DiscreteMass, Tensor]:
    """Learn the probabilities of the discrete columns; and what their values add to the condition of the others."""
    levels = Levels.of(discrete)
    mass = DiscreteMass(levels, read.shape[1], generator=how.generator)
    reports.append(how.fit(mass, discrete, context=read))
    return mass, levels.beside(read, discrete)


def _checked(simulations: Simulations, parameters: int, discrete: Sequence[int]) -> Tensor:
    simulations.check(parameters)
    x = simulations.x
    if x.dim() != 2:
        raise ShapeError(
            f"a likelihood is learned of vectors, got data of shape {tuple(x.shape[1:])}. "
            "Simulate one trial for each parameter vector, or summarize the data."
        )
    if x.isnan().any():
        raise DataError("a likelihood needs data without gaps, got missing values. fit_posterior can learn from them.")
    for column in discrete:
        if not 0 <= column < x.shape[1]:
            raise ArgumentError(f"discrete must name columns from 0 to {x.shape[1] - 1}, got {column}. Count from 0.")
    return x
