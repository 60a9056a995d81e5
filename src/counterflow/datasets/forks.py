"""Scenes at road forks, drawn with the exact law of where somebody will be: what forecasts can be judged on."""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from counterflow.core.checks import check_count
from counterflow.core.errors import ArgumentError, ShapeError

__all__ = ["EXITS", "Forks", "forks"]

EXITS = 4
"""The most exits of a fork."""

_SLOTS = (-105.0, -35.0, 35.0, 105.0)
_SWAY = 20.0
_PACE = 0.4
_LEAN, _PREFERENCE = 4.0, 1.5
_ROAD = 0.7
_LEFT, _SIDE = -6.0, 16.0


@dataclass(frozen=True, eq=False)
class Forks:
    r"""Scenes, and the law of the place after a period of time: a mixture of one normal law for each exit.

    .. math:: p(y \mid \text{scene}, h) = \sum_k w_k\, \mathcal{N}\big(y;\ \mu_k(h),\ R_k\,
        \operatorname{diag}(\sigma_a^2(h), \sigma_c^2(h))\, R_k^\top\big)

    Somebody walks along a road of direction (1, 0), is at the origin now, and comes to a fork after ``distance``
    meters. The pace, and the side to which the path has bent, are seen in the history; distance, exits and how bright
    each road is, are seen on the map. Bright roads, and those on the side of the bend, are taken more often.

    Args:
        speed: Meters a second.
        turn: Radians a second, to the left.
        distance: From here to the fork, meters.
        angles: The directions of the exits, radians.
        brightness: Of each exit on the map, zero where there is none.
        horizon: How long from now the place is asked for, seconds.
    """

    speed: Float[Tensor, " scenes"]
    turn: Float[Tensor, " scenes"]
    distance: Float[Tensor, " scenes"]
    angles: Float[Tensor, "scenes exits"]
    brightness: Float[Tensor, "scenes exits"]
    horizon: Float[Tensor, " scenes"]

    def __len__(self) -> int:
        """How many scenes."""
        return len(self.speed)

    def __getitem__(self, rows: slice | Tensor) -> "Forks":
        """Some of the scenes."""
        return Forks(**{name: value[rows] for name, value in vars(self).items()})

    def at(self, horizon: float | Float[Tensor, " scenes"]) -> "Forks":
        """The same scenes, with the place asked for at another time."""
        return replace(self, horizon=torch.as_tensor(horizon, dtype=self.speed.dtype).expand(len(self)))

    @property
    def present(self) -> Bool[Tensor, "scenes exits"]:
        """Which exits there are."""
        return self.brightness > 0

    @property
    def weights(self) -> Float[Tensor, "scenes exits"]:
        """How often each exit is taken; zero where there is none."""
        side = _PREFERENCE * torch.cos(self.angles - _LEAN * self.turn[:, None])
        return (self.brightness.log() + side).softmax(1)

    @property
    def means(self) -> Float[Tensor, "scenes exits 2"]:
        """The middle of each normal law: on the road before the fork, or on the exit."""
        reach = (self.speed * self.horizon)[:, None]
        before, after = reach.minimum(self.distance[:, None]), (reach - self.distance[:, None]).clamp(min=0)
        return torch.stack([before + after * self.angles.cos(), after * self.angles.sin()], -1)

    @property
    def axes(self) -> Float[Tensor, "scenes exits 2 2"]:
        """Of each normal law, the matrix whose columns are its axes, as long as the deviations along them."""
        reach = self.speed * self.horizon
        after = (reach - self.distance).clamp(min=0)
        across = 0.3 + 0.05 * reach
        along = (across + 0.12 * after)[:, None]
        cos, sin = self.angles.cos(), self.angles.sin()
        columns = [along * cos, -across[:, None] * sin, along * sin, across[:, None] * cos]
        return torch.stack(columns, -1).unflatten(-1, (2, 2))

    def history(self, steps: int = 5) -> Float[Tensor, "scenes 2 steps"]:
        """The last places, 0.4 s apart: an arc that ends here in direction (1, 0)."""
        check_count(steps, "steps")
        times = _PACE * torch.arange(1 - steps, 1, dtype=self.speed.dtype)
        angle = self.turn[:, None] * times
        x = self.speed[:, None] * times * torch.sinc(angle / math.pi)
        y = self.speed[:, None] * times * torch.sinc(angle / 2 / math.pi) * torch.sin(angle / 2)
        return torch.stack([x, y], 1)

    def raster(self, size: int = 16) -> Float[Tensor, "scenes 1 size size"]:
        """The map of the roads from -6 to 10 m along and -8 to 8 m across, the second coordinate downward in rows."""
        check_count(size, "size")
        middles = (torch.arange(size, dtype=self.speed.dtype) + 0.5) * (_SIDE / size)
        y, x = torch.meshgrid(middles - _SIDE / 2, middles + _LEFT, indexing="ij")
        along = x - self.distance[:, None, None]
        road = 0.6 * torch.exp(-0.5 * ((y.square() + along.clamp(min=0).square()) / _ROAD**2))
        for angle, bright in zip(self.angles.T[..., None, None], self.brightness.T[..., None, None], strict=True):
            ahead = along * angle.cos() + y * angle.sin()
            aside = (y * angle.cos() - along * angle.sin()).square() + ahead.clamp(max=0).square()
            road = torch.maximum(road, bright * torch.exp(-0.5 * aside / _ROAD**2))
        return road.unsqueeze(1)

    def log_prob(self, y: Float[Tensor, "scenes *many 2"]) -> Float[Tensor, "scenes *many"]:
        """Compute the exact natural log-density of one place, or of several, in each scene."""
        if y.shape[0] != len(self) or y.shape[-1] != 2:
            raise ShapeError(
                f"y must have shape ({len(self)}, ..., 2), got {tuple(y.shape)}. One place for each scene."
            )
        flat = y.reshape(len(self), -1, 1, 2).to(self.speed)
        away = torch.linalg.solve(self.axes[:, None], (flat - self.means[:, None]).unsqueeze(-1)).squeeze(-1)
        each = -0.5 * away.square().sum(-1) - math.log(2 * math.pi) - torch.linalg.slogdet(self.axes)[1][:, None]
        return (each + self.weights.log()[:, None]).logsumexp(-1).reshape(y.shape[:-1])

    def sample(self, count: int, *, generator: torch.Generator | None = None) -> Float[Tensor, "scenes count 2"]:
        """Draw places in each scene, exactly."""
        check_count(count, "count")
        exits = torch.multinomial(self.weights, count, replacement=True, generator=generator)
        noise = torch.randn(len(self), count, 2, 1, generator=generator, dtype=self.speed.dtype)
        rows = torch.arange(len(self))[:, None]
        return self.means[rows, exits] + (self.axes[rows, exits] @ noise).squeeze(-1)


