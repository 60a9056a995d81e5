"""How exact posteriors are drawn: normal laws cut to a box, densities on a grid or near a mode, and rejection."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import UnreliableError
from counterflow.inference.starts import laplace

__all__ = ["Sampler", "concave_sampler", "density_sampler", "draw_until", "truncated_normal"]

Sampler = Callable[[int, torch.Generator | None], Tensor]
"""``sampler(count, generator)``: so many draws."""

_NEGLIGIBLE = 30.0
"""What is so much below the highest log-density carries no mass that anyone could see."""

_SLACK = 0.2
"""By how much the log-density in a cell may exceed those in the middles of the cell and its neighbors."""

_HOPELESS, _PATIENCE = 1e-5, 1_000_000
"""Rejection gives up when it keeps less than that share of so many tries."""

_BATCH = 100_000


def truncated_normal(
    mean: Float[Tensor, "*shape"],
    scale: Float[Tensor, "*shape"],
    *,
    low: Float[Tensor, "*shape"],
    high: Float[Tensor, "*shape"],
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*shape"]:
    r"""Draw normal numbers given that they lie between bounds, by the inverse of the distribution function.

    .. math:: x = \mu + \sigma\, \Phi^{-1}\big(u\, \Phi(b) + (1 - u)\, \Phi(a)\big), \quad
        a = \tfrac{l - \mu}{\sigma},\ b = \tfrac{h - \mu}{\sigma}

    It is computed in float64 and on the side where tails are exact, so that bounds many deviations away do no harm.

    Args:
        mean: Of the law before it is cut.
        scale: Its standard deviation.
        low: The lower bounds.
        high: The upper bounds.
        generator: Where the randomness comes from.

    Returns:
        Draws of the shape and dtype of ``mean``.

    Example:
        >>> far = truncated_normal(*(torch.full((3,), v) for v in (-9.0, 1.0)), low=torch.zeros(3), high=torch.ones(3))
        >>> bool(((far >= 0) & (far < 0.9)).all())
        True
    """
    center, spread, bottom, top = (value.double() for value in (mean, scale, low, high))
    side = torch.where(
        center < (bottom + top) / 2, -1.0, 1.0
    )  # mirrored, the bounds lie on the left, where Phi is exact
    ends = side * (bottom - center) / spread, side * (top - center) / spread
    below, above = (_normal_cdf(torch.where(side > 0, a, b)) for a, b in (ends, ends[::-1]))
    share = torch.rand(center.shape, generator=generator, dtype=torch.float64)
    drawn = center + side * spread * torch.special.ndtri(torch.lerp(below, above, share))
    return drawn.clamp(bottom, top).to(mean.dtype)


def _normal_cdf(x: Tensor) -> Tensor:
    return 0.5 * torch.erfc(-x * math.sqrt(0.5))  # torch.special.ndtr has no digits left ten deviations below


def draw_until(count: int, draw: Callable[[int], Float[Tensor, "_ features"]]) -> Float[Tensor, "count features"]:
    """Draw again and again, by a way that keeps only some of what it tried, until there is enough.

    Args:
        count: How many are wanted.
        draw: ``draw(tries)`` gives those that were kept.

    Raises:
        UnreliableError: Hardly any are kept.

    Example:
        >>> draw_until(5, lambda tries: (x := torch.randn(tries, 1))[x[:, 0] > 1]).shape
        torch.Size([5, 1])
    """
    kept: list[Tensor] = []
    tries, tried, there = 2 * count, 0, 0
    while there < count:
        if tried >= _PATIENCE and there < _HOPELESS * tried:
            raise UnreliableError(
                f"only {there} of {count} draws were kept in {tried} tries. The observation is as good as impossible "
                "under the prior: look at it again."
            )
        kept.append(draw(tries))
        tried, there, tries = tried + tries, there + len(kept[-1]), min(2 * tries, _BATCH)
    return torch.cat(kept)[:count]


def density_sampler(
    log_density: Callable[[Tensor], Tensor],
    low: Float[Tensor, " d"],
    *,
    high: Float[Tensor, " d"],
    cells: int = 64,
) -> Sampler:
    """Prepare to draw from a density on a box of up to three dimensions.

    The box is narrowed to where the mass is. There a cell of a grid is chosen in proportion to the highest density in
    the middles of the cell and its neighbors, a point in it evenly, and the point is kept by the ratio of its own
    density to that, with some slack: rejection, exact as long as no cell hides a peak.

    Args:
        log_density: The natural log-density up to a constant, of points ``(rows, d)``.
        low: The lower corner.
        high: The upper corner.
        cells: How many cells a side of the box has.

    Returns:
        ``sampler(count, generator)``, which gives ``(count, d)`` draws.

    Example:
        >>> corner = torch.tensor([-9.0])
        >>> sampler = density_sampler(lambda x: -x[:, 0].square() / 2, corner, high=-corner)
        >>> x = sampler(1000, torch.Generator().manual_seed(0))
        >>> bool(abs(x.mean()) < 0.1), bool(abs(x.std() - 1) < 0.1)
        (True, True)
    """
    low, high, values = _narrowed(log_density, low, high, cells=cells)
    bound = _highest_around(values).flatten() + _SLACK
    chances = (bound - bound.max()).exp()

    def sampler(count: int, generator: torch.Generator | None) -> Tensor:
        def draw(tries: int) -> Tensor:
            chosen = torch.multinomial(chances, tries, replacement=True, generator=generator)
            place = torch.stack(torch.unravel_index(chosen, values.shape), 1)
            x = torch.lerp(low, high, (place + torch.rand(place.shape, generator=generator, dtype=low.dtype)) / cells)
            chance = torch.rand(tries, generator=generator, dtype=low.dtype)
            return x[chance.log() < log_density(x) - bound[chosen]]

        return draw_until(count, draw)

    return sampler


def concave_sampler(log_density: Callable[[Tensor], Tensor], start: Float[Tensor, " d"]) -> Sampler:
    r"""Prepare to draw from a density with a concave logarithm that is close to a normal one.

    Draws of Student's law with eight degrees of freedom at the mode, with the curvature there, are kept by rejection.
    As its tails are heavier than those of such a density, their ratio is bounded; the bound is taken from
    20,000 draws, with some slack.

    Args:
        log_density: The natural log-density up to a constant, of points ``(rows, d)``, twice differentiable.
        start: Where to climb to the mode from.

    Returns:
        ``sampler(count, generator)``, which gives ``(count, d)`` draws.

    Example:
        >>> sampler = concave_sampler(lambda x: x[:, 0] - x[:, 0].exp(), torch.zeros(1))  # the logarithm of Exp(1)
        >>> x = sampler(4000, torch.Generator().manual_seed(0))
        >>> bool(abs(x.exp().mean() - 1) < 0.05)
        True
    """
    law = laplace(log_density, start)

    def propose(tries: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        normal = torch.randn(tries, len(start), generator=generator, dtype=start.dtype)
        shares = 1 - torch.rand(tries, 4, generator=generator, dtype=start.dtype)  # in (0, 1]
        student = normal / (-shares.log().mean(1, keepdim=True)).sqrt()  # eight times what is below is chi-squared
        log_ratio = (8 + len(start)) / 2 * torch.log1p(student.square().sum(1) / 8)
        x = law.mean + student @ law.factor.mT
        return x, log_density(x) + log_ratio

    def sampler(count: int, generator: torch.Generator | None) -> Tensor:
        bound = propose(20_000, generator)[1].max() + _SLACK

        def draw(tries: int) -> Tensor:
            x, log_ratio = propose(tries, generator)
            return x[torch.rand(tries, generator=generator, dtype=x.dtype).log() < log_ratio - bound]

        return draw_until(count, draw)

    return sampler


def _narrowed(
    log_density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, *, cells: int, most: int = 12
) -> tuple[Tensor, Tensor, Tensor]:
    """Narrow a box, step by step, to where the mass is; with the log-density in the middles of its cells.

    A coarse grid may miss a narrow peak, so at least the highest fiftieth of the cells and their neighbors are kept.
    """
    values = _on_grid(log_density, low, high, cells=cells)
    for _ in range(most):
        usual = values.flatten().topk(max(values.numel() // 50, 1)).values[-1]
        where = (values >= torch.minimum(values.max() - _NEGLIGIBLE, usual)).nonzero()
        first, last = (where.amin(0) - 1).clamp(min=0), (where.amax(0) + 2).clamp(max=cells)
        if ((last - first) > 0.8 * cells).all():
            break
        low, high = (torch.lerp(low, high, (side / cells).to(low)) for side in (first, last))
        values = _on_grid(log_density, low, high, cells=cells)
    return low, high, values


def _on_grid(log_density: Callable[[Tensor], Tensor], low: Tensor, high: Tensor, *, cells: int) -> Tensor:
    """The log-density in the middles of the cells of a box, one dimension for each of its sides."""
    middles = (torch.arange(cells, dtype=low.dtype) + 0.5) / cells
    sides = [torch.lerp(bottom, top, middles) for bottom, top in zip(low, high, strict=True)]
    points = torch.cartesian_prod(*sides).reshape(-1, len(low))
    values = log_density(points)
    return values.nan_to_num(-math.inf, neginf=-math.inf).reshape([cells] * len(low))


def _highest_around(values: Tensor) -> Tensor:
    """The highest value of each cell and its neighbors, those across corners too."""
    for side in range(values.dim()):
        rows = values.movedim(side, 0)
        edge = torch.full_like(rows[:1], -math.inf)
        wider = torch.cat([edge, rows, edge])
        values = torch.stack([wider[:-2], rows, wider[2:]]).amax(0).movedim(0, side)
    return values
