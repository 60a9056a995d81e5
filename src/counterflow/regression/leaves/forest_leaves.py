"""Forests and gradient boosting of scikit-learn as leaves: their trees as plain arrays, walked here."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from counterflow.core.errors import ArgumentError

__all__ = ["ForestLeaves"]

_FORESTS = ("RandomForestRegressor", "ExtraTreesRegressor", "GradientBoostingRegressor")


@dataclass(frozen=True, eq=False)
class ForestLeaves:
    r"""Trees of scikit-learn: :math:`f(x) = b + \eta \sum_t v_t(\ell_t(x))`, a mean for forests.

    Nodes of all trees lie in one row; a leaf is its own child, so that a walk may take a step too many.

    Args:
        columns: How many columns they read.
        roots: The first node of each tree.
        depth: The most steps from a root to a leaf.
        nodes: ``column``, ``threshold``, ``left``, ``right``, ``missing_left``, and ``value`` (nodes, targets).
        bias: What is added, for each target.
        rate: What the sum over the trees is multiplied by.
    """

    kind: ClassVar[str] = "forest"

    columns: int
    roots: Int[np.ndarray, " trees"]
    depth: int
    nodes: Mapping[str, np.ndarray]
    bias: Float[np.ndarray, " targets"]
    rate: float

    @classmethod
    def reads(cls, model: Any) -> bool:
        """Whether a model is one of these."""
        return type(model).__module__.partition(".")[0] == "sklearn" and type(model).__name__ in _FORESTS

    @classmethod
    def wrap(cls, model: Any, *, columns: int, categorical: tuple[int, ...] = ()) -> "ForestLeaves":
        """Read the trees of a fitted model; categories are numbers to it.

        Raises:
            ArgumentError: If it is not fitted, or reads another number of columns.
        """
        if not hasattr(model, "estimators_"):
            raise ArgumentError(f"trees must be fitted, got a {type(model).__name__} that is not. Call fit first.")
        if model.n_features_in_ != columns:
            raise ArgumentError(
                f"trees must be fitted on the same {columns} columns as the table, got a {type(model).__name__} that "
                f"reads {model.n_features_in_}. Fit it on them, categories as their codes."
            )
        boosts = type(model).__name__ == "GradientBoostingRegressor"
        trees = [tree.tree_ for tree in (model.estimators_[:, 0] if boosts else model.estimators_)]
        roots = np.cumsum([0, *(tree.node_count for tree in trees[:-1])])
        parts = [_tree(tree, root) for tree, root in zip(trees, roots.tolist(), strict=True)]
        nodes = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        bias = model.init_.predict(np.zeros((1, columns))) if boosts else np.zeros(nodes["value"].shape[1])
        rate = model.learning_rate if boosts else 1 / len(trees)
        return cls(columns, roots, max(tree.max_depth for tree in trees), nodes, np.asarray(bias, dtype=float), rate)

    @classmethod
    def joined(cls, models: list["ForestLeaves"]) -> "ForestLeaves":
        """Several models of one target each as one of several targets."""
        roots = np.cumsum([0, *(len(model.nodes["column"]) for model in models[:-1])])
        nodes = {}
        for name in models[0].nodes:
            parts = [model.nodes[name] for model in models]
            if name in ("left", "right"):
                parts = [part + root for part, root in zip(parts, roots, strict=True)]
            if name == "value":
                parts = [part * np.eye(len(models))[i] for i, part in enumerate(parts)]
            nodes[name] = np.concatenate(parts)
        firsts = np.concatenate([model.roots + root for model, root in zip(models, roots, strict=True)])
        bias, depth = np.concatenate([model.bias for model in models]), max(model.depth for model in models)
        return cls(models[0].columns, firsts, depth, nodes, bias, models[0].rate)

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of nodes of each tree."""
        return tuple(np.diff([*self.roots, len(self.nodes["column"])]).tolist())

    def leaves(self, rows: Float[np.ndarray, "rows columns"]) -> Int[np.ndarray, "rows trees"]:
        """The node that each row ends in, counted from the root of its tree."""
        return self._walk(rows) - self.roots

    def predict(self, rows: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, "rows targets"]:
        """The sum over the trees."""
        return self.bias + self.rate * self.nodes["value"][self._walk(rows)].sum(1)

    def to_parts(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Plain settings and arrays."""
        config = {"kind": self.kind, "columns": self.columns, "depth": self.depth, "rate": self.rate}
        arrays = {"roots": self.roots, "bias": self.bias, **self.nodes}
        return config, {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}

    @classmethod
    def from_parts(cls, config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> "ForestLeaves":
        """Read what :meth:`to_parts` gave."""
        nodes = {name: tensor.numpy() for name, tensor in tensors.items()}
        roots, bias = nodes.pop("roots"), nodes.pop("bias")
        return cls(config["columns"], roots, config["depth"], nodes, bias, config["rate"])

    def _walk(self, rows: np.ndarray) -> np.ndarray:
        values = rows.astype(np.float32)  # as scikit-learn compares them
        place = np.broadcast_to(self.roots, (len(rows), len(self.roots)))
        row = np.arange(len(rows))[:, None]
        for _ in range(self.depth):
            value = values[row, self.nodes["column"][place]]
            goes_left = (value <= self.nodes["threshold"][place]) | (
                np.isnan(value) & self.nodes["missing_left"][place]
            )
            place = np.where(goes_left, self.nodes["left"][place], self.nodes["right"][place])
        return place


def _tree(tree: Any, root: int) -> dict[str, np.ndarray]:
    leaf = tree.children_left < 0
    own = np.arange(tree.node_count)
    return {
        "column": np.where(leaf, 0, tree.feature).astype(np.int64),
        "threshold": tree.threshold.astype(np.float64),
        "left": root + np.where(leaf, own, tree.children_left).astype(np.int64),
        "right": root + np.where(leaf, own, tree.children_right).astype(np.int64),
        "missing_left": np.asarray(tree.missing_go_to_left).astype(bool),
        "value": tree.value[:, :, 0].astype(np.float64),
    }
