"""Rows as TreeFlow reads them: what trees predict, the row itself, and the leaves that it falls into."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from counterflow.bijections import AbstractBijection, GivenAffine
from counterflow.core.errors import DataError
from counterflow.regression.density import LeafEmbedding
from counterflow.regression.leaves import LeafModel, Trees, fit_trees, leaf_model_from_parts

__all__ = ["TreeReader", "Units", "fit_tree_reader"]

_LEAST = 1e-6
"""The least deviation of what trees leave over, in units of the target's own."""


class Units(NamedTuple):
    """How columns become features: standardized numbers, indicators of categories, and of what is missing.

    Args:
        center: The middle of each column.
        scale: Its unit.
        levels: How many categories each column has; 0 for numbers.
    """

    center: Float[np.ndarray, " columns"]
    scale: Float[np.ndarray, " columns"]
    levels: tuple[int, ...]

    @classmethod
    def of(cls, rows: Float[np.ndarray, "rows columns"], levels: tuple[int, ...]) -> "Units":
        """Learn them from rows."""
        with np.errstate(invalid="ignore"):
            known = ~np.isnan(rows)
            count = np.maximum(known.sum(0), 1)
            center = np.where(known, rows, 0).sum(0) / count
            scale = np.sqrt((np.where(known, rows - center, 0) ** 2).sum(0) / count)
        return cls(center, np.where(scale > 0, scale, 1.0), levels)

    def read(self, rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows features"]:
        """The features of rows."""
        parts = []
        for i, levels in enumerate(self.levels):
            column = rows[:, i : i + 1]
            if levels:
                parts.append((column == np.arange(levels)).astype(np.float64))
            else:
                missing = np.isnan(column)
                parts += [np.where(missing, 0.0, (column - self.center[i]) / self.scale[i]), missing]
        return np.concatenate(parts, 1)


class TreeReader(NamedTuple):
    r"""From rows to :math:`[m, \log s, f(x), \ell_1(x) \dots \ell_T(x)]`.

    Args:
        leaves: The trees whose leaves are embedded.
        predictors: The trees whose mean prediction is the location m, one for each fold; none: no location.
        log_scale: The logarithm of the deviation of what they leave over, for each target.
        units: How columns become features.
    """

    leaves: LeafModel
    predictors: tuple[LeafModel, ...]
    log_scale: Float[np.ndarray, " targets"]
    units: Units

    @property
    def kept(self) -> int:
        """How many numbers stand before the leaves."""
        return self.given + sum(levels or 2 for levels in self.units.levels)

    @property
    def given(self) -> int:
        """How many of these are locations and log-scales."""
        return 2 * len(self.log_scale) if self.predictors else 0

    def read(self, rows: Float[Tensor, "rows columns"]) -> Float[Tensor, "rows read"]:
        """Read rows that the trees have not seen."""
        numbers = rows.double().numpy()
        return self.joined(numbers, self.locate(numbers)).to(rows.dtype)

    def locate(self, numbers: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows targets"] | None:
        """The mean prediction over the folds."""
        return np.mean([model.predict(numbers) for model in self.predictors], 0) if self.predictors else None

    def joined(self, numbers: np.ndarray, location: np.ndarray | None) -> Tensor:
        """Everything side by side, in float64."""
        given = [] if location is None else [location, np.broadcast_to(self.log_scale, location.shape)]
        parts = [*given, self.units.read(numbers), self.leaves.leaves(numbers)]
        return torch.from_numpy(np.concatenate([np.asarray(part, dtype=np.float64) for part in parts], 1))

    def build(self, method: Any, *, generator: torch.Generator) -> tuple[nn.Module, int]:
        """Build a method's embedding of the leaves, and say how long its vectors are."""
        net = LeafEmbedding(self.leaves.sizes, kept=self.kept, width=method.embedded, generator=generator)
        return net, net.outputs

    def first_layers(self, targets: int, length: int) -> list[AbstractBijection]:
        """What comes before a flow that is steered by vectors of that length: the residuals from the location."""
        return [GivenAffine(targets, context_features=length)] if self.predictors else []

    def to_parts(self) -> tuple[dict[str, Any], dict[str, dict[str, Tensor]]]:
        """Plain settings and tensors, part by part."""
        models = {"leaves": self.leaves, **{f"predictor_{i}": model for i, model in enumerate(self.predictors)}}
        parts = {name: model.to_parts() for name, model in models.items()}
        config = {"models": {name: config for name, (config, _) in parts.items()}, "levels": list(self.units.levels)}
        numbers = {"center": self.units.center, "scale": self.units.scale, "log_scale": self.log_scale}
        own = {name: torch.from_numpy(np.ascontiguousarray(value)) for name, value in numbers.items()}
        return config, {"units": own, **{name: tensors for name, (_, tensors) in parts.items()}}

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], parts: Mapping[str, Mapping[str, Tensor]]) -> "TreeReader":
        """Read what :meth:`to_parts` gave."""
        models = {name: leaf_model_from_parts(how, parts[name]) for name, how in config["models"].items()}
        own = {name: tensor.numpy() for name, tensor in parts["units"].items()}
        units = Units(own["center"], own["scale"], tuple(config["levels"]))
        leaves = models.pop("leaves")
        return cls(leaves, tuple(models.values()), own["log_scale"], units)


