"""Where training starts: what cells say of the states, before any flow is asked."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from counterflow.core.numerics import safe_log
from counterflow.hmm.blocks import checked_lengths
from counterflow.hmm.cells import Cells, count_pairs, find_cells, followed
from counterflow.hmm.pairs import Pairs, fit_pairs, pick
from counterflow.hmm.smoothing import Smoothed, smooth

__all__ = ["find_starts"]

_MOST_CELLS = 40
_ROWS_IN_A_CELL = 20
_STARTS = 12
_WIDTHS = (0.3, 1.0)
_LEAST = 1e-3
_NEAR, _DOUBT = 21, 0.2
_ROUNDS = 30


def find_starts(
    x: Float[Tensor, "rows features"],
    states: int,
    *,
    made: Bool[Tensor, " rows"],
    lengths: Sequence[int] | None = None,
    count: int = 1,
    generator: torch.Generator | None = None,
) -> list[Smoothed]:
    """Find what to start from: posteriors of the states, without any flow.

    The observations are put into cells; the law of pairs of cells is fitted from many starts, half of them at random
    and half with states that lie apart; the best of them become hidden Markov models on cells, which are smoothed. Two
    starts are of another kind: the second, for states that stay, is stretches of alike mean and spread; the third, for
    states of simple shapes, is the first one's after EM with normal laws.

    Args:
        x: Observations, standardized.
        states: How many states.
        made: Which observations may be looked at; at least one.
        lengths: Of the sequences.
        count: How many starts are wanted.
        generator: Where the randomness comes from.

    Returns:
        The starts, of the first kind the best first.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> x = torch.arange(200).remainder(2).view(-1, 1) + 0.1 * torch.randn(200, 1, generator=generator)
        >>> (found,) = find_starts(x, 2, made=torch.ones(200, dtype=torch.bool), generator=generator)
        >>> found.log_posterior.exp()[:4].round().abs().argmax(1).diff().abs().tolist()
        [1, 1, 1]
    """
    lengths = checked_lengths(lengths, len(x))
    enough = max(states + 1, min(_MOST_CELLS, int(made.sum()) // _ROWS_IN_A_CELL))
    cells = find_cells(x[made], enough, generator=generator)
    labels, pairs = cells.of(x), followed(lengths, made)
    counts = count_pairs(labels, pairs, cells=len(cells.centers)) + 1 / len(cells.centers) ** 2
    shares = torch.cat((_at_random(cells, states, generator), _apart(cells, states, generator)))
    found = fit_pairs(counts, shares)
    chosen = pick(found, pairs=max(len(pairs), 1))[:count]
    starts = [_smoothed(found, best, labels.masked_fill(~made, -1), lengths) for best in chosen]
    others = [_regimes(x, states, made, pairs, generator)] if count > 1 else []
    others += [_normals(x, starts[0], made, lengths)] if count > 2 else []
    return [starts[0], *others, *starts[1:]][:count]


def _normals(x: Tensor, start: Smoothed, made: Tensor, lengths: list[int]) -> Smoothed:
    """What a start comes to if its states emit normal laws."""
    rows, ridge = torch.where(made.unsqueeze(1), x.double(), 0.0), _LEAST * torch.eye(x.shape[1]).double()
    for _ in range(_ROUNDS):
        weight = start.log_posterior.exp() * made.unsqueeze(1)
        weight = weight / weight.sum(0).clamp(min=_LEAST)
        off = rows.unsqueeze(1) - weight.T @ rows
        factor = torch.linalg.cholesky(torch.einsum("rs,rsi,rsj->sij", weight, off, off) + ridge)
        standard = torch.linalg.solve_triangular(factor, off.permute(1, 2, 0), upper=False)
        log_density = -standard.square().sum(1).T / 2 - factor.diagonal(dim1=1, dim2=2).log().sum(1)
        start = smooth(
            torch.where(made.unsqueeze(1), log_density, 0.0),
            log_start=(start.starts + _LEAST).log().log_softmax(-1),
            log_transition=(start.transitions + _LEAST).log().log_softmax(-1),
            lengths=lengths,
        )
    return start


def _regimes(x: Tensor, states: int, made: Tensor, pairs: Tensor, generator: torch.Generator | None) -> Smoothed:
    """States by the mean and the spread of the rows around."""
    known = made.unsqueeze(1).double()
    rows = torch.where(made.unsqueeze(1), x.double(), 0.0)
    near = functional.avg_pool1d(
        torch.cat((known, rows, rows.square()), 1).T.unsqueeze(0), _NEAR, stride=1, padding=_NEAR // 2
    )[0].T
    mean, square = (near[:, 1:] / near[:, :1].clamp(min=1 / _NEAR)).chunk(2, 1)
    looks = torch.cat((mean, (square - mean.square() + _LEAST).log()), 1)
    looks = looks / looks[made].std(0).clamp(min=_LEAST)
    labels = find_cells(looks[made], states, generator=generator).of(looks)
    sure = functional.one_hot(labels, states) * (1 - _DOUBT) + _DOUBT / states
    starts = sure[:1].sum(0)
    return Smoothed(sure.log(), torch.zeros_like(near[:, 0]), starts, count_pairs(labels, pairs, cells=states))


def _smoothed(found: Pairs, best: int, labels: Tensor, lengths: list[int]) -> Smoothed:
    chances = safe_log(found.emission[best] + _LEAST / found.emission.shape[1])
    log_density = torch.where(labels.unsqueeze(1) < 0, 0.0, chances[labels])
    joint = found.joint[best] + _LEAST / len(found.joint[best]) ** 2
    start = joint.sum(1)
    return smooth(
        log_density,
        log_start=(start / start.sum()).log(),
        log_transition=(joint / start.unsqueeze(1)).log(),
        lengths=lengths,
    )


def _at_random(cells: Cells, states: int, generator: torch.Generator | None) -> Float[Tensor, "starts cells states"]:
    uniform = torch.rand((_STARTS, len(cells.centers), states), generator=generator, dtype=torch.float64)
    return -uniform.clamp(min=1e-9, max=1 - 1e-9).log()


def _apart(cells: Cells, states: int, generator: torch.Generator | None) -> Float[Tensor, "starts cells states"]:
    """States around centers of their own, narrow and wide ones in turn."""
    centers = cells.centers.double()
    shares = []
    for start in range(_STARTS):
        means = find_cells(centers, states, generator=generator).centers
        distances = torch.cdist(centers, means).square() / centers.shape[1] / _WIDTHS[start % len(_WIDTHS)] ** 2
        near = (-distances / 2).softmax(1)
        missing = states - near.shape[1]
        shares.append(torch.cat((near, near.new_zeros(len(near), missing)), 1) + _LEAST)
    return torch.stack(shares)