def forks(scenes: int, *, horizon: tuple[float, float] = (1.0, 6.0), generator: torch.Generator | None = None) -> Forks:
    r"""Draw scenes at road forks with one to four exits.

    Exits lie around -105, -35, 35 and 105 degrees, up to 20 degrees off. The map is smooth, so that it says where the
    roads are far better than a pixel; history and map together determine the law.

    Args:
        scenes: How many.
        horizon: From and to which time the place is asked for, seconds; drawn evenly.
        generator: Where the randomness comes from.

    Returns:
        The scenes.

    Raises:
        ArgumentError: The horizons are not above zero, or not in order.

    Example:
        >>> drawn = forks(5, generator=torch.Generator().manual_seed(0))
        >>> drawn.history().shape, drawn.raster().shape, drawn.sample(3).shape
        (torch.Size([5, 2, 5]), torch.Size([5, 1, 16, 16]), torch.Size([5, 3, 2]))
    """
    check_count(scenes, "scenes")
    if not 0 < horizon[0] <= horizon[1]:
        raise ArgumentError(f"horizon must be two times above zero in order, got {horizon}. Give (1.0, 6.0).")

    def uniform(low: int | float, high: int | float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(scenes, *shape, generator=generator, dtype=torch.float64)

    sway = uniform(-_SWAY, _SWAY, EXITS)
    rank = uniform(0, 1, EXITS).argsort(1).argsort(1)
    there = rank < torch.randint(1, EXITS + 1, (scenes, 1), generator=generator)
    return Forks(
        speed=uniform(0.8, 1.6),
        turn=uniform(-0.3, 0.3),
        distance=uniform(2, 4),
        angles=torch.deg2rad(torch.tensor(_SLOTS, dtype=torch.float64) + sway),
        brightness=torch.where(there, uniform(0.3, 1, EXITS), 0.0),
        horizon=uniform(*horizon),
    )
