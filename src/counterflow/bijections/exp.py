"""The exponential."""

from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.elementwise import AbstractElementwise

__all__ = ["Exp"]


class Exp(AbstractElementwise):
    r"""The exponential of every number, :math:`z = e^x`; ``Invert(Exp())`` is the logarithm.

    For positive data put ``Invert(Exp(features))`` first: latent is then the logarithm, as in the log-normal law.

    Args:
        event_shape: Number of features, or the shape of one point.

    Example:
        >>> import torch
        >>> Exp().to_latent(torch.zeros(1))
        (tensor([1.]), tensor(0.))
    """

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the exponential; the log-slope is x itself."""
        return x.exp(), x

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the logarithm of z > 0; the log-slope is minus that."""
        x = z.log()
        return x, -x
