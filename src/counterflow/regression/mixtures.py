"""A mixture density network: normal laws whose weights, means and covariances a net gives."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, Chain
from counterflow.core.checks import check_count
from counterflow.core.numerics import normal_log_prob, soft_bound
from counterflow.core.rootfinding import bisect
from counterflow.distributions.base import as_shape
from counterflow.flows import compose
from counterflow.nets import MLP

__all__ = ["ConditionalMixture"]

_LOG_SCALE = 7.0
"""Log-deviations lie softly within this distance of zero, in units of the target's own deviation."""


class ConditionalMixture(nn.Module):
    r"""A mixture of normal laws under a context, with triangular precision factors.

    .. math:: p(y \mid c) = \sum_k w_k(c)\, |\det L_k(c)|\; \mathcal{N}\big( L_k(c) (y - \mu_k(c));\ 0, I \big)

    Args:
        first: Layers that come before, from data to the space of the mixture.
        features: Number of features of y.
        components: Number of normal laws.
        context_features: Length of the context.
        hidden: Widths of the hidden layers of the net.
        generator: Where weights are drawn from.

    Reference:
        Bishop, "Mixture Density Networks", 1994, equations 22 to 29.

    Example:
        >>> mixture = ConditionalMixture([], 1, components=3, context_features=2)
        >>> mixture(torch.zeros(5, 1), torch.zeros(5, 2)).shape, mixture.sample(7, torch.zeros(5, 2)).shape
        (torch.Size([5]), torch.Size([7, 5, 1]))
    """

    def __init__(
        self,
        first: list[AbstractBijection],
        features: int,
        *,
        components: int,
        context_features: int,
        hidden: tuple[int, ...] = (64, 64),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_count(components, "components")
        self.first = Chain(first) if first else None
        self.features, self.components = features, components
        lower = features * (features - 1) // 2
        self.sizes = (1, features, features, lower)
        self.net = MLP(
            0, components * sum(self.sizes), hidden=hidden, context_features=context_features, generator=generator
        )
        self.start = nn.Parameter(torch.randn(components, features, generator=generator) * (components > 1))

    def forward(
        self, y: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"]
    ) -> Float[Tensor, "*points"]:
        """Compute the natural log-density of each point."""
        t, log_det = self._inward(y, context)
        log_weights, means, triangles = self._parts(context)
        white = torch.einsum("...kij,...kj->...ki", triangles, t.unsqueeze(-2) - means)
        log_diagonal = triangles.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return (normal_log_prob(white).sum(-1) + log_diagonal + log_weights).logsumexp(-1) + log_det

    @torch.no_grad()
    def sample(
        self,
        n: int | tuple[int, ...],
        context: Float[Tensor, "*rows c"],
        *,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*batch features"]:
        """Draw n points for each context, or as many as a shape says: ``(*n, *rows, features)``."""
        size = (*as_shape(n), *context.shape[:-1])
        like = {"dtype": context.dtype, "device": context.device, "generator": generator}
        return self.from_noise(torch.rand(size, **like), torch.randn((*size, self.features), **like), context=context)

    def from_noise(
        self,
        choice: Float[Tensor, "*batch"],
        noise: Float[Tensor, "*batch features"],
        *,
        context: Float[Tensor, "*rows c"],
    ) -> Float[Tensor, "*points features"]:
        """Make points of noise: a uniform number that chooses the component, and normal ones that are moved."""
        log_weights, means, triangles = self._parts(context)
        chosen = (choice.unsqueeze(-1) > log_weights.exp().cumsum(-1)[..., :-1]).sum(-1)
        pick = torch.nn.functional.one_hot(chosen, self.components).to(means)
        mean = torch.einsum("...k,...ki->...i", pick, means)
        triangle = torch.einsum("...k,...kij->...ij", pick, triangles)
        t = mean + torch.linalg.solve_triangular(triangle, noise.unsqueeze(-1), upper=False).squeeze(-1)
        return t if self.first is None else self.first.to_data(t, context)[0]

    def cdf(self, y: Float[Tensor, "*batch 1"], context: Float[Tensor, "*rows c"]) -> Float[Tensor, "*points 1"]:
        """Compute the distribution function, for one feature."""
        t, _ = self._inward(y, context)
        log_weights, means, triangles = self._parts(context)
        below = torch.special.ndtr((t - means[..., 0]) * triangles[..., 0, 0])
        return (log_weights.exp() * below).sum(-1, keepdim=True)

    def quantile(
        self, levels: Float[Tensor, "*batch 1"], context: Float[Tensor, "*rows c"]
    ) -> Float[Tensor, "*points 1"]:
        """Compute quantiles, for one feature: a mixture's lies between those of its components."""
        log_weights, means, triangles = self._parts(context)
        ends = means[..., 0] + torch.special.ndtri(levels) / triangles[..., 0, 0]
        target = levels.expand(*ends.shape[:-1], 1)

        def below(t: Tensor) -> Tensor:
            return (log_weights.exp() * torch.special.ndtr((t - means[..., 0]) * triangles[..., 0, 0])).sum(
                -1, keepdim=True
            )

        t = bisect(below, target, ends.amin(-1, keepdim=True), ends.amax(-1, keepdim=True))
        return t if self.first is None else self.first.to_data(t, context)[0]

    @torch.no_grad()
    def initialize(self, y: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Let the first layers see data."""
        if self.first is not None:
            compose(self.first).initialize(y, context)

    def _inward(self, y: Tensor, context: Tensor) -> tuple[Tensor, Tensor | float]:
        return (y, 0.0) if self.first is None else self.first.to_latent(y, context)

    def _parts(self, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Log-weights (\*rows, k), means (\*rows, k, d) and triangles (\*rows, k, d, d)."""
        flat = self.net(context[..., :0], context).unflatten(-1, (self.components, -1))
        logits, moves, log_scales, lower = flat.split(self.sizes, -1)
        triangles = torch.diag_embed(torch.exp(-soft_bound(log_scales, _LOG_SCALE)))
        if lower.shape[-1]:
            rows, columns = torch.tril_indices(self.features, self.features, -1)
            triangles = triangles.clone()
            triangles[..., rows, columns] = lower
        return logits.squeeze(-1).log_softmax(-1), self.start + moves, triangles
