"""Priors: what is believed of the parameters before any data, with the bounds of their support."""

import math
from collections.abc import Sequence
from typing import Any, Protocol, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Uniform, constraints

from counterflow.core.checks import check_bounds
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.core.random import make_generator

__all__ = ["BoxUniform", "IndependentPrior", "Prior", "as_prior"]


@runtime_checkable
class Prior(Protocol):
    """A law of parameters: draws, log-densities and the bounds of its support."""

    @property
    def low(self) -> Float[Tensor, " features"]:
        """The lower bound of each parameter; ``-inf`` for none."""
        ...

    @property
    def high(self) -> Float[Tensor, " features"]:
        """The upper bound of each parameter; ``inf`` for none."""
        ...

    @property
    def features(self) -> int:
        """The number of parameters."""
        ...

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count features"]:
        """Draw parameters."""
        ...

    def log_prob(self, theta: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density; ``-inf`` outside the support."""
        ...


class IndependentPrior:
    """Parameters that are independent under the prior, each with a law of ``torch.distributions``.

    Args:
        parts: One law of single numbers for each parameter; or laws of vectors, whose features are joined.

    Raises:
        ArgumentError: If there is no part, a part is no distribution, or one of whole numbers or of shares.
        ShapeError: If a part is a batch of laws (make it one law of a vector by ``torch.distributions.Independent``).

    Example:
        >>> from torch.distributions import LogNormal, Normal
        >>> prior = IndependentPrior([Normal(0.0, 1.0), LogNormal(0.0, 0.5)])
        >>> prior.low.tolist(), prior.sample(5).shape
        ([-inf, 0.0], torch.Size([5, 2]))
    """

    def __init__(self, parts: Sequence[Any]) -> None:
        if not parts:
            raise ArgumentError("parts must name at least one law, got none. Give one for each parameter.")
        for part in parts:
            _check_part(part)
        self.parts = tuple(parts)
        self.widths = [part.event_shape[0] if part.event_shape else 1 for part in parts]
        bounds = [_bounds(part.support, width) for part, width in zip(self.parts, self.widths, strict=True)]
        self.low, self.high = (torch.cat(side) for side in zip(*bounds, strict=True))
        self._somewhere = self._drawn(1, seed=0)

    @property
    def features(self) -> int:
        """The number of parameters."""
        return sum(self.widths)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count features"]:
        """Draw parameters; the global random state is left as it was."""
        generator = make_generator(generator)
        return self._drawn(count, seed=int(torch.randint(2**62, (), generator=generator, device=generator.device)))

    def log_prob(self, theta: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density; ``-inf`` outside the support."""
        total = theta.new_zeros(len(theta))
        columns = theta.split(self.widths, dim=1), self._somewhere.to(theta).split(self.widths, dim=1)
        for part, points, safe in zip(self.parts, *columns, strict=True):
            inside = _inside(part, points)
            value = part.log_prob(_shaped(part, torch.where(inside.unsqueeze(1), points, safe)))
            total = total + torch.where(inside, value, -torch.inf)
        return total

    def _drawn(self, count: int, *, seed: int) -> Tensor:
        """Draw with a seed of one's own, and leave the global random state as it was."""
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(seed)
            draws = [cast("Tensor", part.sample((count,))).reshape(count, -1) for part in self.parts]
        return torch.cat(draws, dim=1)


class BoxUniform:
    """Parameters spread evenly over a box.

    Args:
        low: The lower bound of each parameter.
        high: Their upper bounds.

    Raises:
        ShapeError: If the bounds are not two vectors of one length.
        ArgumentError: If a lower bound is not below its upper bound.

    Example:
        >>> prior = BoxUniform([-1.0, 0.0], [1.0, 2.0])
        >>> prior.log_prob(torch.tensor([[0.0, 1.5], [2.0, 1.5]])).exp().tolist()
        [0.25, 0.0]
    """

    def __init__(self, low: Sequence[float] | Tensor, high: Sequence[float] | Tensor) -> None:
        self.low = torch.as_tensor(low, dtype=torch.get_default_dtype())
        self.high = torch.as_tensor(high, dtype=torch.get_default_dtype())
        check_bounds(self.low, self.high)

    @property
    def features(self) -> int:
        """The number of parameters."""
        return len(self.low)

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "count features"]:
        """Draw parameters."""
        shares = torch.rand(count, self.features, generator=generator, dtype=self.low.dtype)
        return self.low + (self.high - self.low) * shares

    def log_prob(self, theta: Float[Tensor, "rows features"]) -> Float[Tensor, " rows"]:
        """Compute the natural log-density; ``-inf`` outside the box."""
        low, high = self.low.to(theta), self.high.to(theta)
        inside = ((theta >= low) & (theta <= high)).all(1)
        return torch.where(inside, -(high - low).log().sum(), -torch.inf)


def as_prior(prior: object) -> Prior:
    """Take a prior as it is, or make one of a law of ``torch.distributions``.

    Args:
        prior: A prior, or one law of a vector of parameters.

    Raises:
        ArgumentError: If it is neither.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> as_prior(MultivariateNormal(torch.zeros(3), torch.eye(3))).features
        3
    """
    if isinstance(prior, Distribution):
        if isinstance(prior, torch.distributions.Independent) and isinstance(prior.base_dist, Uniform):
            return BoxUniform(prior.base_dist.low, prior.base_dist.high)
        return IndependentPrior([prior])
    if isinstance(prior, Prior):
        return prior
    raise ArgumentError(
        f"prior must be a law of torch.distributions or have sample, log_prob, low and high, got {prior!r}. "
        "BoxUniform and IndependentPrior make one."
    )


def _check_part(part: object) -> None:
    if not isinstance(part, Distribution):
        raise ArgumentError(f"each part must be a law of torch.distributions, got {part!r}. Normal(0.0, 1.0) is one.")
    if len(part.batch_shape) or len(part.event_shape) > 1:
        raise ShapeError(
            f"each part must be one law of a number or a vector, got {part} with batch_shape "
            f"{tuple(part.batch_shape)}. Make a batch one law by torch.distributions.Independent(law, 1)."
        )
    if getattr(part.support, "is_discrete", False) or part.support is constraints.simplex:
        raise ArgumentError(
            f"each part must be a law of real numbers that vary freely, got {part}. Whole numbers and shares that add "
            "up to one have no density here: use a continuous parameter instead."
        )


def _shaped(part: Distribution, points: Float[Tensor, "rows width"]) -> Tensor:
    return points if part.event_shape else points.squeeze(1)


def _inside(part: Distribution, points: Float[Tensor, "rows width"]) -> Tensor:
    """Which rows lie in the support of a law."""
    return cast("constraints.Constraint", part.support).check(_shaped(part, points))


def _bounds(support: object, width: int) -> tuple[Tensor, Tensor]:
    """The bounds of a support, ``(low, high)``, each of shape ``(width,)``."""
    inner = getattr(support, "base_constraint", support)
    low = getattr(inner, "lower_bound", -math.inf)
    high = getattr(inner, "upper_bound", math.inf)
    bounds = (torch.as_tensor(side, dtype=torch.get_default_dtype()).expand(width).clone() for side in (low, high))
    return cast("tuple[Tensor, Tensor]", tuple(bounds))
