"""A fitted explainer as plain settings and tensors, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from counterflow.core.errors import PersistenceError
from counterflow.counterfactuals import Background
from counterflow.estimators.labels import check_same_classes
from counterflow.estimators.learning import restore_skill
from counterflow.estimators.methods import config_of, method_to_dict
from counterflow.models import adapt, own_parts, restore_own, restore_stand_in, stand_in_parts
from counterflow.persistence import SavedFolder
from counterflow.tables import TableCodec

if TYPE_CHECKING:
    from counterflow.estimators.explainer import CounterfactualExplainer

__all__ = ["explainer_parts", "model_of", "restore_fit"]


def explainer_parts(explainer: "CounterfactualExplainer") -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Everything that was learned; of a model only what the library itself made: its own models, and stand-ins.

    Args:
        explainer: Fitted.

    Returns:
        Plain settings, and tensors named ``<part>.<name>``.
    """
    model, skill = explainer.model_, explainer.skill_
    config, tensors = explainer.background_.to_parts()
    parts = {
        "model": own_parts(explainer.model),
        "stand_in": stand_in_parts(model) if model.stand_in else None,
        "skill": None if skill is None else skill.to_parts(),
    }
    for name, part in parts.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in (part[1] if part else {}).items()}
    settings = {name: part and part[0] for name, part in parts.items()}
    return {
        "background": config,
        "method": method_to_dict(config_of(explainer.method)),
        "random_state": explainer.random_state,
        "stand_in": settings["stand_in"],
        "skill": settings["skill"],
        "classes": list(model.classes or ()),
        "labels_from": explainer.labels_from_,
        "data": explainer.data_fingerprint_,
        "model": {"name": model.name, "fingerprint": model.fingerprint, "own": settings["model"]},
    }, tensors


def model_of(saved: SavedFolder, folder: str | Path) -> Any:
    """The model that was saved along.

    Raises:
        PersistenceError: It is the user's, and was not.
    """
    about = saved.config["model"]
    if about["own"] is None:
        raise PersistenceError(
            f"'{folder}' explains {about['name']}, which is the user's and not saved with it: pass it as model=."
        )
    return restore_own(about["own"], saved.part("model"))


def restore_fit(
    explainer: "CounterfactualExplainer", saved: SavedFolder, *, background: Background, folder: str | Path
) -> "CounterfactualExplainer":
    """Give an explainer back what it had learned.

    Args:
        explainer: As it was built, not fitted.
        saved: What :func:`explainer_parts` gave.
        background: The densities among it.
        folder: Where it was saved, for sentences.

    Raises:
        ModelError: The model has other classes than the one that was explained.
    """
    config, schema = saved.config, background.schema
    codec = TableCodec(schema)
    like = codec.to_frame(np.concatenate([rows.numpy() for rows in background.pool]))
    model = adapt(explainer.model, schema, like=like, codec=codec)
    if config["stand_in"] is not None:
        model = restore_stand_in(model, config["stand_in"], schema=schema, tensors=saved.part("stand_in"))
    check_same_classes(model, config["classes"], folder=folder)
    explainer.background_, explainer.schema_, explainer.model_ = background, schema, model
    explainer.skill_ = restore_skill(config_of(explainer.method), config["skill"], saved, background=background)
    explainer.labels_from_, explainer.data_fingerprint_ = config["labels_from"], config["data"]
    explainer.n_features_in_ = len(schema)
    return explainer
