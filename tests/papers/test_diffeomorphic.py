"""Diffeomorphic counterfactuals (Dombrowski et al., 2022) on the digits that scikit-learn bundles: 4 becomes 9.

The paper's figures are of MNIST (see ``experiments/images.py``); here the order must be right and the gap wide: what
the latent space of a flow gives is a 9 to classifiers that had no part in it and to its neighbors, and what the attack
gives is not.
"""

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.svm import SVC
from torch import nn

from counterflow import flows
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import evaluate_images, input_ascent, latent_ascent
from counterflow.training import TrainingSettings, fit, optimise

SOURCE, TARGET, CONFIDENCE = 4, 9, 0.99


def noisy(x, generator):
    return (x + torch.rand(x.shape, generator=generator)) / 17, 0.0


@pytest.fixture(scope="module")
def digits():
    images, labels = load_digits(return_X_y=True)
    x = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8)
    return x[:1400], torch.tensor(labels[:1400]), x[1400:], torch.tensor(labels[1400:])


@pytest.fixture(scope="module")
def flow(digits):
    generator = torch.Generator().manual_seed(0)
    made = flows.glow((1, 8, 8), levels=2, steps=4, hidden=(32, 32), bounds=(0.0, 1.0), generator=generator)
    settings = {"max_epochs": 15, "batch_size": 64, "learning_rate": 2e-3, "clip": 100.0, "compile": False}
    fit(made, digits[0], augment=noisy, generator=generator, progress=False, precision="mixed", **settings)
    return made


def block(inputs, outputs):
    return nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)


@pytest.fixture(scope="module")
def classifier(digits):
    x, labels = digits[:2]
    generator = torch.Generator().manual_seed(1)
    with torch.random.fork_rng():
        torch.manual_seed(1)  # noqa: TID251  layers of torch draw from nowhere else; the state is put back
        net = nn.Sequential(
            *block(1, 32), *block(32, 64), nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def batches(generator):
        for rows in torch.randperm(len(x), generator=generator).split(64):
            yield noisy(x[rows], generator)[0], labels[rows]

    settings = TrainingSettings(max_epochs=20, learning_rate=1e-3, compile=False, progress=False)
    optimise(
        net, lambda net, batch: nn.functional.cross_entropy(net(batch[0]), batch[1]), batches, settings=settings,
        generator=generator,
    )  # fmt: skip
    return net.eval()


@pytest.fixture(scope="module")
def answers(digits, flow, classifier):
    x = (digits[2][digits[3] == SOURCE] + 0.5) / 17
    x = x[classifier(x).argmax(1) == SOURCE]
    settings = {"target": TARGET, "confidence": CONFIDENCE, "max_steps": 500, "clip": (0.0, 1.0)}
    return {
        "latent": latent_ascent(flow, classifier, x, learning_rate=3e-2, **settings),
        "input": input_ascent(classifier, x, learning_rate=1e-1, optimizer="gradient", **settings),
    }


@pytest.fixture(scope="module")
def judged(digits, flow, answers):
    reference = (digits[0] + 0.5) / 17
    svm = SVC(C=5.0).fit(reference.flatten(1), digits[1])
    assert svm.score((digits[2] + 0.5).flatten(1) / 17, digits[3]) > 0.95
    known = {"reference": reference, "labels": digits[1], "models": {"svm": svm}, "densities": {"flow": flow.log_prob}}
    return {name: evaluate_images(answer, TARGET, **known) for name, answer in answers.items()}


def test_both_convince_the_classifier(answers):
    assert len(answers["latent"]) > 30
    for answer in answers.values():
        assert answer.found.double().mean() >= 0.95
        assert (answer.probability[answer.found] >= CONFIDENCE).all()
        assert set(answer.status) <= {RowStatus.FOUND, RowStatus.NOT_VALID}


def test_the_nearest_real_digits_are_of_the_target_class_three_times_as_often(judged):
    shares = {name: one.values["neighbors_pixels"].mean() for name, one in judged.items()}
    assert shares["latent"] >= 3 * max(shares["input"], 0.05)


def test_a_support_vector_machine_agrees_far_more_often(judged):
    assert judged["latent"].difference(judged["input"], "agrees_svm").low >= 0.4


def test_the_flow_finds_them_far_more_plausible(judged):
    plain, attacked = (judged[name].values["log_density_flow"] for name in ("latent", "input"))
    assert sorted(plain)[len(plain) // 2] > sorted(attacked)[len(attacked) // 2] + 50  # nats


def test_what_the_model_saw_is_what_is_given_back(answers, classifier):
    answer = answers["latent"]
    again = classifier(answer.images).softmax(1)[:, TARGET]
    torch.testing.assert_close(again, answer.probability, atol=1e-5, rtol=0)


def test_an_answer_does_not_depend_on_its_company(flow, classifier, answers):
    row = int(answers["latent"].steps.argmin())
    x = answers["latent"].originals[row : row + 1]
    settings = {"target": TARGET, "confidence": CONFIDENCE, "max_steps": 500, "clip": (0.0, 1.0)}
    alone = latent_ascent(flow, classifier, x, learning_rate=3e-2, **settings)
    assert abs(int(alone.steps[0]) - int(answers["latent"].steps[row])) <= 1  # float32: a batch rounds otherwise
    torch.testing.assert_close(alone.images[0], answers["latent"].images[row], atol=5e-2, rtol=0)
