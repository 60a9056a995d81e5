"""What a method learns from the table when an explainer is fitted, and where that comes from later."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import Background, Learner, Lesson, Method, Skill
from counterflow.estimators.methods import method_to_dict
from counterflow.models import AdaptedModel
from counterflow.persistence import SavedFolder
from counterflow.tables import TableCodec

__all__ = ["check_learned", "learn_skill", "restore_skill"]


def learn_skill(
    method: Method,
    model: AdaptedModel,
    table: Any,
    *,
    codec: TableCodec,
    numbers: Float[np.ndarray, "rows columns"],
    background: Background,
    how: Mapping[str, Any],
) -> Skill | None:
    """Let a method learn from the table; ``None`` for one that learns nothing.

    Args:
        method: The method.
        model: The user's model.
        table: The rows.
        codec: From rows to numbers and back.
        numbers: The rows as it gives them.
        background: The densities learned before.
        how: Seed, progress and checkpoint, by the names of :class:`Lesson`.
    """
    if not isinstance(method, Learner):
        return None

    def decide(some: Tensor) -> Tensor:
        """What the model decides for rows, as an index."""
        frame = codec.to_frame(some.numpy(), like=table, rows=np.zeros(len(some), dtype=np.int64))
        said = model.predict(frame)
        if background.bins is not None:
            return torch.from_numpy(background.bins.labels(said))
        return torch.tensor([model.class_index(label) for label in said.tolist()], dtype=torch.long)

    rows = torch.from_numpy(numbers)
    return method.learn(Lesson(rows, decide(rows), decide, background, **how))


def check_learned(method: Method, skill: Skill | None) -> None:
    """Refuse a method that learns, where an explainer was fitted without it.

    Raises:
        ArgumentError: Nothing was learned.
    """
    if isinstance(method, Learner) and skill is None:
        raise ArgumentError(
            f"{type(method).__name__} learns when an explainer is fitted, and this one was fitted for a method that "
            f"learns nothing: fit again with method={method_to_dict(method)['name']!r}."
        )


def restore_skill(
    method: Method, config: Mapping[str, Any] | None, folder: SavedFolder, *, background: Background
) -> Skill | None:
    """The skill that was saved with an explainer; ``None`` if there was none."""
    if config is None or not isinstance(method, Learner):
        return None
    return method.restore(config, folder, background)
