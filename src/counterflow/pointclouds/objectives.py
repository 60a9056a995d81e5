"""What a PointFlow is trained on: the bound of a batch of clouds, or how wrong its velocity is."""

from typing import Literal, NamedTuple, cast

import torch
from torch import Tensor, nn

from counterflow.bijections import Continuous
from counterflow.core.clouds import present_points
from counterflow.core.errors import ArgumentError
from counterflow.pointclouds.draws import some_points
from counterflow.pointclouds.encoder import normal_entropy
from counterflow.pointclouds.model import PointFlow
from counterflow.training.settings import check_choice

__all__ = ["Objective", "PointObjective", "ShakenClouds", "shake"]

Objective = Literal["likelihood", "flow_matching"]


class ShakenClouds(NamedTuple):
    """Points of some clouds, scaled, with all the randomness that their loss takes.

    Args:
        clean: The points, 0 where there is none.
        noisy: The same with noise.
        present: Which are points.
        latent: Noise of the latents.
        level: How much noise the points of each cloud have, from 0 to 1.
        base: For each point one of the base density.
        time: For each point a time.
    """

    clean: Tensor
    noisy: Tensor
    present: Tensor
    latent: Tensor
    level: Tensor
    base: Tensor
    time: Tensor


@torch.no_grad()
def shake(model: PointFlow, clouds: Tensor, *, points: int, generator: torch.Generator) -> ShakenClouds:
    """Draw points of each cloud, and all other randomness of their loss.

    Example:
        >>> model = PointFlow()
        >>> shake(model, torch.randn(4, 100, 3), points=50, generator=torch.Generator()).noisy.shape
        torch.Size([4, 50, 3])
    """
    drawn = model.scaled(some_points(clouds, points, generator=generator))
    like = {"dtype": drawn.dtype, "device": drawn.device}
    present, clean = present_points(drawn), drawn.nan_to_num(0.0)
    level = torch.rand(len(clouds), 1, generator=generator, **like)
    base, jitter = torch.randn((2, *clean.shape), generator=generator, **like)
    return ShakenClouds(
        clean=clean,
        noisy=clean + model.settings.noise * level.unsqueeze(-1) * jitter,
        present=present,
        latent=torch.randn(len(clouds), model.settings.latent_features, generator=generator, **like),
        level=level,
        base=base,
        time=torch.rand((*clean.shape[:2], 1), generator=generator, **like),
    )


class PointObjective(nn.Module):
    r"""The loss of a PointFlow for each point, in nats or as squared errors of the velocity.

    .. math:: \ell = -\frac{1}{\sum_k n_k} \sum_k \Big[ \sum_{i=1}^{n_k} \log p(x_{ki} \mid z_k)
        + w \big( \log p(z_k) + H(q(z \mid X_k)) \big) \Big], \quad z_k \sim q(z \mid X_k)

    With ``"flow_matching"`` half the squared error of the velocity stands for each :math:`-\log p(x \mid z)`.

    Args:
        model: What is trained.
        objective: ``"likelihood"`` or ``"flow_matching"``.
        kl_weight: w.

    Raises:
        ArgumentError: Flow matching of a flow that is not continuous, or ``kl_weight`` is below 0 or not finite.
    """

    def __init__(self, model: PointFlow, *, objective: Objective = "likelihood", kl_weight: float = 1.0) -> None:
        super().__init__()
        check_choice(objective, ("likelihood", "flow_matching"), "objective")
        if objective == "flow_matching" and model.settings.points != "continuous":
            raise ArgumentError(
                f"objective='flow_matching' must have a velocity, got points={model.settings.points!r}. "
                "Build the model with PointFlowSettings(points='continuous'), or use objective='likelihood'."
            )
        if not 0 <= kl_weight < float("inf"):
            raise ArgumentError(f"kl_weight must be at least 0 and finite, got {kl_weight}. Use 1 for the bound.")
        self.model, self.objective, self.kl_weight = model, objective, kl_weight

    def forward(self, batch: ShakenClouds) -> Tensor:
        """Compute the mean loss of all points."""
        model = self.model
        mean, log_deviation = model.read(batch.clean, batch.present)
        z = mean + log_deviation.exp() * batch.latent
        context = model.context(z, batch.level)
        losses = (
            self._velocity_errors(batch, context) if self.objective == "flow_matching" else self._nats(batch, context)
        )
        total = torch.where(batch.present, losses, 0.0).sum()
        if model.settings.variational:
            total = total - self.kl_weight * (model.prior(z) + normal_entropy(log_deviation)).sum()
        return total / batch.present.sum()

    def _nats(self, batch: ShakenClouds, context: Tensor) -> Tensor:
        return self.model.settings.dimensions * self.model.units.scale.log() - self.model.points(batch.noisy, context)

    def _velocity_errors(self, batch: ShakenClouds, context: Tensor) -> Tensor:
        velocity = cast("Continuous", self.model.points.bijection).velocity
        way = batch.base - batch.noisy
        found = velocity(batch.time, torch.addcmul(batch.noisy, way, batch.time), context)
        return (found - way).square().sum(-1) / 2
