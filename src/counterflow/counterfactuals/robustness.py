r"""Answers that outlive the model: how many of an ensemble agree, and a search that asks for it.

Models are trained again: on other rows, from another seed, with other settings. An answer is of use only as long as
the next model says the same. Given members :math:`f_1 \dots f_M` (such as retrained models), the *robust share* of an
answer is

.. math:: r(x') = \frac1M \sum_m [f_m(x') = y']

and :func:`consensus` is a cautious model that decides for :math:`y'` only where at least a given share of the members
does. It is a model like any other, so every method can search on it.
"""

import math
from collections.abc import Sequence
from copy import copy
from typing import Any, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ModelError
from counterflow.counterfactuals.answer import CounterfactualAnswer
from counterflow.models import AdaptedModel, adapt
from counterflow.persistence import fingerprint
from counterflow.tables import Schema, TableCodec

__all__ = ["consensus", "robust_share", "with_consensus"]

Explainer = TypeVar("Explainer")


def robust_share(answer: CounterfactualAnswer, models: Sequence[Any]) -> Float[np.ndarray, " answers"]:
    """The share of models that decide as wished for each answer.

    Args:
        answer: The answers.
        models: What :func:`counterflow.models.adapt` takes: for example the same classifier trained on other halves of
            the table. They have to know the wished classes.

    Returns:
        (answers,), in [0, 1]. A range of probability that was asked is asked of every model.

    Raises:
        ArgumentError: There are no models, or one does not know a wished class.
    """
    members = _members(models, answer.schema, answer.factuals)
    return np.mean([_as_wished(member, answer) for member in members], axis=0)


def _as_wished(model: AdaptedModel, answer: CounterfactualAnswer) -> np.ndarray:
    predicted, limits = model.predict(answer.frame), answer.settings["probability"]
    if model.regression:
        ends = [(-math.inf if low is None else low, math.inf if high is None else high) for low, high in answer.desired]
        low, high = np.array(ends, dtype=np.float64).reshape(-1, 2).T
        return (predicted >= low) & (predicted <= high)
    places = [model.class_index(label) for label in answer.desired]
    if limits is None:
        return np.array([label == wish for label, wish in zip(predicted.tolist(), answer.desired, strict=True)])
    chance = model.probabilities(answer.frame)[np.arange(len(places)), places]
    return (chance >= limits[0]) & (chance <= limits[1])


def consensus(models: Sequence[Any], *, desired: Any, schema: Schema, like: Any, share: float = 0.9) -> AdaptedModel:
    r"""A cautious model: it decides for ``desired`` only where at least ``share`` of the models do.

    .. math:: \ell_{y'}(x) = \max_{k \ne y'} \bar\ell_k(x)
              + Q_{1 - s}\left( \ell^m_{y'}(x) - \max_{k \ne y'} \ell^m_k(x) \right)

    The other classes have the members' mean logits :math:`\bar\ell_k`; the lead of ``desired`` over them is the one
    that the share :math:`s` of the members reaches, so that a gradient climbs the members that are hardest to
    convince.

    Args:
        models: The members, as :func:`counterflow.models.adapt` takes them, all with the same classes.
        desired: The class that answers shall have.
        schema: The columns.
        like: A frame of the rows that the models read.
        share: The share of members that has to agree, in (0, 1].

    Returns:
        The model; it has a formula if all members have one.

    Raises:
        ArgumentError: ``share`` is outside (0, 1], or there are no models.
        ModelError: A model is a regressor, or two have different classes.

    Reference:
        Kostrzewa, Zieba, Stefanowski, "Probabilistic consensus" for robust counterfactuals, arXiv 2604.17494: one
        number, the share of an ensemble that must agree, and no retraining.
    """
    if not 0 < share <= 1:
        raise ArgumentError(f"share must lie in (0, 1], got {share}.")
    members = _members(models, schema, like)
    _check_alike(members)
    committee = _Committee(members, members[0].class_index(desired), share)
    return AdaptedModel(
        name=f"the consensus of {len(members)} models ({share:.0%} for {desired!r})",
        fingerprint=fingerprint([member.fingerprint for member in members] + [share, committee.wish]),
        classes=members[0].classes,
        predict=committee.predict,
        judge=committee.judge,
        formula=committee.logits if all(member.differentiable for member in members) else None,
        why_not=next((member.why_not for member in members if not member.differentiable), None),
    )


def with_consensus(explainer: Explainer, models: Sequence[Any], *, desired: Any, share: float = 0.9) -> Explainer:
    """A fitted explainer that searches and judges on the consensus of several models instead of its own.

    The densities p(x|y) are those it has learned; nothing is fitted again. ``answer.valid`` then says whether at least
    ``share`` of the models decide as wished.

    Args:
        explainer: A fitted :class:`~counterflow.CounterfactualExplainer`; it stays as it is.
        models: The members; to include the explainer's own model, name it too.
        desired: The class that answers shall have.
        share: The share of members that has to agree, in (0, 1].

    Raises:
        ModelError: A model is a black box, which cannot be searched by gradients without fitting: give
            :func:`consensus` to a new explainer.
    """
    twin: Any = copy(explainer)
    rows = np.concatenate([rows.numpy() for rows in twin.background_.pool])
    like = TableCodec(twin.schema_).to_frame(rows)
    twin.model_ = consensus(models, desired=desired, schema=twin.schema_, like=like, share=share)
    if not twin.model_.differentiable:
        raise ModelError(f"{twin.model_.name} cannot be searched by gradients: {twin.model_.why_not}")
    return twin


class _Committee:
    """What the members say together."""

    def __init__(self, members: Sequence[AdaptedModel], wish: int, share: float) -> None:
        self.members, self.wish = members, wish
        self.needed = math.ceil(share * len(members) - 1e-9)

    def logits(self, numbers: Tensor) -> Tensor:
        return self._agreed(torch.stack([member.logits(numbers) for member in self.members]))

    def judge(self, frame: Any) -> np.ndarray:
        said = np.stack([member.probabilities(frame) for member in self.members])
        logits = torch.from_numpy(np.log(np.maximum(said, 1e-300)))
        return self._agreed(logits).softmax(-1).numpy()

    def predict(self, frame: Any) -> np.ndarray:
        classes = np.array(self.members[0].classes)
        return classes[self.judge(frame).argmax(1)]

    def _agreed(self, logits: Tensor) -> Tensor:
        others = logits.index_fill(-1, torch.tensor([self.wish]), -torch.inf)
        leads = logits[..., self.wish] - others.amax(-1)
        reached = leads.sort(dim=0, descending=True).values[self.needed - 1]
        mean = others.mean(0)
        lead = (mean.amax(-1) + reached)[:, None]
        return torch.cat((mean[:, : self.wish], lead, mean[:, self.wish + 1 :]), 1)


def _members(models: Sequence[Any], schema: Schema, like: Any) -> list[AdaptedModel]:
    if not models:
        raise ArgumentError("an ensemble needs at least one model, got none.")
    return [adapt(model, schema, like=like) for model in models]


def _check_alike(members: Sequence[AdaptedModel]) -> None:
    for member in members:
        if member.regression:
            raise ModelError(f"{member.name} is a regressor; a consensus is one of classifiers.")
        if member.classes != members[0].classes:
            raise ModelError(
                f"{member.name} has the classes {member.classes}, {members[0].name} has {members[0].classes}: a "
                "consensus needs the same classes in the same order."
            )
