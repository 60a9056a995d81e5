"""A bijection with its directions exchanged."""

from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection

__all__ = ["Invert"]


class Invert(AbstractBijection):
    """A bijection read backwards: what mapped data to latent now maps latent to data.

    Args:
        inner: The bijection to read backwards.

    Reference:
        Kingma et al., "Improved Variational Inference with Inverse Autoregressive Flow", 2016: ``Invert`` of an
        autoregressive map samples in one pass.

    Example:
        >>> import torch
        >>> from counterflow.bijections import Exp
        >>> Invert(Exp(1)).to_data(torch.zeros(1))
        (tensor([1.]), tensor(0.))
    """

    def __init__(self, inner: AbstractBijection) -> None:
        super().__init__(inner.event_shape, inner.context_features)
        self.inner = inner

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Do what the inner bijection does towards data."""
        return self.inner.to_data(x, context)

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out"], Float[Tensor, "*points"]]:
        """Do what the inner bijection does towards latent."""
        return self.inner.to_latent(z, context)
