"""The Gaussian part of a flow of features with bounds: normal laws cut off at the bounds, learned from first data."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections.base import AbstractDataDependent
from counterflow.bijections.whitening import Whitening
from counterflow.core.checks import check_bounds
from counterflow.core.normal_tails import log_normal_cdf, normal_quantile_of_log
from counterflow.core.numerics import normal_log_prob

__all__ = ["TruncatedWhitening"]

_FARTHEST = 1e3
"""A bound farther away than so many deviations is none."""

_STEPS = 60
_RIDGE = 1e-3
_NARROWER = 2.0
"""By so much the logarithm of a deviation may fall below that of least squares unpunished."""


class TruncatedWhitening(AbstractDataDependent):
    r"""Feature by feature, a normal law with a linear mean, cut off at the feature's bounds, becomes a standard one.

    .. math:: z_i = \Phi^{-1} \left( \frac{\Phi(t_i) - \Phi(\alpha_i)}{\Phi(\beta_i) - \Phi(\alpha_i)} \right), \quad
        t_i = \frac{x_i - m_i}{\sigma_i}, \; \alpha_i = \frac{a_i - m_i}{\sigma_i}, \;
        \beta_i = \frac{b_i - m_i}{\sigma_i}, \qquad m = \mu + M c + A x \;\; (A \text{ strictly lower triangular})

    Without bounds it is :class:`Whitening`, written feature by feature. With them no density lies beyond, and that of
    a Gaussian model under an even prior is met exactly. :meth:`initialize` takes the parameters from data: least
    squares, then maximum likelihood of the truncated laws. Until then it is the identity inside of wide bounds.

    Args:
        low: The lower bound a of each feature; ``-inf`` for none.
        high: The upper bound b of each; ``inf`` for none.
        context_features: Length of the context; 0 for none.

    Raises:
        ShapeError: If the bounds are not two vectors of one length.
        ArgumentError: If a lower bound is not below its upper bound.

    Example:
        >>> layer = TruncatedWhitening(torch.tensor([-1.0]), torch.tensor([1.0]))
        >>> z, _ = layer.to_latent(torch.tensor([[0.0], [0.999]]))
        >>> [abs(round(value, 2)) for value in z.flatten().tolist()]
        [0.0, 3.39]
    """

    initialized: Tensor
    low: Tensor
    high: Tensor

    one_pass_to_data = False

    def __init__(
        self, low: Float[Tensor, " features"], high: Float[Tensor, " _"], *, context_features: int = 0
    ) -> None:
        check_bounds(low, high)
        super().__init__((len(low),), context_features)
        self.register_buffer("low", low.clone())
        self.register_buffer("high", high.clone())
        self.mean = nn.Parameter(torch.zeros(len(low)))
        self.slope = nn.Parameter(torch.zeros(len(low), context_features)) if context_features else None
        self.lower = nn.Parameter(torch.zeros(len(low), len(low)))
        self.log_deviation = nn.Parameter(torch.zeros(len(low)))
        self.register_buffer("initialized", torch.tensor(False))

    def to_latent(
        self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the quantiles of the truncated laws."""
        mean = x @ self.lower.tril(-1).T + self._center(context)
        deviation = self.log_deviation.exp()
        low, high = _from_mean(self.low, mean, deviation), _from_mean(self.high, mean, deviation)
        z, log_slope = _standardized((x - mean) / deviation, low, high)
        return z, (log_slope - self.log_deviation).sum(-1)

    def to_data(
        self, z: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*out features"], Float[Tensor, "*out"]]:
        """Take the truncated laws' points, feature by feature, for each mean needs the features before."""
        center, deviation, lower = self._center(context), self.log_deviation.exp(), self.lower.tril(-1)
        shape = torch.broadcast_shapes(z.shape, center.shape)
        z, center = z.expand(shape), center.expand(shape)
        columns: list[Tensor] = []
        log_slope = z.new_zeros(shape[:-1])
        for i in range(self.features):
            before = torch.stack(columns, dim=-1) @ lower[i, :i] if columns else 0.0
            mean = center[..., i] + before
            low, high = (_from_mean(bound[i], mean, deviation[i]) for bound in (self.low, self.high))
            t, slope = _truncated(z[..., i], low, high)
            columns.append(torch.clamp(mean + deviation[i] * t, self.low[i], self.high[i]))
            log_slope = log_slope + slope + self.log_deviation[i]
        return torch.stack(columns, dim=-1), log_slope

    @torch.no_grad()
    def initialize(self, x: Float[Tensor, "*batch features"], context: Float[Tensor, "*rows c"] | None = None) -> None:
        """Take the parameters from data, unless that was done before, in units of each feature's deviation."""
        if self.initialized:
            return
        unit = x.reshape(-1, self.features).std(0, correction=0)
        unit = torch.where(unit > 0, unit, 1.0)
        scaled = TruncatedWhitening(self.low / unit, self.high / unit, context_features=self.context_features).to(x)
        scaled._learn(x / unit, context)
        self.mean.copy_(unit * scaled.mean)
        self.lower.copy_(unit.unsqueeze(1) * scaled.lower / unit)
        self.log_deviation.copy_(unit.log() + scaled.log_deviation)
        if self.slope is not None and scaled.slope is not None:
            self.slope.copy_(unit.unsqueeze(1) * scaled.slope)
        self.initialized.fill_(True)

    def _learn(self, x: Tensor, context: Tensor | None) -> None:
        """Least squares, then maximum likelihood where there are bounds."""
        start = Whitening(self.features, context_features=self.context_features).to(x)
        start.initialize(x, context)
        deviation = (-start.log_diagonal).exp()
        triangle = start.lower.tril(-1) * deviation.unsqueeze(1)  # t = (x + triangle (x - center)) / deviation
        whole = torch.eye(self.features).to(x) + triangle
        self.lower.copy_(-triangle)
        self.mean.copy_(whole @ start.mean)
        if self.slope is not None and start.slope is not None:
            self.slope.copy_(whole @ start.slope)
        self.log_deviation.copy_(deviation.log())
        if bool(torch.isfinite(self.low).any() or torch.isfinite(self.high).any()):
            self._polish(x, context)

    def _polish(self, x: Tensor, context: Tensor | None) -> None:
        """Raise the likelihood of the truncated laws, with a slight pull back to least squares."""
        parameters = list(self.parameters())
        first = [parameter.detach().clone() for parameter in parameters]
        narrowest = self.log_deviation.detach() - _NARROWER
        optimizer = torch.optim.LBFGS(parameters, max_iter=_STEPS, line_search_fn="strong_wolfe")

        @torch.enable_grad()
        def loss() -> float:
            optimizer.zero_grad()
            z, log_det = self.to_latent(x, context)
            pull = sum(((p - q).square().sum() for p, q in zip(parameters, first, strict=True)), torch.zeros(()).to(x))
            narrower = (narrowest - self.log_deviation).clamp(min=0)  # a constant feature must not vanish
            value = -(normal_log_prob(z).sum(-1) + log_det).mean() + _RIDGE * pull + narrower.square().sum()
            value.backward()
            return value.item()

        optimizer.step(loss)
        optimizer.zero_grad()
        if not all(bool(parameter.isfinite().all()) for parameter in parameters):
            for parameter, value in zip(parameters, first, strict=True):
                parameter.copy_(value)

    def _center(self, context: Tensor | None) -> Tensor:
        if self.slope is None or context is None:
            return self.mean
        return self.mean + context @ self.slope.T

    def extra_repr(self) -> str:
        """Name the bounds."""
        return f"low={self.low.tolist()}, high={self.high.tolist()}"


def _from_mean(bound: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """How many deviations a bound lies from the mean; one that is infinite or very far lies at the farthest."""
    distance = (torch.where(bound.isinf(), 0.0, bound) - mean) / deviation
    return torch.where(bound.isinf(), _FARTHEST * bound.sign(), distance).clamp(-_FARTHEST, _FARTHEST)


def _standardized(t: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The normal quantile of a truncated standard normal's distribution function, and its log-slope."""
    free = (low <= -_FARTHEST) & (high >= _FARTHEST)
    room = torch.finfo(t.dtype).eps * (1 + t.abs())
    t = torch.minimum(torch.maximum(t, low + room), high - room)
    mass = _log_mass(low, high)
    z = _quantile(_log_mass(low, t) - mass, _log_mass(t, high) - mass)
    slope = normal_log_prob(t) - mass - normal_log_prob(z)
    return torch.where(free, t, z), torch.where(free, 0.0, slope)


def _truncated(z: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`_standardized`, and its log-slope."""
    free = (low <= -_FARTHEST) & (high >= _FARTHEST)
    mass = _log_mass(low, high)
    left = torch.logaddexp(log_normal_cdf(low), log_normal_cdf(z) + mass)
    right = torch.logaddexp(log_normal_cdf(-high), log_normal_cdf(-z) + mass)
    t = _quantile(left, right)
    slope = normal_log_prob(z) + mass - normal_log_prob(t)
    return torch.where(free, z, t), torch.where(free, 0.0, slope)


def _log_mass(low: Tensor, high: Tensor) -> Tensor:
    r"""The logarithm of :math:`\Phi(b) - \Phi(a)`, without cancellation on either side."""
    flip = low > 0
    a, b = torch.where(flip, -high, low), torch.where(flip, -low, high)
    first, second = log_normal_cdf(b), log_normal_cdf(a)
    gap = (first - second).clamp(min=torch.finfo(first.dtype).tiny)
    return first + torch.where(gap < math.log(2), (-torch.expm1(-gap)).log(), torch.log1p(-torch.exp(-gap)))


def _quantile(log_left: Tensor, log_right: Tensor) -> Tensor:
    """The normal quantile of a probability, given the logarithms of it and of its complement."""
    in_left = log_left < log_right
    half = normal_quantile_of_log(torch.minimum(log_left, log_right).clamp(max=-math.log(2)))
    return torch.where(in_left, half, -half)
