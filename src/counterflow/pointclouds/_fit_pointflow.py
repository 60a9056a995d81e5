"""Training of PointFlows by the evidence lower bound or by flow matching, on the one loop."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from counterflow.core.checks import check_count
from counterflow.core.clouds import CloudLike
from counterflow.core.errors import ArgumentError, DataError
from counterflow.core.random import derive_seed, make_generator
from counterflow.pointclouds._fit_prior import fit_prior
from counterflow.pointclouds.model import PointFlow
from counterflow.pointclouds.objectives import Objective, PointObjective, ShakenClouds, shake
from counterflow.training import Batch, FitReport, Logger, TensorBatches, TrainingSettings, optimise

__all__ = ["fit_pointflow"]

_HELD_OUT_DRAWS = 4
_LEAST_SECONDS = 1e-3  # so much the prior is given at least: it is set to the latents, and takes a step


def fit_pointflow(
    model: PointFlow,
    clouds: CloudLike,
    *,
    objective: Objective = "likelihood",
    points: int = 256,
    kl_weight: float = 1.0,
    validation: float | CloudLike = 0.1,
    batch_size: int = 16,
    settings: TrainingSettings | None = None,
    generator: torch.Generator | None = None,
    on_epoch: Logger | None = None,
) -> FitReport:
    r"""Train a PointFlow on clouds.

    .. math:: \max \; \sum_k \mathbb E_{q(z \mid X_k)} \Big[ \sum_i \log p(x_{ki} \mid z) + \log p(z) \Big]
        + H\big(q(z \mid X_k)\big)

    In every epoch fresh points of each cloud are drawn. A model with ``variational=False`` is trained on the first sum
    alone, and its prior is fitted to the latents afterwards, by the same settings and for as many epochs, in the time
    that is left (:func:`fit_prior`; call it again for more of either). The weights with the lowest loss of
    held-out clouds are kept. Training takes place where the model is.

    Args:
        model: What to train, in place; :meth:`PointFlow.initialize` is called first.
        clouds: ``(clouds, points, dimensions)`` with rows of NaN where there is no point, or a list of clouds.
        objective: ``"likelihood"``, or ``"flow_matching"`` for a continuous flow: no equation is solved in training,
            and half the squared error of the velocity stands for minus the log-density of a point. It is no bound.
        points: How many points of a cloud a batch has at most.
        kl_weight: The weight of what concerns the latent; 1 for the bound.
        validation: The share of clouds held out, in [0, 1), or clouds of your own.
        batch_size: The most clouds of a batch.
        settings: Epochs, learning rate, time limit, progress and so on; ``None`` for the defaults.
        generator: Where the randomness comes from: one number is drawn from it and seeds the run.
        on_epoch: Called with the record of every epoch; to stop the run there, it returns ``False``.

    Returns:
        The report; ``report.best_validation`` is the held-out loss for each point, in nats for ``"likelihood"``.

    Raises:
        ShapeError: These are no clouds of the model's dimensions.
        DataError: There are fewer than two clouds, an empty one, or points that are not finite.
        ArgumentError: Flow matching of couplings, or a setting is out of its range.

    Reference:
        Yang et al., "PointFlow: 3D Point Cloud Generation with Continuous Normalizing Flows", 2019.

    Example:
        >>> from counterflow.pointclouds import PointFlowSettings
        >>> generator = torch.Generator().manual_seed(0)
        >>> reach = 1 + torch.rand(60, 1, 1, generator=generator)
        >>> clouds = 10 + reach * torch.randn(60, 64, 2, generator=generator)
        >>> model = PointFlow(PointFlowSettings(dimensions=2, latent_features=2, layers=2), generator=generator)
        >>> settings = TrainingSettings(max_epochs=10, learning_rate=3e-3, progress=False)
        >>> report = fit_pointflow(model, clouds, points=64, settings=settings, generator=generator)
        >>> report.best_validation < 4  # nats; 3.7 for normal points whose spread is known
        True
    """
    check_count(points, "points")
    check_count(batch_size, "batch_size")
    settings = settings or TrainingSettings()
    judged = PointObjective(model, objective=objective, kl_weight=kl_weight)
    x = model.checked(clouds)
    seed = int(torch.randint(2**62, (), generator=make_generator(generator)))
    train, held = _split(x, validation, seed, model)
    model.initialize(train)
    if model.settings.variational:
        _start_prior(model, train, points=points, seed=seed)
    deal = TensorBatches(Batch(train), batch_size)
    report = optimise(
        judged,
        lambda module, batch: module(batch),
        lambda source: _shaken(deal(source), model, points=points, generator=source),
        validate=None if held is None else _held_out(model, held, points=points, chunk=2 * batch_size, seed=seed),
        settings=settings,
        generator=make_generator(seed),
        on_epoch=on_epoch,
    )
    model.eval()
    if not model.settings.variational:
        _then_fit_prior(
            model, train, held=held, batch_size=batch_size, settings=settings, seconds=report.seconds, seed=seed
        )
    return report


def _split(x: Tensor, validation: float | CloudLike, seed: int, model: PointFlow) -> tuple[Tensor, Tensor | None]:
    """The clouds to train on in random order, and those held out."""
    if len(x) < 2:
        raise DataError(f"clouds must be at least 2, got {len(x)}. Collect more shapes.")
    order = torch.randperm(len(x), generator=make_generator(derive_seed(seed, "split"))).to(x.device)
    if not isinstance(validation, int | float):
        return x[order], model.checked(validation, name="validation")
    if not 0 <= validation < 1:
        raise ArgumentError(f"validation must be a share in [0, 1) or clouds, got {validation}. The default is 0.1.")
    held = max(1, round(len(x) * validation)) if validation else 0
    if held == len(x):
        raise DataError(
            f"validation={validation} of {len(x)} clouds leaves none to train on. Hold out a smaller share."
        )
    return x[order[held:]], x[order[:held]] if held else None


@torch.no_grad()
def _start_prior(model: PointFlow, clouds: Tensor, *, points: int, seed: int) -> None:
    """Let the prior see what latents the fresh encoder gives."""
    generator = make_generator(derive_seed(seed, "first latents"), clouds.device)
    batch = shake(model, clouds[:256], points=points, generator=generator)
    mean, log_deviation = model.read(batch.clean, batch.present)
    model.prior.initialize(mean + log_deviation.exp() * batch.latent)


def _then_fit_prior(
    model: PointFlow,
    clouds: Tensor,
    *,
    held: Tensor | None,
    batch_size: int,
    settings: TrainingSettings,
    seconds: float,
    seed: int,
) -> None:
    """Fit the prior by the settings of the whole, of whose time so many seconds are gone."""
    left = None if settings.time_limit is None else max(settings.time_limit - seconds, _LEAST_SECONDS)
    fit_prior(
        model,
        clouds,
        validation=0.0 if held is None else held,
        max_epochs=settings.max_epochs,
        patience=settings.patience,
        batch_size=batch_size,
        learning_rate=settings.learning_rate,
        time_limit=left,
        progress=settings.progress,
        generator=make_generator(seed),
    )


def _shaken(
    batches: Iterator[Batch], model: PointFlow, *, points: int, generator: torch.Generator
) -> Iterator[ShakenClouds]:
    for batch in batches:
        yield shake(model, batch.x, points=points, generator=generator)


def _held_out(model: PointFlow, clouds: Tensor, *, points: int, chunk: int, seed: int) -> Callable[[Any], Tensor]:
    """The mean loss of held-out clouds, with points and noise drawn once."""
    generator = make_generator(derive_seed(seed, "held-out noise"), clouds.device)
    parts = [part for _ in range(_HELD_OUT_DRAWS) for part in clouds.split(chunk)]
    batches = [shake(model, part, points=points, generator=generator) for part in parts]
    shares = torch.stack([batch.present.sum() for batch in batches]).double()
    shares = shares / shares.sum()

    def validate(objective: nn.Module) -> Tensor:
        return (torch.stack([objective(batch) for batch in batches]) * shares).sum()

    return validate
