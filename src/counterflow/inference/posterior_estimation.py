"""Neural posterior estimation: a posterior is learned from simulations."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import DataError
from counterflow.core.random import make_generator
from counterflow.flows.heads import Head, SplineHead
from counterflow.inference.ensembles import build_ensemble, fit_ensemble
from counterflow.inference.heads import Target
from counterflow.inference.member_training import HowToTrain, usual_batch_size
from counterflow.inference.posterior import Posterior
from counterflow.inference.priors import Prior, as_prior
from counterflow.inference.simulations import Simulations
from counterflow.nets.embeddings import Embedding, EmbeddingLike
from counterflow.nets.observations import ObservationReader
from counterflow.training import TrainingSettings

__all__ = ["fit_posterior"]


def fit_posterior(
    simulations: Simulations,
    prior: object,
    *,
    head: Head | None = None,
    embedding: EmbeddingLike | None = None,
    members: int = 2,
    trials: bool = False,
    validation: float = 0.1,
    max_epochs: int = 60,
    patience: int = 20,
    batch_size: int | None = None,
    learning_rate: float = 2e-2,
    weight_decay: float = 0.0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> Posterior:
    r"""Learn the posterior from simulations: neural posterior estimation.

    .. math:: \max_\phi \; \sum_i \log q_\phi(\theta_i \mid x_i), \qquad
        \theta_i \sim p(\theta), \; x_i \sim p(x \mid \theta_i)

    The optimum is the posterior for every observation at once. Parameters with bounds are spread over all real
    numbers first, so that no mass leaks out of the prior's support. Nothing here says whether the answer is right:
    check it by :func:`simulation_based_calibration` and :func:`tarp`.

    Args:
        simulations: Parameters drawn from the prior, with their data.
        prior: The prior they were drawn from: its bounds are the posterior's.
        head: The form of the density: :class:`SplineHead` (the default) or :class:`FlowMatchingHead`.
        embedding: What reads observations: an :class:`Embedding`, or a function that builds a module of your own.
            ``None``: the numbers as they are for vectors, a set encoder for trials, a perceptron for anything else.
        members: How many densities are trained and averaged; several are better and less overconfident.
        trials: Whether each observation is a set of independent trials ``(trials, features)``; the posterior then
            takes any number of them, but knows only the numbers that it was trained on. Trials that are absent are
            rows of NaN.
        validation: The share of the simulations held out, in [0, 1).
        max_epochs: The most passes over the simulations.
        patience: Stop after this many epochs without a better held-out loss.
        batch_size: The most simulations in a batch; ``None`` for a tenth of them, from 50 to 200.
        learning_rate: Adam's step size at the start; it falls along a cosine.
        weight_decay: The decay rate of AdamW.
        generator: Where randomness comes from.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        The posterior, for any observation.

    Raises:
        DataError: If there are fewer than 10 simulations, or a parameter lies outside of the prior's bounds.
        ShapeError: If prior and simulations differ in their number of parameters.
        ArgumentError: If a setting is out of its range.

    Reference:
        Papamakarios, Murray, "Fast epsilon-free Inference of Simulation Models with Bayesian Conditional Density
        Estimation", 2016, proposition 1; Greenberg, Nonnenmacher, Macke, "Automatic Posterior Transformation for
        Likelihood-free Inference", 2019; for flow matching Wildberger et al., 2023.

    Example:
        >>> from counterflow.inference import BoxUniform, simulate
        >>> generator = torch.Generator().manual_seed(0)
        >>> prior = BoxUniform([-2.0], [2.0])
        >>> noisy = lambda theta, generator: theta + 0.1 * torch.randn(theta.shape, generator=generator)
        >>> found = simulate(noisy, prior, count=1000, generator=generator)
        >>> posterior = fit_posterior(found, prior, max_epochs=2, generator=generator)
        >>> theta = posterior.sample(500, torch.tensor([1.0]), generator=generator)
        >>> round(theta.mean().item(), 1), round(theta.std().item(), 1)
        (1.0, 0.1)
    """
    generator = make_generator(generator)
    target = _target(simulations, as_prior(prior))
    reader = _reader(simulations.x, trials=trials)
    embedding = _default_embedding(reader) if embedding is None else embedding
    head = head or SplineHead()
    check_count(members, "members")
    ensemble = build_ensemble(head, target, reader, embedding=embedding, members=members, generator=generator)
    settings = TrainingSettings(
        max_epochs=max_epochs,
        patience=patience,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        compile=False,
        progress=progress,
    )
    how = HowToTrain(settings, batch_size or usual_batch_size(len(simulations)), validation, generator)
    reports = fit_ensemble(ensemble, simulations.theta, context=reader(simulations.x), how=how)
    return Posterior(ensemble, reader, target, head, embedding, simulations.prior_note, reports)


def _target(simulations: Simulations, prior: Prior) -> Target:
    simulations.check(prior.features)
    theta = simulations.theta
    outside = (theta < prior.low) | (theta > prior.high)
    if outside.any():
        row, column = outside.nonzero()[0].tolist()
        raise DataError(
            f"theta must lie within the prior's bounds, got {theta[row, column]:.6g} for parameter {column} of row "
            f"{row}, outside of [{prior.low[column]:.6g}, {prior.high[column]:.6g}]. Pass the prior it was drawn from."
        )
    return Target(prior.low, prior.high)


def _reader(x: Float[Tensor, "rows *shape"], *, trials: bool) -> ObservationReader:
    reader = ObservationReader(tuple(x.shape[1:]), missing=bool(x.isnan().any()), trials=trials)
    reader.learn(x)
    return reader


def _default_embedding(reader: ObservationReader) -> Embedding:
    if reader.trials:
        return Embedding("trials")
    return Embedding("none") if len(reader.shape) == 1 else Embedding("mlp")
