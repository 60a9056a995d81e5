"""The record of all measures of changed images, against scikit-learn, numpy and loops."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from torch import nn

from counterflow import metrics
from counterflow.core.errors import ArgumentError, ModelError, ShapeError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import AscentAnswer, ImageEvaluation, evaluate_images


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    return torch.from_numpy(data.images[:, None] / 16), torch.from_numpy(data.target)


def answered(before, after):
    """A record of 6 images: 4 found, one that failed, one that was as desired."""
    status = (RowStatus.FOUND,) * 4 + (RowStatus.NOT_VALID, RowStatus.ALREADY_DESIRED)
    one = torch.ones(6)
    return AscentAnswer(
        originals=before,
        images=after,
        reconstructions=before + 0.1,
        latents=after,
        original_probability=0 * one,
        original_prediction=0 * one,
        probability=one,
        prediction=one,
        steps=one.long(),
        status=status,
        path=tuple(after[:, None]),
    )


@pytest.fixture(scope="module")
def answer(digits):
    images, labels = digits
    return answered(images[labels == 4][:6], images[labels == 9][:6])


def test_lengths_are_those_of_torch(answer):
    values = evaluate_images(answer).values
    change = (answer.images - answer.originals).flatten(1)
    for name, order in (("l1", 1), ("l2", 2), ("linf", torch.inf)):
        np.testing.assert_allclose(values[name], torch.linalg.vector_norm(change, ord=order, dim=1).numpy())
    np.testing.assert_allclose(values["reconstruction_error"], 0.1)
    assert values["steps"].tolist() == [1.0] * 6
    roughness = metrics.roughness(answer.originals.numpy(), answer.images.numpy())
    np.testing.assert_array_equal(values["roughness"], roughness)


def test_neighbors_are_those_of_a_classifier_in_pixels_and_in_features(answer, digits):
    real, labels = digits
    half = nn.Sequential(nn.AvgPool2d(2), nn.Flatten())
    found = evaluate_images(
        answer, 9, reference=real[200:], labels=labels[200:], features={"half": half}, neighbors=5, batch_size=4
    )
    for name, view in (("pixels", nn.Flatten()), ("half", half)):
        judge = KNeighborsClassifier(5).fit(view(real[200:]), labels[200:])
        expected = judge.predict_proba(view(answer.images))[:, 9]
        np.testing.assert_allclose(found.values[f"neighbors_{name}"], expected)


def test_other_models_are_asked_in_their_own_way(answer, digits):
    real, labels = digits
    machine = SVC().fit(real[200:600].flatten(1), labels[200:600])
    net = nn.Sequential(nn.Dropout(1.0), nn.Flatten(), nn.Linear(64, 10)).double()  # in training mode it sees nothing
    models = {
        "svm": machine,
        "net": net,
        "same": lambda x: net.eval()(x).argmax(1),
        "yes": lambda x: torch.ones(len(x), 1),
    }
    target = torch.tensor([9, 9, 9, 9, 9, 1])
    values = evaluate_images(answer, target, models=models, batch_size=4).values
    said = machine.predict(answer.images.flatten(1))
    np.testing.assert_array_equal(values["agrees_svm"], said == target.numpy())
    np.testing.assert_array_equal(values["agrees_net"], values["agrees_same"])
    assert values["agrees_yes"].tolist() == [False] * 5 + [True]


def test_a_network_is_given_back_as_it_came(answer):
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).double()
    evaluate_images(answer, 9, models={"net": net}, densities={"net": lambda x: net(x)[:, 0].detach()})
    assert net.training
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_densities_before_and_after(answer):
    law = torch.distributions.Independent(torch.distributions.Normal(torch.zeros(1, 8, 8).double(), 1.0), 3)
    values = evaluate_images(answer, densities={"normal": law.log_prob}).values
    np.testing.assert_allclose(values["log_density_normal"], law.log_prob(answer.images).numpy())
    np.testing.assert_allclose(values["log_density_normal_before"], law.log_prob(answer.originals).numpy())


def test_a_summary_counts_the_images_that_were_found(answer):
    found = evaluate_images(answer, 9, models={"yes": lambda x: torch.arange(9, 9 + len(x))})
    summary = found.summary(confidence=0.9)
    assert summary["found"] == metrics.wilson_interval(4, 6, confidence=0.9)
    assert summary["agrees_yes"] == metrics.wilson_interval(1, 4, confidence=0.9)
    assert summary["l2"] == metrics.bootstrap_interval(found.values["l2"][:4], "median", confidence=0.9)
    assert summary["changed_pixels"].value == pytest.approx(found.values["changed_pixels"][:4].mean())


def test_two_methods_are_compared_where_both_found():
    flags = np.array([True, True, False, True, False])
    one = ImageEvaluation(np.array([True] * 4 + [False]), {"agrees": flags, "l2": np.array([3.0, 2, 1, 5, 99])})
    two = ImageEvaluation(np.array([False] + [True] * 4), {"agrees": ~flags, "l2": np.array([99.0, 1, np.nan, 2, 0])})
    assert one.difference(two, "agrees") == metrics.paired_difference(flags[1:4], ~flags[1:4])
    assert one.difference(two, "l2").value == pytest.approx((1 + 3) / 2)
    with pytest.raises(ShapeError, match="must have the same images, got 5 and 1"):
        one.difference(ImageEvaluation(np.array([True]), {}), "l2")


def test_vectors_have_no_roughness():
    vectors = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    assert "roughness" not in evaluate_images(answered(vectors, 2 * vectors)).values


def test_what_is_missing_is_said(answer, digits):
    with pytest.raises(ArgumentError, match="target must be given, got None"):
        evaluate_images(answer, models={"other": nn.Flatten()})
    with pytest.raises(ArgumentError, match="labels must be given, got None"):
        evaluate_images(answer, 9, reference=digits[0])
    with pytest.raises(ModelError, match=r"models\['other'\] must answer classes \(6,\) or logits"):
        evaluate_images(answer, 9, models={"other": lambda x: x})
