"""FlowHMM for observations that come one at a time."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from counterflow.core.errors import DataError
from counterflow.estimators.hmm_series import Scale
from counterflow.hmm import FlowMarkovModel, OnlineFilter

__all__ = ["HmmStream"]


class HmmStream:
    """A filter that is fed with one observation at a time; made by :meth:`FlowHMM.stream`.

    Args:
        model: The model of standardized observations.
        scale: Between the data's units and standard ones.

    Attributes:
        log_density (float): How well the last observation was predicted, in nats; the mean over a stream is its score.
    """

    def __init__(self, model: FlowMarkovModel, scale: Scale) -> None:
        self._filter, self._scale = OnlineFilter(model), scale
        self.log_density = 0.0

    def update(self, x: Any) -> Float[np.ndarray, " states"]:
        """Take in an observation.

        Args:
            x: Its numbers; NaN for one that was not made, and time passes.

        Returns:
            The chance of each state, given it and all before.

        Raises:
            DataError: It is not one observation of finite numbers, or so far out that no density can be computed.
        """
        row = torch.from_numpy(np.array(x, dtype=np.float64)).reshape(-1)
        if len(row) != self._filter.model.features or bool(row.isinf().any()):
            raise DataError(
                f"an observation must be {self._filter.model.features} finite numbers, or NaN, got {row.tolist()}. "
                "Give one at a time."
            )
        made = not bool(row.isnan().any())
        step = self._filter.update(self._scale.standardized(row.unsqueeze(0))[0])
        self.log_density = float(step.log_predictive) - self._scale.log_volume if made else 0.0
        return step.log_posterior.exp().numpy()

    def ahead(self, steps: int = 1) -> Float[np.ndarray, " states"]:
        """The chance of each state so many steps ahead."""
        return self._filter.ahead(steps).exp().numpy()
