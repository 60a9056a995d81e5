"""The nearest row of the other class, as what the rules allow of it: retrieval instead of search."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.counterfactuals.finish import Incumbent
from counterflow.counterfactuals.task import Task

__all__ = ["Nearest", "nearest_rows"]

_PAIRS_AT_ONCE = 2**16


@dataclass(frozen=True)
class Nearest:
    r"""The nearest unlike neighbor: no search, the nearest plausible row of the wished class that the rules allow.

    .. math:: x' = \arg\min_{g \in G_{y'}} \{ d(\Pi(g), x) : f(\Pi(g)) = y' \}

    ``G`` are rows that the explainer's flows made up, as it holds no row of the training table; ``\Pi`` gives a row the
    values of its guide wherever the rules let it have them. Where the model refuses every guide that way, the row gets
    the one nearest to the wish. For the nearest *real* row, see :func:`nearest_rows`.

    Args:
        norm: The exponent of the distance, unless :meth:`explain` is given one.
        tried: How many guides, the nearest first, the model is asked about.

    Raises:
        ArgumentError: ``tried`` is below 1.

    Reference:
        Brughmans, Leyman, Martens, "NICE: an algorithm for nearest instance counterfactual explanations", 2021,
        section 3, before its optimization; Wexler et al., "The What-If Tool", 2019.

    Example:
        >>> Nearest(norm=1.0).tried
        128
    """

    norm: float = 2.0
    tried: int = 128

    def __post_init__(self) -> None:
        if self.tried < 1:
            raise ArgumentError(f"tried must be at least 1, got {self.tried}.")

    def find(self, task: Task) -> Float[Tensor, "rows columns"]:
        """The nearest legal row made of a guide for which the model decides as wished, for each row of the task."""
        task = replace(task, min_plausibility=0.0)
        incumbent = Incumbent(task, aim=0.0)
        for label in task.goal.target.unique().tolist():
            guides = task.pool[label]
            rows = torch.nonzero((task.goal.target == label) & task.rules.can_change)[:, 0]
            for some in rows.split(max(1, _PAIRS_AT_ONCE // max(len(guides), 1))):
                if len(guides) and not task.deadline.passed():
                    _offer_nearest(incumbent, some, guides, self.tried)
        return incumbent.numbers


def _offer_nearest(incumbent: Incumbent, rows: Tensor, guides: Tensor, tried: int) -> None:
    """Offer each row what the rules allow of its nearest guides, in blocks that double, until one is accepted."""
    dressed, order = _by_distance(incumbent.task, rows, guides)
    first, block, left = 0, 4, torch.arange(len(rows))
    while len(left) and first < min(tried, len(guides)):
        for place in range(first, min(first + block, tried, len(guides))):
            incumbent.offer(dressed[left, order[left, place]], rows[left])
        left = left[incumbent.quality.tier[rows[left]] > 0]
        first, block = first + block, 2 * block


def _by_distance(task: Task, rows: Tensor, guides: Tensor) -> tuple[Tensor, Tensor]:
    """``(rows, guides, columns)``: each row dressed as each guide; and their order by distance, no change last."""
    pairs = task.of_rows(rows.repeat_interleave(len(guides)))
    dressed = pairs.rules.project(guides.repeat(len(rows), 1))
    distance = pairs.distance(dressed).reshape(len(rows), -1)
    order = distance.masked_fill(distance == 0, torch.inf).argsort(dim=1, stable=True)
    return dressed.reshape(len(rows), len(guides), -1), order


def nearest_rows(
    factuals: Float[np.ndarray, "rows columns"],
    candidates: Float[np.ndarray, "real _"],
    *,
    scale: Float[np.ndarray, " columns"],
    categorical: Bool[np.ndarray, " columns"],
) -> Int[np.ndarray, " rows"]:
    r"""The nearest candidate of each row by Gower's distance: the nearest unlike neighbor among *real* rows.

    .. math:: \arg\min_c \sum_j \min(|x_j - c_j| / s_j, 1) \text{ (numbers)} + \sum_j [x_j \ne c_j] \text{ (categories)}

    It is what every method has to better: a real row of the wished class is plausible, and no search is needed. No rule
    is kept, and the answer is the row of a person. For experiments and benchmarks; explainers hold no rows.

    Args:
        factuals: The rows to explain.
        candidates: Real rows for which the model decides as wished.
        scale: The range of each column over real rows (:func:`~counterflow.metrics.range_scale`), positive.
        categorical: Which columns are compared by equality. Two missing values are equal, a missing one is 1 away.

    Returns:
        Positions in ``candidates``, the first of equally near ones.

    Raises:
        DataError: There are no candidates.
        ShapeError: The columns differ.

    Example:
        >>> columns = np.array([False, True])
        >>> people = np.array([[30.0, 0.0], [52.0, 1.0]])
        >>> nearest_rows(np.array([[50.0, 1.0]]), people, scale=np.array([60.0, 1.0]), categorical=columns)
        array([1])
    """
    if not len(candidates):
        raise DataError("there are no candidates: no real row that the model decides for as wished.")
    if factuals.shape[1] != candidates.shape[1]:
        raise ShapeError(f"candidates must have {factuals.shape[1]} columns like factuals, got {candidates.shape[1]}.")
    chunks = np.array_split(np.arange(len(factuals)), max(1, len(factuals) * len(candidates) // 2**22))
    parts = [_gower(factuals[rows], candidates, scale, categorical).argmin(1) for rows in chunks]
    return np.concatenate(parts).astype(np.int64)


def _gower(rows: np.ndarray, candidates: np.ndarray, scale: np.ndarray, categorical: np.ndarray) -> np.ndarray:
    """All pairs, column by column, so that memory stays that of the pairs."""
    total = np.zeros((len(rows), len(candidates)))
    for column, (before, after) in enumerate(zip(rows.T, candidates.T, strict=True)):
        gap = np.abs(before[:, None] - after[None])
        step = (gap > 0) * 1.0 if categorical[column] else np.minimum(gap / scale[column], 1.0)
        both = np.isnan(before)[:, None] & np.isnan(after)[None]
        total += np.where(both, 0.0, np.nan_to_num(step, nan=1.0))
    return total
