"""An autoencoder followed by a flow of its latents under one condition: a generator with standard normal latents."""

from jaxtyping import Float
from torch import Tensor, nn

from counterflow.flows import Flow
from counterflow.generators import Generator
from counterflow.latent.codes import lent

__all__ = ["ConditionedGenerator"]


class ConditionedGenerator(nn.Module):
    r"""Encode and decode through a flow: :math:`u = f(e(x); c)` and :math:`x \approx g(f^{-1}(u; c))`.

    Latent ascent in :math:`u` climbs where latents of this condition are, and ``log_prob`` says how usual they are.

    Args:
        autoencoder: What encodes and decodes; it is shared, not copied.
        flow: The flow of its latents, laid out as vectors.
        context: The condition of all points as one vector, ``None`` for a flow without.
        latent_shape: The shape of one latent of the autoencoder.

    Example:
        >>> import torch
        >>> from counterflow import flows
        >>> from counterflow.generators import Identity
        >>> generator = ConditionedGenerator(Identity(), flows.realnvp(2), None, latent_shape=(2,))
        >>> generator.decode(generator.encode(torch.ones(1, 2)))
        tensor([[1., 1.]], grad_fn=...)
    """

    context: Tensor | None

    def __init__(
        self,
        autoencoder: Generator,
        flow: Flow,
        context: Float[Tensor, " width"] | None,
        *,
        latent_shape: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.autoencoder, self.flow, self.latent_shape = autoencoder, flow, latent_shape
        self.register_buffer("context", context)

    def encode(self, x: Float[Tensor, "rows *event"]) -> Float[Tensor, "rows features"]:
        """Map points to latents of the flow."""
        with lent(self.autoencoder):
            return self.flow.to_latent(self.autoencoder.encode(x).flatten(1), self.context)[0]

    def decode(self, u: Float[Tensor, "rows features"]) -> Float[Tensor, "rows *event"]:
        """Map latents of the flow to points."""
        z, _ = self.flow.to_data(u, self.context)
        with lent(self.autoencoder):
            return self.autoencoder.decode(z.unflatten(1, self.latent_shape))

    def log_prob(self, u: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density of latents of the flow."""
        return self.flow.base.log_prob(u)
