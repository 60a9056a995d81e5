"""One of our conditional densities in the form of a density estimator of sbi; importing this needs sbi."""

from typing import Any, cast

import torch
from sbi.neural_nets.estimators.base import ConditionalDensityEstimator  # type: ignore[import-not-found]
from torch import Tensor, nn

from counterflow.inference.heads import ConditionalDensity
from counterflow.nets.observations import ObservationReader

__all__ = ["FlowEstimator"]


class FlowEstimator(ConditionalDensityEstimator):
    """A conditional density with the shapes of sbi: samples first, then the batch.

    Args:
        density: The density.
        reader: What standardizes conditions.
        input_shape: The shape of one point.
        condition_shape: The shape of one condition.
    """

    def __init__(
        self, density: ConditionalDensity, reader: ObservationReader, input_shape: Any, condition_shape: Any
    ) -> None:
        super().__init__(density, torch.Size(input_shape), torch.Size(condition_shape))
        self.reader = reader

    @property
    def embedding_net(self) -> nn.Module:
        """The network that reads conditions."""
        return self._density.embedding

    def log_prob(self, input: Tensor, condition: Tensor, **kwargs: Any) -> Tensor:
        """Compute natural log-densities, ``(samples, batch)``; batch dimensions broadcast."""
        points, conditions, _ = self._broadcast_and_align(input, condition)
        rows = points.reshape(-1, *self.input_shape)
        read = self.reader(conditions.reshape(-1, *self.condition_shape))
        return self._density(rows, read).view(points.shape[:2])

    def loss(self, input: Tensor, condition: Tensor, **kwargs: Any) -> Tensor:
        """Compute minus the log-density of each row."""
        return -self.log_prob(input.unsqueeze(0), condition)[0]

    def sample(self, sample_shape: torch.Size, condition: Tensor, **kwargs: Any) -> Tensor:
        """Draw ``(*sample_shape, batch, *input_shape)`` points."""
        conditions = condition.reshape(-1, *self.condition_shape)
        count = torch.Size(sample_shape).numel()
        draws = self._density.flow.sample(count, self._density.embedding(self.reader(conditions)))
        return draws.view(*sample_shape, len(conditions), *self.input_shape)

    @property
    def _density(self) -> ConditionalDensity:
        return cast("ConditionalDensity", self.net)
