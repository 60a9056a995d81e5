"""Trees of four libraries behind one face: the leaf that each row falls into, and what the trees predict."""

from counterflow.regression.leaves.fitting import Trees, fit_trees
from counterflow.regression.leaves.protocol import LeafModel, as_leaf_model, leaf_model_from_parts

__all__ = ["LeafModel", "Trees", "as_leaf_model", "fit_trees", "leaf_model_from_parts"]
