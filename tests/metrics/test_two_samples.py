"""The classifier two-sample test: scikit-learn's own networks and closed forms as witnesses."""

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neural_network import MLPClassifier

from counterflow import metrics
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.metrics.stacked_classifier import ClassifierSettings, fit_stack


def by_sklearn(x, y):
    """The benchmark's definition, word for word."""
    x, y = ((part - x.mean(0)) / x.std(0, ddof=1) for part in (x, y))
    units = 10 * x.shape[1]
    model = MLPClassifier(hidden_layer_sizes=(units, units), max_iter=10_000, random_state=1)
    labels = np.r_[np.zeros(len(x)), np.ones(len(y))]
    parts = KFold(n_splits=5, shuffle=True, random_state=1)
    return cross_val_score(model, np.r_[x, y].astype(np.float32), labels, cv=parts, scoring="accuracy").mean()


def moons(rng, n):
    angle, radius = rng.uniform(-np.pi / 2, np.pi / 2, n), rng.normal(0.1, 0.01, n)
    side = rng.choice([-1, 1], n)
    return np.stack([side * (radius * np.cos(angle) + 0.25), radius * np.sin(angle)], 1)


def pairs(rng):
    """Two samples each: shifted, of another width, and of another number of modes."""
    n = 1500
    return {
        "shifted": (rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) + [0.6, 0.0]),
        "wider": (rng.normal(size=(n, 1)), rng.normal(size=(n, 1)) * 1.5),
        "one mode": (moons(rng, n), np.abs(moons(rng, n))),
    }


@pytest.mark.parametrize("name", ["shifted", "wider", "one mode"])
def test_the_networks_judge_as_those_of_scikit_learn(name):
    x, y = pairs(np.random.default_rng(0))[name]
    assert metrics.c2st(x, y) == pytest.approx(by_sklearn(x, y), abs=0.015)


def test_equal_distributions_give_one_half():
    rng = np.random.default_rng(1)
    values = [metrics.c2st(rng.normal(size=(500, 2)), rng.normal(size=(500, 2)), random_state=i) for i in range(5)]
    assert np.mean(values) == pytest.approx(0.5, abs=3 * math.sqrt(0.25 / 1000 / 5))


@pytest.mark.parametrize("classifier", ["mlp", "logistic", "boosting"])
def test_shifted_normals_against_the_best_possible_judge(classifier):
    """The likelihood ratio of N(0, I) and N(s, I) is right with the chance Phi(|s| / 2)."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(2000, 2)), rng.normal(size=(2000, 2)) + [1.2, 1.6]
    best = NormalDist().cdf(1.0)
    assert metrics.c2st(x, y, classifier=classifier) == pytest.approx(best, abs=0.02)


def test_the_first_sample_sets_the_scale():
    """A feature 1000 times as large is no harder; a feature that never varies is no obstacle."""
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(400, 2)), rng.normal(size=(400, 2)) + 1.0
    large = np.array([1.0, 1000.0])
    assert metrics.c2st(x * large, y * large) == pytest.approx(metrics.c2st(x, y), abs=1e-3)
    flat_x, flat_y = np.c_[x, np.ones(400)], np.c_[y, np.ones(400)]
    assert metrics.c2st(flat_x, flat_y, hidden=20) == pytest.approx(metrics.c2st(x, y), abs=0.03)


def test_tensors_are_taken_as_arrays_are_and_a_seed_repeats():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(203, 2)), rng.normal(size=(211, 2)) + 1
    assert metrics.c2st(torch.as_tensor(x), torch.as_tensor(y)) == metrics.c2st(x, y)


def test_every_point_is_judged_once_and_by_others():
    train, test = metrics.cross_validation_folds(23, 5, generator=torch.Generator().manual_seed(0))
    assert torch.equal(torch.cat(test).sort().values, torch.arange(23))
    assert train.shape == (5, 18)
    assert all(not set(train[k].tolist()) & set(test[k].tolist()) for k in range(5))


def test_one_step_is_that_of_autograd_and_of_torchs_adam():
    g = torch.Generator().manual_seed(5)
    x, y = torch.randn(50, 3, generator=g), torch.randint(0, 2, (2, 50), generator=g).float()
    stacks = [
        fit_stack(
            x,
            y,
            rows=torch.arange(50).expand(2, -1),
            hidden=4,
            generator=torch.Generator().manual_seed(6),
            settings=ClassifierSettings(max_epochs=epochs, learning_rate=rate, penalty=0.3),
        )
        for epochs, rate in ((1, 0.0), (3, 0.01))
    ]
    parameters = [p.clone().requires_grad_() for p in (*stacks[0].weights, *stacks[0].biases)]
    adam = torch.optim.Adam(parameters, lr=0.01)
    for _ in range(3):
        adam.zero_grad()
        h = x.expand(2, -1, -1)
        for weight, bias in zip(parameters[:2], parameters[3:5], strict=True):
            h = (h @ weight + bias).relu()
        logits = (h @ parameters[2] + parameters[5]).squeeze(-1)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none").mean(1).sum()
        (loss + 0.3 / 100 * sum(p.square().sum() for p in parameters[:3])).backward()
        adam.step()
    for ours, theirs in zip((*stacks[1].weights, *stacks[1].biases), parameters, strict=True):
        torch.testing.assert_close(ours, theirs.detach(), atol=1e-5, rtol=1e-4)


def test_a_network_trains_the_same_whatever_its_neighbors_do():
    """One that is done early leaves; the other goes on as if it had been alone."""
    g = torch.Generator().manual_seed(7)
    x = torch.randn(300, 2, generator=g)
    easy, hard = torch.zeros(300), (x[:, 0] * x[:, 1] > 0).float()
    rows = torch.arange(300).expand(2, -1)
    stack = fit_stack(x, torch.stack([easy, hard]), rows=rows, hidden=20, generator=g)
    told = stack.logits(x) > 0
    assert not told[0].any()
    assert (told[1] == hard.bool()).float().mean() > 0.95


def test_wrong_input_gets_a_sentence():
    x = np.zeros((10, 2))
    with pytest.raises(ShapeError, match="same features, got 2 and 3"):
        metrics.c2st(x, np.zeros((10, 3)))
    with pytest.raises(DataError, match="must be finite"):
        metrics.c2st(x, np.full((10, 2), np.nan))
    with pytest.raises(ArgumentError, match="at least 5 points"):
        metrics.c2st(x, x[:3])
    points, labels, rows, g = torch.zeros(4, 1), torch.zeros(2, 4), torch.zeros(3, 4).long(), torch.Generator()
    with pytest.raises(ShapeError, match="one number of models"):
        fit_stack(points, labels, rows=rows, hidden=2, generator=g)


def test_the_reference_posterior_of_the_two_moons(data_folder):
    """Draws of one posterior among themselves, and moved by a fifth of their deviation."""
    draws = np.load(data_folder / "sbibm" / "two_moons.npz")["reference_posterior"][0]
    x, y = draws[:1200], draws[1200:2400]
    assert metrics.c2st(x, y) == pytest.approx(0.5, abs=0.03)
    moved = y + 0.2 * x.std(0)
    assert metrics.c2st(x, moved) == pytest.approx(by_sklearn(x, moved), abs=0.015)
