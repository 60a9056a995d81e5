"""A mixture of normal laws with covariances: a base with several modes."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.core.checks import check_count, check_event
from counterflow.core.numerics import normal_log_prob
from counterflow.distributions.base import AbstractDistribution, as_shape
from counterflow.distributions.fit_mixture import fit_normals

__all__ = ["NormalMixture"]


class NormalMixture(AbstractDistribution):
    r"""A mixture of normal laws with learned weights, means and covariances.

    .. math:: p(x) = \sum_k w_k\, |\det L_k|\; \mathcal{N}(L_k (x - \mu_k);\ 0, I), \quad
        \Sigma_k^{-1} = L_k^\top L_k

    As the base of a flow it spares the bijection from tearing one mode into several, which no invertible smooth map can
    do. Means start at random, covariances as the identity; :meth:`initialize` takes both from points.

    Args:
        features: Number of features.
        components: Number of normal laws.
        diagonal: Keep the features of each law independent.
        generator: Where the first means are drawn from.

    Raises:
        ArgumentError: If there is no feature or no component.

    Reference:
        Stimper, Schoelkopf, Hernandez-Lobato, "Resampling base distributions of normalizing flows", 2022
        (why the modes of a flow are those of its base).

    Example:
        >>> base = NormalMixture(2, components=3, generator=torch.Generator().manual_seed(0))
        >>> base.log_prob(torch.zeros(5, 2)).shape, base.sample(4).shape
        (torch.Size([5]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        features: int,
        *,
        components: int = 4,
        diagonal: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        check_count(features, "features")
        check_count(components, "components")
        super().__init__(features)
        self.means = nn.Parameter(torch.randn(components, features, generator=generator))
        self.log_diagonals = nn.Parameter(torch.zeros(components, features))
        self.lower = None if diagonal else nn.Parameter(torch.zeros(components, features, features))
        self.logits = nn.Parameter(torch.zeros(components))

    def log_prob(self, x: Float[Tensor, "*batch"]) -> Float[Tensor, "*rows"]:
        """Compute the natural log-density, one number per point."""
        white = torch.einsum("kij,...kj->...ki", self._triangles(), x.unsqueeze(-2) - self.means)
        parts = normal_log_prob(white).sum(-1) + self.log_diagonals.sum(-1)
        return (parts + self.logits.log_softmax(-1)).logsumexp(-1)

    def rsample(
        self, shape: int | tuple[int, ...] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*batch"]:
        """Draw points of shape ``(*shape, features)``, with gradients to means and covariances, not to weights."""
        size = as_shape(shape)
        count = torch.Size(size).numel()
        weights = self.logits.detach().softmax(-1)
        chosen = torch.multinomial(weights, max(count, 1), replacement=True, generator=generator)[:count]
        noise = torch.randn((count, *self.event_shape), dtype=weights.dtype, device=weights.device, generator=generator)
        moved = torch.linalg.solve_triangular(self._triangles()[chosen], noise.unsqueeze(-1), upper=False).squeeze(-1)
        return (self.means[chosen] + moved).reshape(*size, *self.event_shape)

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], *, generator: torch.Generator | None = None) -> None:
        """Take weights, means and covariances from points by expectation and maximization; a second call does it anew.

        Args:
            x: Points of the base's space: for a base under a flow, ``flow.to_latent(data)[0]``.
            generator: Where the first means are drawn from.

        Raises:
            ShapeError: If a point has another length.
        """
        check_event(x, self.event_shape)
        rows = x.reshape(-1, *self.event_shape)
        fitted = fit_normals(rows, components=len(self.logits), generator=generator)
        roots = fitted.deviations
        if self.lower is None:
            roots = torch.diag_embed(roots.square().sum(-1).sqrt())
        triangles = torch.linalg.inv(roots)
        self.means.copy_(fitted.means)
        self.log_diagonals.copy_(triangles.diagonal(dim1=-2, dim2=-1).log())
        if self.lower is not None:
            self.lower.copy_(triangles.tril(-1))
        self.logits.copy_(fitted.weights.log())

    def extra_repr(self) -> str:
        """Name the sizes."""
        return f"features={self.event_shape[0]}, components={len(self.logits)}, diagonal={self.lower is None}"

    def _triangles(self) -> Tensor:
        diagonals = torch.diag_embed(self.log_diagonals.exp())
        return diagonals if self.lower is None else diagonals + self.lower.tril(-1)
