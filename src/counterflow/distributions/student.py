"""Student's t law."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_positive
from counterflow.core.numerics import inverse_softplus, sum_event
from counterflow.distributions.base import AbstractDistribution, as_shape

__all__ = ["StudentT"]


class StudentT(AbstractDistribution):
    r"""A standard Student law with independent coordinates and learned degrees of freedom: heavy tails.

    .. math:: \log p(x) = \sum_i \log \Gamma\!\left(\tfrac{\nu_i + 1}{2}\right)
        - \log \Gamma\!\left(\tfrac{\nu_i}{2}\right)
        - \tfrac{1}{2} \log(\pi \nu_i) - \tfrac{\nu_i + 1}{2} \log\!\left(1 + \tfrac{x_i^2}{\nu_i}\right)

    Args:
        event_shape: The shape of one point, or a number of features.
        degrees: Degrees of freedom at the start, above zero.

    Raises:
        ArgumentError: If ``degrees`` is not above zero.

    Reference:
        Jaini, Kobyzev, Yu, Brubaker, "Tails of Lipschitz triangular flows", 2020 (as the base of a flow);
        Figurnov, Mohamed, Mnih, "Implicit reparameterization gradients", 2018 (gradients of samples).

    Example:
        >>> base = StudentT(1, degrees=1.0)  # the Cauchy law: 1 / pi at zero
        >>> round(base.log_prob(torch.zeros(1)).exp().item(), 4)
        0.3183
    """

    def __init__(self, event_shape: int | tuple[int, ...], *, degrees: float = 5.0) -> None:
        super().__init__(event_shape)
        check_positive(degrees, "degrees")
        self.raw_degrees = nn.Parameter(torch.full(self.event_shape, inverse_softplus(degrees)))

    @property
    def degrees(self) -> Tensor:
        """The degrees of freedom, one per coordinate."""
        return nn.functional.softplus(self.raw_degrees)

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        nu = self.degrees
        half = 0.5 * (nu + 1)
        constant = torch.lgamma(half) - torch.lgamma(0.5 * nu) - 0.5 * (math.pi * nu).log()
        return sum_event(constant - half * torch.log1p(x.square() / nu), len(self.event_shape))

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, *event_shape)``, with gradients to the degrees of freedom.

        The gradient of the gamma numbers in it is implicit: they move so that their distribution function stays.
        """
        size = as_shape(shape) + self.event_shape
        nu = self.degrees
        normal = torch.randn(size, dtype=nu.dtype, device=nu.device, generator=generator)
        gamma = torch._standard_gamma((0.5 * nu).expand(size).contiguous(), generator=generator)
        return normal * (0.5 * nu / gamma.clamp(min=torch.finfo(nu.dtype).tiny)).sqrt()
