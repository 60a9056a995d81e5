"""Hidden Markov models whose law is known, and series whose law nobody knows."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Beta, Normal, Uniform

from counterflow.hmm import draw_path, forward_filter, viterbi
from experiments.tables import all_data

__all__ = ["KNOWN", "REAL", "Known", "Real", "occupancy"]

_NOISE = 0.1
_BOX = torch.tensor([[-2.0, -1.5], [3.0, 2.0]], dtype=torch.float64)


@dataclass(frozen=True)
class Known:
    """A chain and what its states emit.

    Args:
        transition: The transition matrix; the first state is any with equal chance.
        draw: For each state, ``(rows, generator) -> points``.
        log_density: For each state, ``points -> log-densities``.
        corners: Of the box over which densities are compared.
    """

    transition: list[list[float]]
    draw: list[Callable[[int, torch.Generator], Tensor]]
    log_density: list[Callable[[Tensor], Tensor]]
    corners: Tensor

    @property
    def states(self) -> int:
        return len(self.transition)

    @property
    def law(self) -> dict[str, Tensor]:
        """Starts and transitions, as logarithms."""
        start = torch.full((self.states,), 1 / self.states, dtype=torch.float64)
        return {"log_start": start.log(), "log_transition": torch.tensor(self.transition, dtype=torch.float64).log()}

    def sample(self, rows: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Draw a series and its states."""
        generator = torch.Generator().manual_seed(seed)
        states = draw_path(rows, **self.law, generator=generator)
        x = torch.empty(rows, self.corners.shape[1], dtype=torch.float64)
        for state, draw in enumerate(self.draw):
            x[states == state] = draw(int((states == state).sum()), generator)
        return x.numpy(), states.numpy()

    def grid(self) -> tuple[np.ndarray, float]:
        """Points all over the box, and how much of it each stands for."""
        points = 4001 if self.corners.shape[1] == 1 else 161
        axes = [
            torch.linspace(low, high, points, dtype=torch.float64) for low, high in self.corners.T.double().tolist()
        ]
        cell = float(np.prod([axis[1] - axis[0] for axis in axes]))
        return torch.cartesian_prod(*axes).view(-1, len(axes)).numpy(), cell

    def densities(self, x: np.ndarray) -> Tensor:
        """The log-density of each row under each state."""
        points = torch.from_numpy(x)
        return torch.stack([log_density(points) for log_density in self.log_density], 1)

    def oracle(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """What one who knows the law would score, per row, and the path it would find."""
        density = self.densities(x)
        score = forward_filter(density, **self.law).log_predictive.mean()
        return float(score), viterbi(density, **self.law).numpy()


def _of(law: torch.distributions.Distribution) -> tuple[Callable, Callable]:
    """Draws and log-densities of a law of one number; outside its support minus infinity."""

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        if isinstance(law, Beta):
            rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator)))
            return torch.from_numpy(rng.beta(law.concentration1.item(), law.concentration0.item(), (rows, 1)))
        return law.icdf(torch.rand(rows, 1, generator=generator, dtype=torch.float64).clamp(1e-12, 1 - 1e-12))

    def log_density(x: Tensor) -> Tensor:
        inside = law.support.check(x[:, 0])
        middle = law.mean.double()
        return torch.where(inside, law.log_prob(torch.where(inside, x[:, 0], middle)), -math.inf)

    return draw, log_density


def _laws(*laws: torch.distributions.Distribution) -> tuple[list[Callable], list[Callable]]:
    draws, densities = zip(*(_of(law) for law in laws), strict=True)
    return list(draws), list(densities)


def _moon(*, upper: bool) -> tuple[Callable, Callable]:
    """Half a circle with normal noise around it."""
    sign, center = (1.0, [0.0, 0.0]) if upper else (-1.0, [1.0, 0.5])

    def curve(angle: Tensor) -> Tensor:
        return sign * torch.stack((angle.cos(), angle.sin()), -1) + torch.tensor(center, dtype=torch.float64)

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        angle = math.pi * torch.rand(rows, generator=generator, dtype=torch.float64)
        return curve(angle) + _NOISE * torch.randn(rows, 2, generator=generator, dtype=torch.float64)

    def log_density(x: Tensor) -> Tensor:
        knots = curve(math.pi * (torch.arange(200, dtype=torch.float64) + 0.5) / 200)
        squares = torch.cat([torch.cdist(part, knots).square() for part in x.split(5000)])
        return (-squares / (2 * _NOISE**2)).logsumexp(1) - math.log(200 * 2 * math.pi * _NOISE**2)

    return draw, log_density


