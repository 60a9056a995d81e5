"""Consensus of several models, against a count of the members one by one."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from counterflow.core.errors import ArgumentError, ModelError
from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.robustness import consensus, robust_share, with_consensus
from counterflow.tables import Column, Schema
from tests.counterfactuals.made import (
    APPROVED,
    loan_explainer,
    loan_frame,
    loan_labels,
    loan_model,
    refused_rows,
    variant,
)

SCHEMA = Schema((Column("x0"), Column("x1")))


def halves(count=7, classes=2):
    """The same classifier on other halves of a table."""
    random = np.random.default_rng(0)
    x = random.normal(size=(240, 2))
    score = x @ [1.0, 0.8] + random.normal(size=240)
    y = np.array(["no", "maybe", "yes"])[np.digitize(score, [-0.7, 0.7])] if classes == 3 else score > 0
    parts = [random.choice(240, 60, replace=False) for _ in range(count)]
    return x, [LogisticRegression().fit(x[part], y[part]) for part in parts]


@pytest.mark.parametrize("share", [0.5, 0.7, 0.9, 1.0])
@pytest.mark.parametrize(("classes", "wish"), [(2, True), (3, "yes"), (3, "maybe")])
def test_a_consensus_decides_as_wished_where_enough_members_do(share, classes, wish):
    x, models = halves(classes=classes)
    committee = consensus(models, desired=wish, schema=SCHEMA, like=x, share=share)
    votes = np.sum([model.predict(x) == wish for model in models], axis=0)
    expected = votes >= math.ceil(share * len(models) - 1e-9)
    assert ((committee.predict(x) == wish) == expected).all()
    assert 0 < expected.mean() < 1


def test_the_formula_is_what_the_consensus_decides():
    x, models = halves(classes=3)
    committee = consensus(models, desired="yes", schema=SCHEMA, like=x, share=0.8)
    logits = committee.logits(torch.from_numpy(x))
    np.testing.assert_allclose(logits.softmax(1).numpy(), committee.probabilities(x), atol=1e-9)
    assert (np.array(committee.classes)[logits.argmax(1)] == committee.predict(x)).all()


def test_a_greater_share_is_never_easier():
    x, models = halves()
    chances = [
        consensus(models, desired=True, schema=SCHEMA, like=x, share=share).probabilities(x)[:, 1]
        for share in (0.3, 0.6, 0.9)
    ]
    for lesser, greater in pairwise(chances):
        assert (lesser >= greater).all()


def test_a_consensus_of_one_model_is_that_model():
    x, models = halves(count=1)
    committee = consensus(models, desired=True, schema=SCHEMA, like=x)
    np.testing.assert_allclose(committee.probabilities(x), models[0].predict_proba(x), atol=1e-12)


@pytest.fixture(scope="module")
def retrained():
    frame = loan_frame()
    labels = loan_labels(frame)
    random = np.random.default_rng(0)
    models = []
    for _ in range(9):
        part = random.choice(len(frame), 120, replace=False)
        models.append(loan_model().__sklearn_clone__().fit(frame.iloc[part], labels[part]))
    return models


def test_a_search_on_the_consensus_outlives_the_model(retrained):
    explainer = variant(loan_explainer(), PPCEF(max_steps=40))
    rows = refused_rows(16)
    plain = explainer.explain(rows, APPROVED)
    cautious = with_consensus(explainer, retrained, desired=APPROVED, share=1.0).explain(rows, APPROVED)
    assert robust_share(cautious, retrained)[cautious.valid].tolist() == [1.0] * cautious.valid.sum()
    assert cautious.valid.mean() > 0.6
    assert robust_share(plain, retrained)[plain.valid].mean() < 1.0
    assert explainer.model_.name != "with_consensus"
    assert cautious.kept.all()


def test_the_robust_share_counts_models(retrained):
    answer = loan_explainer().explain(refused_rows(5), APPROVED)
    expected = np.mean([model.predict(answer.frame) == APPROVED for model in retrained], axis=0)
    np.testing.assert_allclose(robust_share(answer, retrained), expected)


def test_the_robust_share_of_a_range_of_probability(retrained):
    answer = loan_explainer().explain(refused_rows(5), APPROVED, probability=(0.7, 1.0))
    place = list(retrained[0].classes_).index(APPROVED)
    expected = np.mean([model.predict_proba(answer.frame)[:, place] >= 0.7 for model in retrained], axis=0)
    np.testing.assert_allclose(robust_share(answer, retrained), expected)


def test_wrong_ensembles_are_refused():
    x, models = halves()
    with pytest.raises(ArgumentError, match=r"share must lie in \(0, 1\]"):
        consensus(models, desired=True, schema=SCHEMA, like=x, share=0.0)
    with pytest.raises(ArgumentError, match="at least one model"):
        consensus([], desired=True, schema=SCHEMA, like=x)
    other = LogisticRegression().fit(x, np.where(x[:, 0] > 0, "a", "b"))
    with pytest.raises(ModelError, match="same classes in the same order"):
        consensus([*models, other], desired=True, schema=SCHEMA, like=x)
