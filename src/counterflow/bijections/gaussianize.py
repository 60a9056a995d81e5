"""Every feature to a normal one, through the distribution function of a mixture that is learned from data."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractDataDependent, broadcast_batch
from counterflow.core.checks import check_count
from counterflow.core.normal_tails import log_normal_cdf, normal_quantile_of_log
from counterflow.core.numerics import normal_log_prob
from counterflow.core.rootfinding import solve_increasing
from counterflow.distributions.fit_mixture import fit_marginals
from counterflow.nets import make_conditioner

__all__ = ["Gaussianize"]


class Gaussianize(AbstractDataDependent):
    r"""A mixture of normal laws per feature, made into the standard normal law.

    .. math:: z_i = \Phi^{-1}\!\left( \sum_k w_{ik}\, \Phi\!\left( \frac{x_i - \mu_{ik}}{\sigma_{ik}} \right) \right)

    :meth:`initialize` fits the mixtures to the data that reach it, so that each feature is nearly normal before any
    gradient. Until then the components are all standard normal and the map is the identity. With a context, a net that
    starts at zero moves means, log-deviations and logits. All sums are taken in logarithms, so that no tail is cut off:
    far out the map is a straight line, that of the widest component.

    Args:
        features: Number of features.
        components: Normal laws per feature.
        hidden: Widths of the hidden layers of the context's net.
        context_features: Length of the context; 0 for none.
        activation: Name of the net's nonlinearity.
        generator: Where the net's weights are drawn from.

    Reference:
        Chen, Gopinath, "Gaussianization", 2000 (marginal Gaussianization by mixtures).

    Example:
        >>> layer = Gaussianize(1, components=2)
        >>> layer.initialize(torch.tensor([[-2.1], [-2.0], [-1.9], [1.9], [2.0], [2.1]]))
        >>> bool(layer.to_latent(torch.zeros(1))[0].abs() < 1e-4)  # the median of the data
        True
    """

    initialized: Tensor

    one_pass_to_data = False

    def __init__(
        self,
        features: int,
        *,
        components: int = 8,
        hidden: tuple[int, ...] = (64,),
        context_features: int = 0,
        activation: str = "silu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        check_count(components, "components")
        self.components = components
        self.mixtures = nn.Parameter(torch.zeros(3, features, components))
        self.net = (
            make_conditioner(
                0,
                3 * features * components,
                hidden=hidden,
                context_features=context_features,
                activation=activation,
                generator=generator,
            )
            if context_features
            else None
        )
        self.register_buffer("initialized", torch.tensor(False))

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Put every feature through its distribution function, then through the normal quantile."""
        mixtures = self._mixtures(context)
        z, log_slope = _latent_and_log_slope(broadcast_batch(x, context if self.context_features else None), mixtures)
        return z, log_slope.sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Find the quantiles: they lie between those of the components."""
        mixtures = self._mixtures(context)
        z = broadcast_batch(z, context if self.context_features else None)

        def value_and_slope(x: Tensor) -> tuple[Tensor, Tensor]:
            value, log_slope = _latent_and_log_slope(x, mixtures)
            return value, log_slope.exp()

        with torch.no_grad():
            quantiles = mixtures[0] + mixtures[1].exp() * z.unsqueeze(-1)
        x = solve_increasing(value_and_slope, z, quantiles.amin(-1), quantiles.amax(-1))
        return x, -_latent_and_log_slope(x, mixtures)[1].sum(-1)

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Fit one mixture to each feature, unless that was done before."""
        if self.initialized:
            return
        fitted = fit_marginals(x.reshape(-1, self.features), components=self.components)
        self.mixtures.copy_(torch.stack((fitted.means, fitted.deviations.log(), fitted.weights.log())))
        self.initialized.fill_(True)

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"{self.features}, components={self.components}"

    def _mixtures(self, context: Tensor | None) -> Tensor:
        """Means, log-deviations and logits, shape ``(3, *rows, features, components)``."""
        if self.net is None or context is None:
            return self.mixtures
        moves = self.net(context.new_zeros(*context.shape[:-1], 0), context)
        moves = moves.unflatten(-1, self.mixtures.shape).movedim(-3, 0)
        shape = (3, *(1 for _ in context.shape[:-1]), *self.mixtures.shape[1:])
        return self.mixtures.reshape(shape) + moves


def _latent_and_log_slope(x: Tensor, mixtures: Tensor) -> tuple[Tensor, Tensor]:
    means, log_deviations, logits = mixtures.unbind(0)
    log_weights = logits.log_softmax(-1)
    standard = (x.unsqueeze(-1) - means) * torch.exp(-log_deviations)
    below, above = ((log_weights + log_normal_cdf(side)).logsumexp(-1) for side in (standard, -standard))
    left = below < above
    quantile = normal_quantile_of_log(torch.where(left, below, above))
    z = torch.where(left, quantile, -quantile)
    log_density = (log_weights - log_deviations + normal_log_prob(standard)).logsumexp(-1)
    return z, log_density - normal_log_prob(z)
