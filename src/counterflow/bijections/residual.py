"""A point plus a step that a contractive network decides: the invertible residual block."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection, broadcast_batch
from counterflow.core.checks import check_count
from counterflow.core.contraction import solve_contraction
from counterflow.nets.lipschitz import Contraction, LipschitzMLP

__all__ = ["Residual"]

EXACT_FEATURES = 64
"""Up to as many features the determinant is computed and not estimated, unless told otherwise."""
SURE_TERMS = 4
"""Terms of the series that roulette always takes."""


class Residual(AbstractBijection):
    r"""A residual block whose network shrinks distances, and which is therefore invertible.

    .. math:: z = x + g(x, c), \quad \lVert g(x, c) - g(y, c) \rVert \le L \lVert x - y \rVert, \quad L < 1

    Nothing else is asked of g: no feature is kept, no order is chosen. The way back is the fixed point of
    :math:`x = z - g(x)`, for all rows at once, followed by Newton steps that carry gradients by the implicit function
    theorem.

    The log-determinant of :math:`I + J` is exact for up to 64 features: the Jacobian of the network is a product of
    matrices. With more (or ``exact=False``) it is estimated from :math:`\sum_k (-1)^{k+1} \mathrm{tr}(J^k) / k`, traces
    by random signs v as :math:`v^\top J^k v`. In training mode signs and the number of terms are fresh in every call,
    from torch's default generator as in dropout, and the estimate is unbiased (:meth:`estimate_log_det`); in
    evaluation mode signs are those drawn at the start, terms are enough for seven digits, and a density is the same
    number every time. For n signs the estimate has the variance
    :math:`\frac{2}{n} \sum_{i \ne j} A_{ij}^2`, where A is the symmetric part of :math:`\log(I + J)`.

    Args:
        features: Number of features.
        lipschitz: L, between 0 and 1; nearer to 1 a block bends more, and its inverse needs more steps.
        hidden: Widths of the network's hidden layers.
        context_features: Length of the context; 0 for none.
        exact: Whether the log-determinant is exact; ``None`` for exact up to 64 features.
        probes: How many random signs an estimate takes.
        generator: Where weights and signs are drawn from.

    Reference:
        Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen, "Invertible Residual Networks", 2019, theorem 1 and section 3.2;
        Chen, Behrmann, Duvenaud, Jacobsen, "Residual Flows for Invertible Generative Modeling", 2019, equation 6.

    Example:
        >>> layer = Residual(3)
        >>> layer.to_latent(torch.tensor([1.0, 2.0, 3.0]))[0].tolist()
        [1.0, 2.0, 3.0]
    """

    signs: Tensor

    one_pass_to_data = False

    def __init__(
        self,
        features: int,
        *,
        lipschitz: float = 0.9,
        hidden: tuple[int, ...] = (64, 64),
        context_features: int = 0,
        exact: bool | None = None,
        probes: int = 16,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__((features,), context_features)
        check_count(probes, "probes")
        self.exact = features <= EXACT_FEATURES if exact is None else exact
        self.net = LipschitzMLP(
            features, lipschitz=lipschitz, hidden=hidden, context_features=context_features, generator=generator
        )
        self.register_buffer("signs", _random_signs((probes, features), torch.zeros(()), generator))

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the step."""
        context = context if self.context_features else None
        x = broadcast_batch(x, context)
        step, log_det = self._step_and_log_det(self.net.at(context), x)
        return x + step, log_det

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Find the point whose step ends here.

        Raises:
            NotInvertibleError: If a row does not settle, because it or a parameter is not finite.
        """
        context = context if self.context_features else None
        z = broadcast_batch(z, context)
        contraction = self.net.at(context)
        x = self._solve(contraction, z)
        return x, -self._step_and_log_det(contraction, x)[1]

    def estimate_log_det(
        self,
        x: Float[Tensor, "*batch features"],
        context: Float[Tensor, "*rows c"] | None = None,
        *,
        probes: int | None = None,
        generator: torch.Generator | None = None,
    ) -> Float[Tensor, "*out"]:
        r"""Estimate the log-determinant of ``to_latent`` without bias.

        Four terms of the series are always there; then each further one is there with probability one half, given the
        one before, and counts for as many as it stands for.

        Args:
            x: Points.
            context: One vector per point, or fewer that broadcast.
            probes: Number of random signs for every point; ``None`` for the layer's own.
            generator: Where signs and number of terms are drawn from.

        Returns:
            One number per point, whose mean over draws is the log-determinant.

        Reference:
            Chen et al., "Residual Flows for Invertible Generative Modeling", 2019, equation 6.
        """
        context = context if self.context_features else None
        x = broadcast_batch(x, context)
        contraction = self.net.at(context)
        slopes = contraction.value_and_slopes(x)[1]
        return self._roulette(contraction, slopes, x, probes=probes, generator=generator)

    def extra_repr(self) -> str:
        """Name the size and whether the determinant is exact."""
        return f"{self.features}, exact={self.exact}"

    def _step_and_log_det(self, contraction: Contraction, x: Tensor) -> tuple[Tensor, Tensor]:
        if self.exact:
            step, jacobian = contraction.value_and_jacobian(x)
            return step, torch.linalg.slogdet(_plus_identity(jacobian)).logabsdet
        step, slopes = contraction.value_and_slopes(x)
        if self.training:
            return step, self._roulette(contraction, slopes, x, probes=None, generator=None)
        signs = self.signs.reshape(-1, *(1,) * (x.dim() - 1), self.features).expand(-1, *x.shape)
        return step, _series(contraction, slopes, signs, [1.0] * self._enough_terms())

    def _roulette(
        self,
        contraction: Contraction,
        slopes: tuple[Tensor, ...],
        x: Tensor,
        *,
        probes: int | None,
        generator: torch.Generator | None,
    ) -> Tensor:
        signs = _random_signs((len(self.signs) if probes is None else probes, *x.shape), x, generator)
        coin = torch.rand((), generator=generator, device=x.device, dtype=torch.float64)
        lucky = int((1 - coin).log2().neg().floor())  # k or more with probability 2^-k
        return _series(contraction, slopes, signs, [1.0] * SURE_TERMS + [2.0**k for k in range(1, lucky + 1)])

    def _enough_terms(self) -> int:
        """How many terms leave less than 1e-7 a feature."""
        factor, terms = self.net.lipschitz, 1
        while factor ** (terms + 1) / ((terms + 1) * (1 - factor)) > 1e-7:
            terms += 1
        return terms

    def _solve(self, contraction: Contraction, z: Tensor) -> Tensor:
        tolerance = 1e-5 if z.dtype == torch.float32 else 1e-6 if self.exact else 1e-12
        factor = self.net.lipschitz
        fixed = contraction.detach()
        with torch.no_grad():
            x = solve_contraction(
                lambda x: z - fixed.value_and_slopes(x)[0], z.detach(), lipschitz=factor, tolerance=tolerance
            )
        if self.exact:
            for _ in range(2):  # two Newton steps: the second makes second derivatives right too
                step, jacobian = contraction.value_and_jacobian(x)
                x = x - torch.linalg.solve(_plus_identity(jacobian), x + step - z)
            return x
        return self._with_gradients(contraction, x, z) if torch.is_grad_enabled() else x

    def _with_gradients(self, contraction: Contraction, x: Tensor, z: Tensor) -> Tensor:
        """Take a Newton step of no length: its derivatives are those of the implicit function theorem, to 1e-8."""
        error = x + contraction.value_and_slopes(x)[0] - z
        fixed, newton = contraction.detach(), error
        slopes = fixed.value_and_slopes(x)[1]
        for _ in range(math.ceil(math.log(1e-8) / math.log(self.net.lipschitz))):
            newton = error - fixed.push(newton, slopes)
        return x - newton


def _plus_identity(jacobian: Tensor) -> Tensor:
    return jacobian + torch.eye(jacobian.shape[-1], dtype=jacobian.dtype, device=jacobian.device)


def _random_signs(shape: tuple[int, ...], like: Tensor, generator: torch.Generator | None) -> Tensor:
    drawn = torch.rand(shape, generator=generator, device=like.device, dtype=like.dtype)
    return torch.where(drawn < 0.5, -torch.ones_like(drawn), torch.ones_like(drawn))


def _series(contraction: Contraction, slopes: tuple[Tensor, ...], signs: Tensor, weights: list[float]) -> Tensor:
    """The weighted sum of (-1)^(k+1) v J^k v / k, averaged over the signs v."""
    total, pulled = signs.new_zeros(signs.shape[:-1]), signs
    for k, weight in enumerate(weights, 1):
        pulled = contraction.pull(pulled, slopes)
        total = total + (pulled * signs).sum(-1) * ((-1) ** (k + 1) * weight / k)
    return total.mean(0)
