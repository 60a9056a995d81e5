"""One observation at a time."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.checks import check_count, check_event
from counterflow.hmm.model import FlowMarkovModel

__all__ = ["OnlineFilter", "Step"]


class Step(NamedTuple):
    r"""What one observation brought.

    Args:
        log_posterior: :math:`\log p(s_t \mid x_1, \dots, x_t)`.
        log_predictive: :math:`\log p(x_t \mid x_1, \dots, x_{t-1})`.
    """

    log_posterior: Float[Tensor, " states"]
    log_predictive: Float[Tensor, ""]


class OnlineFilter:
    """The forward algorithm, fed with one observation at a time: the same numbers, for as long as they come.

    Args:
        model: The model.

    Example:
        >>> from counterflow import flows
        >>> model = FlowMarkovModel([flows.spline_coupling(1), flows.spline_coupling(1)])
        >>> online = OnlineFilter(model)
        >>> online.update(torch.tensor([0.3])).log_posterior.exp().tolist()
        [0.5, 0.5]
    """

    def __init__(self, model: FlowMarkovModel) -> None:
        self.model = model
        self.log_posterior: Tensor | None = None

    def ahead(self, steps: int = 1) -> Float[Tensor, " states"]:
        """The logarithm of what is known of the state so many steps ahead, before any of them is observed.

        Raises:
            ArgumentError: ``steps`` is no number of at least 1.
        """
        check_count(steps, "steps")
        known, steps = (self.model.log_start, steps - 1) if self.log_posterior is None else (self.log_posterior, steps)
        for _ in range(steps):
            known = (known.unsqueeze(1) + self.model.log_transition).logsumexp(0)
        return known

    @torch.no_grad()
    def update(self, x: Float[Tensor, " features"]) -> Step:
        """Take in an observation; one that holds NaN was not made, and time passes.

        Raises:
            ShapeError: It is not one observation.
        """
        check_event(x, (self.model.features,), "x")
        joint = self.ahead() + self.model(x.reshape(1, -1))[0]
        total = joint.logsumexp(0)
        known = joint - total
        self.log_posterior = known
        return Step(known, total)

    def reset(self) -> None:
        """Begin a new sequence."""
        self.log_posterior = None
