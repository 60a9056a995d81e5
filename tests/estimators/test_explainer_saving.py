"""Saved explainers answer as before, and their folders hold no row of the table."""

import json

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.linear_model import LogisticRegression

from counterflow import PPCEF, CounterfactualExplainer
from counterflow.core.errors import ModelError, PersistenceError
from counterflow.models import TableClassifier
from tests.counterfactuals.made import (
    APPROVED,
    loan_explainer,
    loan_frame,
    loan_labels,
    loan_model,
    loan_numbers,
    loan_schema,
    refused_rows,
    short_schooling,
    variant,
)

QUICK = PPCEF(max_steps=10, starts=1, cushion=0.3)
ARRAYS = ("numbers", "valid", "plausible", "plausibility", "log_density", "distance", "witness", "witness_plausibility")


@pytest.fixture(scope="module")
def explainer():
    return variant(loan_explainer(), QUICK)


@pytest.fixture(scope="module")
def folder(explainer, tmp_path_factory):
    return explainer.save(tmp_path_factory.mktemp("saved") / "explainer")


def tensors_of(folder):
    (path,) = folder.glob("*.safetensors")
    return safetensors.torch.load(path.read_bytes())


def test_a_loaded_explainer_answers_bit_for_bit_the_same(explainer, folder):
    again, rows = CounterfactualExplainer.load(folder, model=loan_model()), refused_rows(6)
    first, second = (each.explain(rows, APPROVED, count=2) for each in (explainer, again))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(second, name), getattr(first, name))
    assert second.status == first.status
    assert second.provenance == first.provenance
    assert second.witness_report == first.witness_report
    assert again.method == QUICK
    assert again.get_params(deep=False)["random_state"] == 3


def test_the_folder_holds_no_training_row(folder):
    """No row, and not even one of the debts, whose seventeen digits are those of one person each."""
    numbers, tensors = loan_numbers(), tensors_of(folder)
    debts = numbers[:, 3]
    assert len(np.unique(debts)) == len(debts)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            assert not np.isin(debts, tensor.double().numpy()).any(), name
            assert not np.isin(debts.astype(np.float32), tensor.float().numpy()).any(), name
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    assert not any(row.tobytes() in content for row in numbers)
    assert not any(row.tobytes() in content for row in numbers[:, 2:4])
    assert not any(repr(debt).encode() in content for debt in debts.tolist())


def test_the_check_for_rows_can_fail(folder):
    content = b"".join(path.read_bytes() for path in folder.iterdir())
    pool = tensors_of(folder)["pool.0"][3].numpy()
    assert pool.tobytes() in content


def test_training_rows_are_known_again_after_loading(folder):
    again = CounterfactualExplainer.load(folder, model=loan_model())
    assert again.background_.copies.contains(torch.from_numpy(loan_numbers())).all()


def test_our_own_classifier_is_saved_along(tmp_path):
    frame = loan_frame(150)
    model = TableClassifier.fit(loan_schema(), frame, loan_labels(frame))
    explainer = CounterfactualExplainer(model, schema=loan_schema(), method=QUICK)
    with short_schooling(1):
        explainer.fit(frame, loan_labels(frame))
    again = CounterfactualExplainer.load(explainer.save(tmp_path / "own"))
    rows = frame.head(4)
    np.testing.assert_array_equal(again.model.predict_proba(rows), model.predict_proba(rows))
    assert again.model_.fingerprint == explainer.model_.fingerprint
    np.testing.assert_array_equal(again.explain(rows, APPROVED).numbers, explainer.explain(rows, APPROVED).numbers)


def test_the_users_model_is_not_saved(folder):
    with pytest.raises(PersistenceError, match=r"which is the user's and not saved with it: pass it as model=\."):
        CounterfactualExplainer.load(folder)


def test_a_model_with_other_classes_is_refused(folder):
    frame = loan_frame()
    other = TableClassifier.fit(loan_schema(), frame, np.where(loan_labels(frame) == APPROVED, "yes", "no"))
    with pytest.raises(ModelError, match=r"was made for a model with the classes .*'refused'.*, got one with .*'yes'"):
        CounterfactualExplainer.load(folder, model=other)


def test_another_fingerprint_shows_in_the_provenance(folder):
    """A model with the same classes may be explained: what the answer carries says that it is another one."""
    frame = loan_frame()
    other = TableClassifier.fit(loan_schema(), frame, loan_labels(frame), strength=0.01)
    again = CounterfactualExplainer.load(folder, model=other)
    answer = again.explain(frame.head(1), APPROVED, deadline=0.0)
    (path,) = folder.glob("config-*.json")
    assert answer.provenance["model"] != json.loads(path.read_text())["model"]["fingerprint"]


def copied(folder, target):
    target.mkdir()
    for path in folder.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def test_a_damaged_folder_is_refused(folder, tmp_path):
    broken = copied(folder, tmp_path / "broken")
    (path,) = broken.glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PersistenceError, match="damaged"):
        CounterfactualExplainer.load(broken, model=loan_model())


def test_an_older_format_is_refused(folder, tmp_path):
    older = copied(folder, tmp_path / "older")
    manifest = json.loads((older / "manifest.json").read_text())
    (older / "manifest.json").write_text(json.dumps(manifest | {"format": 0}))
    with pytest.raises(PersistenceError, match="format"):
        CounterfactualExplainer.load(older, model=loan_model())


def test_a_missing_folder_and_another_kind_are_refused(folder, tmp_path):
    with pytest.raises(PersistenceError, match="nowhere"):
        CounterfactualExplainer.load(tmp_path / "nowhere", model=loan_model())
    other = copied(folder, tmp_path / "other")
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps(manifest | {"kind": "density"}))
    with pytest.raises(PersistenceError, match="density"):
        CounterfactualExplainer.load(other, model=loan_model())


def test_a_code_that_one_half_never_saw_can_be_saved_and_answered(tmp_path):
    """A held-out row with a code that the training half lacks has density zero: likelihoods are minus infinity."""
    frame = loan_frame(150)
    frame["accounts"] = frame["accounts"].replace(-9, 4)
    frame.loc[[0], "accounts"] = -9
    numeric = ["income", "debt", "accounts", "gain"]
    schema = loan_schema().without([name for name in loan_schema().names if name not in numeric])
    model = LogisticRegression(max_iter=2000).fit(frame[numeric], loan_labels(frame))
    explainer = CounterfactualExplainer(model, schema=schema, method=QUICK)
    with short_schooling(1):
        explainer.fit(frame[numeric])
    report = explainer.background_.report
    assert -np.inf in (report.log_likelihood, report.search_log_likelihood)
    again = CounterfactualExplainer.load(explainer.save(tmp_path / "rare"), model=model)
    np.testing.assert_equal(vars(again.background_.report), vars(report))
    label = str(model.classes_[0])
    answer = again.explain(frame[numeric].head(3), label)
    assert answer.to_json(tmp_path / "answer.json").exists()
