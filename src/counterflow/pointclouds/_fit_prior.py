"""The flow over latents, fitted to an encoder that is done."""

import torch
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.clouds import CloudLike
from counterflow.pointclouds.model import PointFlow
from counterflow.training import FitReport, fit

__all__ = ["fit_prior"]


def fit_prior(
    model: PointFlow,
    clouds: CloudLike,
    *,
    validation: float | CloudLike = 0.1,
    max_epochs: int = 500,
    patience: int = 50,
    batch_size: int = 128,
    learning_rate: float = 1e-3,
    time_limit: float | None = None,
    progress: bool = True,
    generator: torch.Generator | None = None,
) -> FitReport:
    r"""Fit the prior of a PointFlow to the latents of clouds; encoder and points stay as they are.

    .. math:: \max_{p} \; \sum_k \mathbb E_{q(z \mid X_k)} \log p(z)

    Latents are drawn afresh from the encoder's law in every epoch; a deterministic encoder gives one for each cloud.

    Args:
        model: Whose prior is trained, in place.
        clouds: The clouds.
        validation: The share of clouds held out, in [0, 1), or clouds of your own.
        max_epochs: The most passes over the clouds.
        patience: Stop after this many epochs in a row without a new best.
        batch_size: The most latents of a batch.
        learning_rate: Adam's step size at the start.
        time_limit: Seconds after which training stops; ``None`` for no limit.
        progress: Show a progress bar on an interactive terminal.
        generator: Where the randomness comes from.

    Returns:
        The report; ``report.best_validation`` is minus the mean log-density of held-out latents, in nats.

    Raises:
        DataError: There are fewer than two clouds, or the held-out share leaves none on one side.

    Example:
        >>> from counterflow.pointclouds import PointFlowSettings
        >>> model = PointFlow(PointFlowSettings(latent_features=2, variational=False))
        >>> fit_prior(model, torch.randn(20, 30, 3), max_epochs=3, progress=False).epochs
        3
    """
    check_count(max_epochs, "max_epochs")
    share = isinstance(validation, int | float)
    return fit(
        model.prior,
        _laws(model, clouds),
        validation=float(validation) if share else (_laws(model, validation), None),
        max_epochs=max_epochs,
        patience=patience,
        batch_size=batch_size,
        learning_rate=learning_rate,
        device=model.prior.device,
        precision="float64" if model.prior.dtype == torch.float64 else "float32",
        time_limit=time_limit,
        progress=progress,
        generator=generator,
        augment=_draw,
    )


@torch.no_grad()
def _laws(model: PointFlow, clouds: CloudLike, *, at_once: int = 64) -> Tensor:
    """Mean and deviation of each latent, side by side."""
    pairs = [model.posterior(part) for part in model.checked(clouds).split(at_once)]
    return torch.cat([torch.stack([mean, log_deviation.exp()], 1) for mean, log_deviation in pairs])


def _draw(laws: Tensor, generator: torch.Generator) -> tuple[Tensor, float]:
    mean, deviation = laws.unbind(1)
    noise = torch.randn(mean.shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + deviation * noise, 0.0