def _square() -> tuple[Callable, Callable]:
    low, high = _BOX

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        return low + (high - low) * torch.rand(rows, 2, generator=generator, dtype=torch.float64)

    def log_density(x: Tensor) -> Tensor:
        inside = ((x >= low) & (x <= high)).all(1)
        return torch.where(inside, -(high - low).log().sum(), -math.inf)

    return draw, log_density


def _double(*values: float) -> list[Tensor]:
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def _normals() -> Known:
    laws = _laws(Normal(*_double(11, 2**0.5)), Normal(*_double(16, 3**0.5)), Uniform(*_double(16, 26)))
    return Known([[0, 0.9, 0.1], [0, 0, 1], [1, 0, 0]], *laws, torch.tensor([[4.0], [30.0]]))


def _beta(*, merged: bool = False) -> Known:
    beta, uniform, normal = Beta(*_double(7, 1.1)), Uniform(*_double(0.2, 0.4)), Normal(*_double(0.6, 0.0678))
    corners = torch.tensor([[-0.2], [1.2]])
    if not merged:
        return Known([[0.4, 0.2, 0.4], [0.25, 0.5, 0.25], [0.4, 0.2, 0.4]], *_laws(beta, uniform, normal), corners)
    (first, second), (p, q) = _laws(beta, normal)

    def draw(rows: int, generator: torch.Generator) -> Tensor:
        which = torch.rand(rows, 1, generator=generator) < 0.5
        return torch.where(which, first(rows, generator), second(rows, generator))

    def log_density(x: Tensor) -> Tensor:
        return torch.logaddexp(p(x), q(x)) - math.log(2)

    (flat,), (flat_density,) = _laws(uniform)
    return Known([[0.8, 0.2], [0.5, 0.5]], [draw, flat], [log_density, flat_density], corners)


def _moons() -> Known:
    draws, densities = zip(_square(), _moon(upper=True), _moon(upper=False), strict=True)
    return Known([[0.5, 0.3, 0.2], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6]], list(draws), list(densities), _BOX)


KNOWN = {
    "two normals and a uniform": _normals,
    "beta, uniform, normal": _beta,
    "the same, two states merged": lambda: _beta(merged=True),
    "uniform and two moons": _moons,
}
"""The paper's examples; in the second, two states are followed by the same, so that mixtures of both are as good."""


@dataclass(frozen=True)
class Real:
    """A series in two parts, the later one to be judged.

    Args:
        train: To learn from.
        test: To be judged.
        states: How many.
    """

    train: np.ndarray
    test: np.ndarray
    states: int


def _series(name: str, *, states: int, rows: int | None = None) -> Real:
    with np.load(all_data() / "hmm" / "flowhmm_series.npz", allow_pickle=False) as saved:
        values = saved[name].astype(np.float64)[:rows, None]
    values = values[np.isfinite(values[:, 0])]
    border = int(0.8 * len(values))
    return Real(values[:border], values[border:], states)


REAL = {
    "S&P 500, log-returns": lambda: _series("sp500_logreturn", states=3),
    "Dow Jones, differences": lambda: _series("dowjones_diff", states=3),
    "air pressure, differences": lambda: _series("pressure_diff", states=4, rows=15_000),
}


def occupancy() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Sensors of a room and whether somebody was there, in the three parts of the set.

    What is counted or measured in steps is spread over its step by uniform noise; skewed columns are logarithms.
    """
    with np.load(all_data() / "hmm" / "occupancy.npz", allow_pickle=False) as saved:
        x, occupied, part = saved["x"].astype(np.float64), saved["occupied"], saved["part"]
    rng = np.random.default_rng(0)
    steps = np.array([0.1, 0.1, 1.0, 1.0, 2e-5])
    x = x + steps * rng.uniform(0, 1, x.shape)
    x[:, 2:] = np.log(x[:, 2:] + [10.0, 0.0, 0.0])
    return [x[part == k] for k in range(3)], [occupied[part == k].astype(int) for k in range(3)]
