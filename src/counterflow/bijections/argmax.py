"""Categories as the place of the largest of several numbers."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.bijections.sigmoid import clamp_open
from counterflow.bijections.surjection import AbstractSurjection
from counterflow.core.checks import check_count
from counterflow.core.numerics import soft_bound
from counterflow.nets import make_conditioner

__all__ = ["Argmax"]

LOG_SCALE_BOUND = math.log(2.0)
"""Scales stay above one half: below, the weights p / q of latents near a tie would have no variance."""


class Argmax(AbstractSurjection):
    r"""Categories 0 to K - 1 as the place of the largest of K numbers: no order is made up.

    .. math:: x = \arg\max_k z_k, \quad z_x = u_x, \quad z_k = u_x - \log(1 + e^{u_x - u_k}), \quad
        w = -\log q(u \mid x, c) + \sum_{k \ne x} \log \sigma(u_x - u_k)

    u is logistic; a net of the category and the context gives its places and scales, which start at 0 and 1. The second
    formula pushes all numbers below that of the category, one-to-one. (Normal draws come so seldom near a tie that
    the weights of an estimate would have no variance; the tails of the logistic law are wide enough.)

    Args:
        features: Number of categorical columns, each with as many categories.
        categories: K, at least 2.
        hidden: Widths of the hidden layers of the net.
        context_features: Length of the context; 0 for none.
        generator: Where the net's weights are drawn from.

    Reference:
        Hoogeboom, Nielsen, Jaini, Forré, Welling, "Argmax Flows and Multinomial Diffusion", 2021
        (argmax surjection by thresholding).

    Example:
        >>> colors = Argmax(1, categories=3)
        >>> z, _ = colors.to_latent(torch.tensor([2.0]), generator=torch.Generator().manual_seed(0))
        >>> z.shape, colors.to_data(z)
        (torch.Size([3]), tensor([2.]))
    """

    def __init__(
        self,
        features: int,
        *,
        categories: int,
        hidden: tuple[int, ...] = (32,),
        context_features: int = 0,
        generator: torch.Generator | None = None,
    ) -> None:
        check_count(categories, "categories", 2)
        numbers = features * categories
        super().__init__(features, numbers, noise_features=numbers, context_features=context_features)
        self.categories = categories
        self.net = make_conditioner(
            numbers, 2 * numbers, hidden=hidden, context_features=context_features, generator=generator
        )

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows latents"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out latents"], Float[Tensor, "*out"]]:
        """Draw the numbers, and push those of other categories below that of the category."""
        chosen = functional.one_hot(x.long(), self.categories).to(noise.dtype)  # ..., features, categories
        mean, raw = self.net(chosen.flatten(-2), context if self.context_features else None).chunk(2, -1)
        log_scale = soft_bound(raw, LOG_SCALE_BOUND)
        standard = torch.logit(clamp_open(noise))
        log_q = (functional.logsigmoid(standard) + functional.logsigmoid(-standard) - log_scale).sum(-1)
        u = torch.addcmul(mean, standard, log_scale.exp()).unflatten(-1, (-1, self.categories))
        top = (u * chosen).sum(-1, keepdim=True)
        others = 1 - chosen
        z = torch.where(others > 0, top - functional.softplus(top - u), top)
        return z.flatten(-2), (functional.logsigmoid(top - u) * others).sum((-2, -1)) - log_q

    def to_data(
        self,
        z: Float[Tensor, "*batch latents"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch features"]:
        """Give the place of the largest."""
        return z.unflatten(-1, (-1, self.categories)).argmax(-1).to(z.dtype)
