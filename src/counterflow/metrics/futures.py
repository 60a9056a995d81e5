"""How well forecasts of places and paths stand for what came: best of several, hits, and exits that were found."""

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError

__all__ = [
    "average_displacement_error",
    "energy_distance",
    "final_displacement_error",
    "hit_rate",
    "mode_coverage",
]


def average_displacement_error(
    paths: Float[Tensor, "rows k steps d"], truth: Float[Tensor, "rows steps d"]
) -> Float[Tensor, " rows"]:
    r"""ADE@k: the mean distance along the best of k forecast paths; lower is better.

    .. math:: \min_{j \le k} \frac1T \sum_{t=1}^{T} \lVert \hat y_{jt} - y_t \rVert

    The best is chosen knowing the truth: it rewards forecasts that spread, and falls with k. Compare equal numbers,
    and read it beside the log-density.

    Args:
        paths: k forecasts for each row.
        truth: What came.

    Returns:
        One number for each row, in units of the places.

    Raises:
        ShapeError: Paths and truth do not fit together, or there is no path.

    Reference:
        Gupta, Johnson, Fei-Fei, Savarese, Alahi, "Social GAN", 2018, section 4.

    Example:
        >>> paths = torch.tensor([[[[0.0, 0.0], [0.0, 2.0]], [[3.0, 4.0], [3.0, 4.0]]]])
        >>> average_displacement_error(paths, torch.zeros(1, 2, 2)).tolist()
        [1.0]
    """
    return _distances(paths, truth).mean(-1).amin(1)


def final_displacement_error(
    paths: Float[Tensor, "rows k steps d"], truth: Float[Tensor, "rows steps d"]
) -> Float[Tensor, " rows"]:
    r"""FDE@k: the distance at the last step of the forecast path that ends best; lower is better.

    .. math:: \min_{j \le k} \lVert \hat y_{jT} - y_T \rVert

    Args:
        paths: k forecasts for each row; of one step, if only a place is forecast.
        truth: What came.

    Returns:
        One number for each row, in units of the places.

    Raises:
        ShapeError: Paths and truth do not fit together, or there is no path.

    Reference:
        Gupta et al., 2018, section 4.

    Example:
        >>> final_displacement_error(torch.tensor([[[[3.0, 4.0]], [[0.0, 2.0]]]]), torch.zeros(1, 1, 2)).tolist()
        [2.0]
    """
    return _distances(paths, truth)[..., -1].amin(1)


def hit_rate(modes: Float[Tensor, "rows k d"], truth: Float[Tensor, "rows d"], *, radius: float) -> float:
    r"""The share of places that lie within a radius of one of k forecast modes; higher is better.

    .. math:: \frac1n \sum_{i=1}^n \Big[ \min_{j \le k} \lVert m_{ij} - y_i \rVert \le r \Big]

    Args:
        modes: The likeliest places of each row; NaN where there are fewer than k.
        truth: What came.
        radius: r, above zero, in units of the places.

    Returns:
        The share, in [0, 1].

    Raises:
        ShapeError: Modes and truth do not fit together.
        ArgumentError: The radius is not above zero.

    Example:
        >>> hit_rate(torch.tensor([[[0.0], [9.0]], [[5.0], [torch.nan]]]), torch.tensor([[8.5], [7.0]]), radius=1.0)
        0.5
    """
    _check_radius(radius)
    away = _distances(modes.unsqueeze(2), truth.unsqueeze(1))[..., 0]
    return float((away <= radius).any(1).double().mean())


def mode_coverage(
    draws: Float[Tensor, "rows n d"], modes: Float[Tensor, "rows k d"], *, radius: float, share: float = 0.0
) -> float:
    r"""The share of the true modes near which there are draws; higher is better.

    .. math:: \frac{1}{\sum_i k_i} \sum_{i, j} \Big[ \frac{1}{n} \sum_{l=1}^{n}
        [\lVert y_{il} - m_{ij} \rVert \le r] > s \Big]

    Args:
        draws: n draws of the forecast for each row.
        modes: The true modes; NaN where a row has fewer than k.
        radius: How near is near, above zero, in units of the places.
        share: s, the share of draws that must be exceeded; at 0 one draw is enough.

    Returns:
        The share, in [0, 1].

    Raises:
        ShapeError: Draws and modes do not fit together, or there is no mode.
        ArgumentError: The radius is not above zero.

    Example:
        >>> mode_coverage(torch.tensor([[[0.1], [0.2]]]), torch.tensor([[[0.0], [5.0]]]), radius=1.0)
        0.5
    """
    _check_radius(radius)
    if draws.dim() != 3 or modes.dim() != 3 or draws.shape[::2] != modes.shape[::2]:
        raise ShapeError(f"draws and modes must be of the same rows, got {tuple(draws.shape)}, {tuple(modes.shape)}.")
    known = ~modes.isnan().any(-1)
    if not bool(known.any()):
        raise ShapeError("modes must hold one place or more that is not NaN, got none.")
    near = torch.linalg.vector_norm(draws.unsqueeze(1) - modes.unsqueeze(2), dim=-1) <= radius
    return float((near.double().mean(-1) > share)[known].double().mean())


def energy_distance(a: Float[Tensor, "*batch n d"], b: Float[Tensor, "*batch m d"]) -> Float[Tensor, "*batch"]:
    r"""How far two samples are from one law, without bias: about 0 (also below) for one law, above for two.

    .. math:: 2\, \mathbb{E} \lVert A - B \rVert - \mathbb{E} \lVert A - A' \rVert - \mathbb{E} \lVert B - B' \rVert

    Args:
        a: Points of one law, at least 2.
        b: Points of the other, at least 2.

    Returns:
        In units of the places, one for each pair of samples.

    Raises:
        ShapeError: The samples do not fit together or are too small.

    Reference:
        Szekely, Rizzo, "Energy statistics: a class of statistics based on distances", 2013, equation 1.

    Example:
        >>> energy_distance(torch.zeros(2, 1), torch.ones(3, 1)).item()
        2.0
    """
    n, m = a.shape[-2], b.shape[-2]
    if a.shape[:-2] != b.shape[:-2] or a.shape[-1] != b.shape[-1] or min(n, m) < 2:
        raise ShapeError(f"a and b must hold 2 points or more of one kind, got {tuple(a.shape)} and {tuple(b.shape)}.")
    within = torch.cdist(a, a).sum((-2, -1)) / (n * (n - 1)) + torch.cdist(b, b).sum((-2, -1)) / (m * (m - 1))
    return 2 * torch.cdist(a, b).mean((-2, -1)) - within


def _distances(paths: Tensor, truth: Tensor) -> Tensor:
    """How far each path is from the truth at each step, of shape (rows, k, steps)."""
    if paths.dim() != truth.dim() + 1 or not paths.shape[1] or paths[:, 0].shape != truth.shape:
        raise ShapeError(
            f"forecasts must have the shape of the truth with a dimension of k behind the rows, got "
            f"{tuple(paths.shape)} and {tuple(truth.shape)}. Unsqueeze what is single."
        )
    return torch.linalg.vector_norm(paths - truth.unsqueeze(1), dim=-1)


def _check_radius(radius: float) -> None:
    if not radius > 0:
        raise ArgumentError(f"radius must be above zero, got {radius}. Give it in units of the places.")
