"""Symmetric data: the absolute value goes through the flow, the sign beside it."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.surjection import AbstractSurjection
from counterflow.nets import make_conditioner

__all__ = ["AbsoluteValue"]


class AbsoluteValue(AbstractSurjection):
    r"""The absolute value of each feature, with signs that are drawn on the way to data; the likelihood is exact.

    .. math:: z = |x|, \quad w = \sum_i \log p(\operatorname{sign} x_i \mid z, c)

    A net gives the logits of the signs; they start as coins, which makes data symmetric. Latents are positive: let the
    flow begin with ``Invert(Exp(features))``.

    Args:
        features: Number of features.
        hidden: Widths of the hidden layers of the net.
        context_features: Length of the context; 0 for none.
        generator: Where the net's weights are drawn from.

    Reference:
        Nielsen et al., "SurVAE Flows", 2020, section 3 (inference surjections: the absolute value).

    Example:
        >>> z, weight = AbsoluteValue(1).to_latent(torch.tensor([-3.0]))
        >>> z.item(), round(weight.exp().item(), 4)
        (3.0, 0.5)
    """

    def __init__(
        self,
        features: int,
        *,
        hidden: tuple[int, ...] = (32,),
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(features, features, noise_features=0, context_features=context_features, exact=True)
        self.net = make_conditioner(
            features, features, hidden=hidden, context_features=context_features, generator=generator
        )

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows n"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the absolute value, and say how probable the signs were."""
        z = x.abs().expand(*torch.broadcast_shapes(x.shape[:-1], noise.shape[:-1]), -1)
        logits = self.net(z, context if self.context_features else None)
        weight = functional.logsigmoid(torch.where(x < 0, -logits, logits)).sum(-1)
        return z.expand(*weight.shape, -1), weight

    def to_data(
        self,
        z: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out features"]:
        """Draw the signs."""
        logits = self.net(z, context if self.context_features else None)
        drawn = torch.rand(logits.shape, dtype=z.dtype, device=z.device, generator=generator)
        return torch.where(drawn < torch.sigmoid(logits), z, -z)
