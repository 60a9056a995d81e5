"""A flow under one context, dressed as a distribution of torch."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

if TYPE_CHECKING:
    from counterflow.flows.flow import Flow

__all__ = ["FlowDistribution"]


class FlowDistribution(Distribution):
    """A ``torch.distributions.Distribution`` over a flow, for code that expects one.

    Args:
        flow: The flow.
        context: The context of every draw and density; its leading dimensions are the batch shape.

    Example:
        >>> from counterflow import flows
        >>> law = flows.realnvp(2, context_features=1).distribution(torch.zeros(4, 1))
        >>> law.batch_shape, law.event_shape, law.sample((3,)).shape
        (torch.Size([4]), torch.Size([2]), torch.Size([3, 4, 2]))
    """

    arg_constraints = {}  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    has_rsample = True

    def __init__(self, flow: "Flow", context: Tensor | None = None) -> None:
        batch = torch.Size() if context is None else context.shape[:-1]
        super().__init__(batch, torch.Size(flow.event_shape), validate_args=False)
        self.flow = flow
        self.context = context

    @property
    def support(self) -> constraints.Constraint:
        """All real points."""
        return constraints.independent(constraints.real, len(self.event_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Compute the natural log-density."""
        return self.flow(value, self.context)

    def rsample(self, sample_shape: torch.Size | list[int] | tuple[int, ...] = ()) -> Tensor:
        """Draw points with gradients, from torch's default generator."""
        return self.flow.rsample(tuple(sample_shape), self.context)
