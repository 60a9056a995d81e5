"""Generators that lose nothing: flows, and the identity."""

from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_context
from counterflow.flows import Flow

__all__ = ["FlowGenerator", "Identity"]


class FlowGenerator(nn.Module):
    r"""A flow as a generator: :math:`z = f(x; c)` and :math:`x = f^{-1}(z; c)`, exact up to rounding.

    Args:
        flow: The flow; it is shared, not copied.
        context: One context vector that all points share, for a conditional flow.

    Raises:
        ArgumentError: A context is missing or was not expected.
        ShapeError: It has the wrong length.

    Example:
        >>> import torch
        >>> from counterflow import flows
        >>> generator = FlowGenerator(flows.realnvp(2))
        >>> x = torch.tensor([[1.0, 2.0]])
        >>> torch.equal(generator.decode(generator.encode(x)), x)
        True
    """

    context: Tensor | None

    def __init__(self, flow: Flow, context: Float[Tensor, " c"] | None = None) -> None:
        super().__init__()
        check_context(context, flow.context_features)
        self.flow = flow
        self.register_buffer("context", context)

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Map points to latents."""
        return self.flow.to_latent(x, self.context)[0]

    def decode(self, z: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Map latents to points."""
        return self.flow.to_data(z, self.context)[0]

    def log_prob(self, z: Float[Tensor, "rows *event"]) -> Float[Tensor, " rows"]:
        """Compute the log-density of latents under the base of the flow; of a point x, ask ``flow.log_prob(x)``."""
        return self.flow.base.log_prob(z)


class Identity(nn.Module):
    """The generator whose latents are the points: what searches in it makes adversarial examples.

    Example:
        >>> import torch
        >>> Identity().encode(torch.ones(1, 2))
        tensor([[1., 1.]])
    """

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Give the points."""
        return x

    def decode(self, z: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows *event"]:
        """Give the points."""
        return z
