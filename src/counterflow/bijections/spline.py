r"""Rational-quadratic splines with linear tails, as pure functions.

Inside [-B, B] the function is increasing and goes through ``bins + 1`` knots with given slopes; outside it is the
identity, and value and slope agree at the ends. No step depends on data (no boolean indexing, no assertion, no wait
for the device), and the argument is clamped into the interval before the formulas, then the result is selected, so
that gradients are finite everywhere.

Parameters have shape ``(*batch, 3 * bins - 1, d)``: for each of d coordinates first the ``bins`` widths, then the
``bins`` heights, then the ``bins - 1`` slopes of the inner knots, all unbounded; zeros make the identity. Bins come
before coordinates because neighboring memory then belongs to different coordinates, which processors like.

Reference:
    Durkan, Bekasov, Murray, Papamakarios, "Neural Spline Flows", 2019, section 3.1 (equations 4 to 8).
    Gregory, Delbourgo, "Piecewise rational quadratic interpolation to monotonic data", 1982.
"""

import functools
import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from counterflow.core.numerics import soft_bound

__all__ = ["MAX_LOG_SLOPE", "MIN_BIN", "Bin", "solve_bin", "spline_to_data", "spline_to_latent", "value_and_log_slope"]

MIN_BIN = 1e-3
"""The least width and height of a bin, as a share of the interval."""

MAX_LOG_SLOPE = math.log(1e3)
"""The largest absolute log-slope at a knot."""


class Bin(NamedTuple):
    """The bin that holds a point: its corner, its size, and the slopes at its two ends."""

    left: Tensor
    bottom: Tensor
    width: Tensor
    height: Tensor
    slope_left: Tensor
    slope_right: Tensor


