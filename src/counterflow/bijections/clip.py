"""Numbers that pile up at a bound, as reals that were clipped there."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.sigmoid import clamp_open
from counterflow.bijections.surjection import AbstractSurjection
from counterflow.core.errors import ArgumentError

__all__ = ["Clip"]


class Clip(AbstractSurjection):
    r"""Numbers that pile up at a bound (a test that ends at 100, a debt of nothing) as reals that were clipped there.

    .. math:: x = \min(\max(z, a), b), \quad z = \begin{cases} a - s_a e & x = a \\ x & a < x < b \\
        b + s_b e & x = b \end{cases}, \quad e \sim \text{Exp}(1)

    Inside the likelihood is that of the latent; at a bound the probability is that of all latents beyond it, and the
    bound on the likelihood is the tighter, the more the latent's tail is exponential. The scales are learned.

    Args:
        features: Number of features.
        low: a; minus infinity for none.
        high: b, above a; infinity for none.

    Raises:
        ArgumentError: If ``low`` is not below ``high``.

    Reference:
        Nielsen et al., "SurVAE Flows", 2020, section 3 (generative surjections).

    Example:
        >>> Clip(3, low=0.0).to_data(torch.tensor([-2.0, 0.5, 3.0]))
        tensor([0.0000, 0.5000, 3.0000])
    """

    def __init__(self, features: int, *, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__(features, features, noise_features=features)
        if not low < high:
            raise ArgumentError(f"low must be below high, got {low} and {high}. Swap them.")
        self.low, self.high = low, high
        self.log_scales = nn.Parameter(torch.zeros(2, features))

    def place(
        self,
        x: Float[Tensor, "*batch features"],
        noise: Float[Tensor, "*rows features"],
        *,
        context: Float[Tensor, "*others c"] | None = None,
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Put what lies on a bound somewhere beyond it."""
        at_low, at_high = x <= self.low, x >= self.high
        log_scale = torch.where(at_low, self.log_scales[0], self.log_scales[1])
        distance = -clamp_open(noise).log()
        beyond = distance * log_scale.exp()
        z = torch.where(at_low, x - beyond, torch.where(at_high, x + beyond, x))
        return z, torch.where(at_low | at_high, log_scale + distance, 0.0).sum(-1)

    def to_data(
        self,
        z: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch features"]:
        """Clip."""
        return z.clamp(self.low, self.high)
