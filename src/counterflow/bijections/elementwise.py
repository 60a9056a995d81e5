"""Functions of one number, applied to every feature: what they share, and the door for your own."""

import math
from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.bijections.base import AbstractBijection
from counterflow.core.errors import NotInvertibleError
from counterflow.core.numerics import sum_event
from counterflow.distributions.base import as_shape

__all__ = ["AbstractElementwise", "Elementwise"]


class AbstractElementwise(AbstractBijection):
    r"""A strictly monotone function of one number, applied to every number of a point.

    .. math:: z_i = f(x_i), \quad \log |\det| = \sum_i \log |f'(x_i)|

    Args:
        event_shape: Number of features, or the shape of one point.
    """

    def __init__(self, event_shape: int | tuple[int, ...] = 1) -> None:
        super().__init__(as_shape(event_shape))

    @abstractmethod
    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give f(x) and the logarithm of the absolute slope there, elementwise."""

    @abstractmethod
    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the x with f(x) = z and the logarithm of the slope of the inverse there, elementwise."""

    def to_latent(
        self, x: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*points"]]:
        """Apply the function to every number."""
        z, log_slope = self.latent_and_log_slope(x)
        return z, sum_event(log_slope, len(self.event_shape))

    def to_data(
        self, z: Float[Tensor, "*batch"], context: Float[Tensor, "*rows c"] | None = None
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*points"]]:
        """Apply the inverse function to every number."""
        x, log_slope = self.data_and_log_slope(z)
        return x, sum_event(log_slope, len(self.event_shape))

    def extra_repr(self) -> str:
        """Name the shape of one point."""
        return f"event_shape={self.event_shape}"


class Elementwise(AbstractElementwise):
    r"""A function of your own and its inverse; slopes come from automatic differentiation.

    Args:
        function: f, from data to latent, elementwise and differentiable.
        inverse: Its inverse, from latent to data.
        event_shape: Number of features, or the shape of one point.
        domain: The open interval of data on which f is used.

    Raises:
        NotInvertibleError: If ``inverse(function(x))`` is not x everywhere on a grid over the domain.

    Example:
        >>> square = Elementwise(torch.square, torch.sqrt, domain=(0.0, math.inf))
        >>> square.to_latent(torch.tensor([3.0]))[0].item()
        9.0
        >>> Elementwise(torch.square, torch.sqrt)
        Traceback (most recent call last):
        ...
        counterflow.core.errors.NotInvertibleError: function must be invertible on (-inf, inf), but x = -1 is mapped ...
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        inverse: Callable[[Tensor], Tensor],
        *,
        event_shape: int | tuple[int, ...] = 1,
        domain: tuple[float, float] = (-math.inf, math.inf),
    ) -> None:
        super().__init__(event_shape)
        self.function = function
        self.inverse = inverse
        _check_round_trip(function, inverse, domain)

    def latent_and_log_slope(
        self, x: Float[Tensor, "*batch"]
    ) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give f(x) and the logarithm of the absolute slope there, elementwise."""
        z, pull_back, *_ = torch.func.vjp(self.function, x)
        (slope,) = pull_back(torch.ones_like(x))
        return z, slope.abs().log()

    def data_and_log_slope(self, z: Float[Tensor, "*batch"]) -> tuple[Float[Tensor, "*batch"], Float[Tensor, "*batch"]]:
        """Give the x with f(x) = z and the logarithm of the slope of the inverse there, elementwise."""
        x = self.inverse(z)
        _, log_slope = self.latent_and_log_slope(x)
        return x, -log_slope


def _check_round_trip(
    function: Callable[[Tensor], Tensor], inverse: Callable[[Tensor], Tensor], domain: tuple[float, float]
) -> None:
    x = _grid(domain)
    z = function(x)
    back = inverse(z)
    wrong = ~torch.isclose(back, x, rtol=1e-6, atol=1e-9)
    if bool(wrong.any()):
        worst = x[wrong].abs().sub(1).abs().argmin()
        at, mapped, returned = (value[wrong][worst].item() for value in (x, z, back))
        raise NotInvertibleError(
            f"function must be invertible on {domain}, but x = {at:.4g} is mapped to {mapped:.4g} and back to "
            f"{returned:.4g}. Restrict the domain to where the function is one-to-one."
        )


def _grid(domain: tuple[float, float]) -> Tensor:
    """Points of an open interval, denser in the middle; a side without end is followed to a distance of ten."""
    low, high = domain
    if math.isfinite(low) and math.isfinite(high):
        return low + (high - low) * torch.linspace(0, 1, 201, dtype=torch.float64)[1:-1]
    distances = 10 ** torch.linspace(-1, 1, 201, dtype=torch.float64)
    if math.isfinite(low):
        return low + distances
    return high - distances if math.isfinite(high) else torch.cat((-distances, distances))