def spline_to_latent(
    x: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*batch p d"], *, bound: float
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d"]]:
    r"""Evaluate the spline.

    .. math:: z = y_k + h\, \frac{s \xi^2 + d_k \xi (1 - \xi)}{s + D \xi (1 - \xi)}, \quad
        \xi = \frac{x - x_k}{w}, \quad s = \frac{h}{w}, \quad D = d_k + d_{k+1} - 2 s

    Args:
        x: Any real numbers.
        parameters: Unbounded; zeros make the identity.
        bound: B, half the length of the interval.

    Returns:
        ``(z, log dz/dx)``, elementwise.

    Reference:
        Durkan et al., 2019, equations 4 and 5.

    Example:
        >>> spline_to_latent(torch.tensor([-7.0, 0.5]), torch.zeros(11, 2), bound=5.0)
        (tensor([-7.0000,  0.5000]), tensor([0., 0.]))
    """
    clamped = x.clamp(-bound, bound)
    cell = _find_bin(clamped, parameters, bound=bound, axis=0)
    position = ((clamped - cell.left) / cell.width).clamp(0.0, 1.0)
    share, log_slope = value_and_log_slope(position, cell)
    inside = x.abs() <= bound
    return torch.where(inside, cell.bottom + cell.height * share, x), torch.where(inside, log_slope, 0.0)


def spline_to_data(
    z: Float[Tensor, "*batch d"], parameters: Float[Tensor, "*batch p d"], *, bound: float
) -> tuple[Float[Tensor, "*batch d"], Float[Tensor, "*batch d"]]:
    r"""Invert the spline by solving a quadratic, in the form that cancels nowhere.

    With :math:`t = (z - y_k) / h` and :math:`D` as above, :math:`\xi` solves

    .. math:: (s - d_k + t D)\, \xi^2 + (d_k - t D)\, \xi - s t = 0

    whose root in [0, 1] is :math:`2 s t / (b + \sqrt{\Delta})` for b >= 0 and :math:`(\sqrt{\Delta} - b) / (2 a)`
    for b < 0 (where a = s - b > 0): sums of numbers of one sign in both cases.

    Args:
        z: Any real numbers.
        parameters: As in :func:`spline_to_latent`.
        bound: B, half the length of the interval.

    Returns:
        ``(x, log dx/dz)``, elementwise.

    Reference:
        Durkan et al., 2019, equations 6 to 8 and appendix A.2; the case b < 0 is added here.

    Example:
        >>> x, log_slope = spline_to_data(torch.tensor([-7.0, 0.5]), torch.zeros(11, 2), bound=5.0)
        >>> x.tolist(), log_slope.abs().tolist()
        ([-7.0, 0.5], [0.0, 0.0])
    """
    clamped = z.clamp(-bound, bound)
    cell = _find_bin(clamped, parameters, bound=bound, axis=1)
    position = solve_bin(((clamped - cell.bottom) / cell.height).clamp(0.0, 1.0), cell).clamp(0.0, 1.0)
    _, log_slope = value_and_log_slope(position, cell)
    inside = z.abs() <= bound
    return torch.where(inside, cell.left + cell.width * position, z), torch.where(inside, -log_slope, 0.0)


def value_and_log_slope(position: Tensor, cell: Bin) -> tuple[Tensor, Tensor]:
    """The share of the bin's height that is reached, and the log of the slope, at a share of its width."""
    mean_slope = cell.height / cell.width
    rest = 1 - position
    product = position * rest
    square = position * position
    denominator = mean_slope + (cell.slope_left + cell.slope_right - 2 * mean_slope) * product
    share = (mean_slope * square + cell.slope_left * product) / denominator
    numerator = cell.slope_right * square + 2 * mean_slope * product + cell.slope_left * rest * rest
    return share, (numerator * (mean_slope / denominator).square()).log()


def solve_bin(share: Tensor, cell: Bin) -> Tensor:
    """The share of the bin's width at which a share of its height is reached."""
    mean_slope = cell.height / cell.width
    b = cell.slope_left - share * (cell.slope_left + cell.slope_right - 2 * mean_slope)
    a = mean_slope - b
    product = mean_slope * share
    tiny = torch.finfo(share.dtype).tiny
    total = b.abs() + (b * b + 4 * a * product).clamp(min=tiny).sqrt()
    negative = b < 0
    return torch.where(negative, 0.5 * total / torch.where(negative, a, 1.0), 2 * product / total)


def _find_bin(x: Tensor, parameters: Tensor, *, bound: float, axis: int) -> Bin:
    """Look up the bin of each point, along the widths (axis 0) or the heights (axis 1)."""
    if torch.compiler.is_compiling():
        return _find_bin_by_comparing(x, parameters, bound=bound, axis=axis)
    table = _knots(parameters, bound)
    inner = table[..., axis, 1:-1, :]
    index = (x.unsqueeze(-2) >= inner).sum(-2, keepdim=True)
    both = torch.cat((index, index + 1), -2).unsqueeze(-3)
    ends = table.gather(-2, both.expand(*both.shape[:-3], 3, 2, -1))
    (left, right), (bottom, top), (slope_left, slope_right) = (end.unbind(-2) for end in ends.unbind(-3))
    return Bin(left, bottom, right - left, top - bottom, slope_left, slope_right)


def _knots(parameters: Tensor, bound: float) -> Tensor:
    """The table of knots, shape ``(*batch, 3, bins + 1, d)``; parameters that were expanded are read only once."""
    batch = parameters.dim() - 2
    first = tuple(slice(1 if stride == 0 else None) for stride in parameters.stride()[:batch])
    table = _table(parameters[first], bound)
    return table.expand(*parameters.shape[:batch], *table.shape[batch:])


def _table(parameters: Tensor, bound: float) -> Tensor:
    """Positions, values and slopes of the knots; the ends are exact."""
    bins = (parameters.shape[-2] + 1) // 3
    raw = parameters[..., : 2 * bins, :].unflatten(-2, (2, bins))
    filled = raw.softmax(-2)[..., :-1, :].cumsum(-2)
    floor = torch.arange(1, bins, dtype=parameters.dtype, device=parameters.device).unsqueeze(-1)
    inner = floor * (2 * bound * MIN_BIN) - bound + filled * (2 * bound * (1 - bins * MIN_BIN))
    low, high = (torch.full_like(inner[..., :1, :], end) for end in (-bound, bound))
    slopes = soft_bound(parameters[..., 2 * bins :, :], MAX_LOG_SLOPE).exp()
    slopes = functional.pad(slopes, (0, 0, 1, 1), value=1.0).unsqueeze(-3)
    return torch.cat((torch.cat((low, inner, high), -2), slopes), -3)


def _find_bin_by_comparing(x: Tensor, parameters: Tensor, *, bound: float, axis: int) -> Bin:
    """The same, written out bin by bin: many operations on single numbers, which a compiler fuses into one loop."""
    bins = (parameters.shape[-2] + 1) // 3
    raw = parameters.unbind(-2)
    ends = _ends(raw[:bins], bound), _ends(raw[bins : 2 * bins], bound)
    flat = torch.zeros_like(raw[0])  # the raw slope of 1 at both ends
    slopes = [flat, *raw[2 * bins :], flat]
    columns = [[*knots[:2]] for knots in ends] + [slopes[:2]]
    for k in range(1, bins):
        above = x >= ends[axis][k]
        for column, knots in zip(columns, (*ends, slopes), strict=True):
            column[:] = [torch.where(above, knots[k + i], column[i]) for i in (0, 1)]
    (left, right), (bottom, top), raw_slopes = columns
    slope_left, slope_right = (soft_bound(slope, MAX_LOG_SLOPE).exp() for slope in raw_slopes)
    return Bin(left, bottom, right - left, top - bottom, slope_left, slope_right)


def _ends(raw: Sequence[Tensor], bound: float) -> list[Tensor]:
    """The ends of all bins along one axis, the exact ends of the interval included."""
    largest = functools.reduce(torch.maximum, raw).detach()
    shares = list(itertools.accumulate((r - largest).exp() for r in raw))
    scale = 2 * bound * (1 - len(raw) * MIN_BIN) / shares[-1]
    inner = [k * (2 * bound * MIN_BIN) - bound + share * scale for k, share in enumerate(shares[:-1], 1)]
    return [torch.full_like(inner[0], -bound), *inner, torch.full_like(inner[0], bound)]
