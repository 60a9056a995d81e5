"""The distribution function of a mixture of normal laws, and the way from one law to another through two of them."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractBijection
from counterflow.bijections.chain import Chain
from counterflow.bijections.elementwise import AbstractElementwise
from counterflow.bijections.invert import Invert
from counterflow.bijections.sigmoid import clamp_open
from counterflow.core.errors import ShapeError
from counterflow.core.numerics import normal_log_prob
from counterflow.core.rootfinding import solve_increasing

__all__ = ["MixtureCDF", "transport"]


class MixtureCDF(AbstractElementwise):
    r"""The distribution function of a mixture of normal laws, one mixture per feature.

    .. math:: z_i = F_i(x_i) = \sum_k w_{ik}\, \Phi\!\left( \frac{x_i - \mu_{ik}}{\sigma_{ik}} \right)

    The inverse is found by halving a bracket (a mixture's quantile lies between its components' quantiles) and has
    gradients. Means, log-deviations and logits of the weights are trained.

    Args:
        means: Shape (features, components).
        deviations: Same shape, above zero; ``None`` for ones.
        weights: Same shape, above zero, summing to one over components; ``None`` for equal ones.

    Raises:
        ShapeError: If the shapes differ or are not two-dimensional.

    Example:
        >>> mixture = MixtureCDF(torch.tensor([[-2.0, 2.0]]))
        >>> round(mixture.to_latent(torch.zeros(1))[0].item(), 4)
        0.5
        >>> round(mixture.to_data(torch.tensor([0.75]))[0].item(), 3)  # the right half's median, nearly
        2.0
    """

    one_pass_to_data = False

    def __init__(self, means: Tensor, deviations: Tensor | None = None, *, weights: Tensor | None = None) -> None:
        deviations = torch.ones_like(means) if deviations is None else deviations
        weights = torch.ones_like(means) if weights is None else weights
        if means.dim() != 2 or not means.shape == deviations.shape == weights.shape:
            raise ShapeError(
                "means, deviations and weights must have one shape (features, components), got "
                f"{tuple(means.shape)}, {tuple(deviations.shape)} and {tuple(weights.shape)}. Use one row per feature."
            )
        super().__init__(means.shape[0])
        self.means = nn.Parameter(means.detach().clone())
        self.log_deviations = nn.Parameter(deviations.detach().log())
        self.logits = nn.Parameter(weights.detach().log())

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the distribution function; its log-slope is the log-density of the mixture."""
        standard = (x.unsqueeze(-1) - self.means) * torch.exp(-self.log_deviations)
        log_weights = self.logits.log_softmax(-1)
        value = (torch.special.ndtr(standard) * log_weights.exp()).sum(-1)
        return clamp_open(value), (normal_log_prob(standard) - self.log_deviations + log_weights).logsumexp(-1)

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the quantile, with gradients in z and in the parameters."""
        z = clamp_open(z)
        quantiles = self.means + torch.special.ndtri(z).unsqueeze(-1) * self.log_deviations.exp()
        x = solve_increasing(self._value_and_slope, z, quantiles.amin(-1), quantiles.amax(-1))
        return x, -self.latent_and_log_slope(x)[1]

    def _value_and_slope(self, x: Tensor) -> tuple[Tensor, Tensor]:
        value, log_slope = self.latent_and_log_slope(x)
        return value, log_slope.exp()


def transport(data_cdf: AbstractBijection, latent_cdf: AbstractBijection) -> Chain:
    r"""Carry one law to another through their distribution functions: :math:`X = F_X^{-1}(F_Z(Z))`.

    Args:
        data_cdf: A bijection whose ``to_latent`` is :math:`F_X`.
        latent_cdf: A bijection whose ``to_latent`` is :math:`F_Z`.

    Returns:
        The bijection with ``to_data(z)`` = :math:`F_X^{-1}(F_Z(z))`.

    Example:
        >>> from counterflow.bijections import NormalCDF
        >>> to_mixture = transport(MixtureCDF(torch.tensor([[-2.0, 2.0]])), NormalCDF())
        >>> round(abs(to_mixture.to_data(torch.zeros(1))[0].item()), 4)
        0.0
    """
    return Chain([data_cdf, Invert(latent_cdf)])