def fit_tree_reader(
    rows: Float[np.ndarray, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    *,
    leaves: Trees | LeafModel,
    location: Trees | None,
    folds: int,
    levels: tuple[int, ...],
    weights: Float[np.ndarray, " rows"] | None,
    generator: torch.Generator,
) -> tuple[TreeReader, Float[Tensor, "rows read"]]:
    """Fit the trees, and read the training rows as if the trees had not seen them.

    The location of a training row comes from trees that were fitted without its fold: what is left over is then as
    large as it will be for fresh rows, and the flow learns honest widths.

    Args:
        rows: Numbers; categories as their codes, missing values as NaN.
        y: Targets.
        leaves: How to fit the trees whose leaves are embedded, or fitted ones.
        location: How to fit those that predict the location; ``None`` for none.
        folds: Into how many parts the rows are cut for that.
        levels: How many categories each column has; 0 for numbers.
        weights: One for each row.
        generator: Where seeds and folds come from.

    Returns:
        The reader, and the training rows as it reads them.

    Raises:
        DataError: If there are fewer rows than folds.
    """
    categorical = tuple(i for i, count in enumerate(levels) if count)
    how = {"categorical": categorical, "seed": int(torch.randint(2**31 - 1, (), generator=generator))}
    shallow = fit_trees(leaves, rows, y=y, weights=weights, **how) if isinstance(leaves, Trees) else leaves
    units = Units.of(rows, levels)
    if location is None:
        reader = TreeReader(shallow, (), np.zeros(y.shape[1]), units)
        return reader, reader.joined(rows, None)
    if len(rows) < folds:
        raise DataError(f"TreeFlow needs at least {folds} rows, one for each fold, got {len(rows)}. Use location=None.")
    fold = torch.randperm(len(rows), generator=generator).numpy() % folds
    predictors, unseen = _cross_fitted(location, rows, y, fold=fold, weights=weights, how=how)
    left_over = np.sqrt(np.average((y - unseen) ** 2, axis=0, weights=weights))
    reader = TreeReader(shallow, predictors, np.log(np.maximum(left_over, _LEAST)), units)
    return reader, reader.joined(rows, unseen)


def _cross_fitted(
    trees: Trees,
    rows: np.ndarray,
    y: np.ndarray,
    *,
    fold: np.ndarray,
    weights: np.ndarray | None,
    how: dict[str, Any],
) -> tuple[tuple[LeafModel, ...], np.ndarray]:
    """Trees fitted without each fold, and what they predict for it."""
    predictors, unseen = [], np.zeros_like(y)
    for k in range(fold.max() + 1):
        kept = fold != k
        part = None if weights is None else weights[kept]
        predictors.append(fit_trees(trees, rows[kept], y=y[kept], weights=part, **how))
        unseen[~kept] = predictors[-1].predict(rows[~kept])
    return tuple(predictors), unseen
