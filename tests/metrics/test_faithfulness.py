"""Faithfulness: samples of densities that are known, and distances by a loop."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics import evaluate, langevin_samples, unfaithfulness


def normal_logits(means):
    """Logits of a generative classifier: the log-density of N(m_k, 1) of each class."""

    def logits(x):
        return torch.stack([-0.5 * (x - mean).square().sum(1) for mean in means], 1)

    return logits


def walk(logits, target, *, chains=2000, features=2, **settings):
    box = torch.full((features,), 8.0).double()
    return langevin_samples(
        logits, target, start=torch.zeros(chains, features).double(), lower=-box, upper=box,
        generator=torch.Generator().manual_seed(0), **settings,
    )  # fmt: skip


def test_samples_are_those_of_a_class_that_the_model_knows_as_a_density():
    """With noise sqrt(step) the chain is Langevin's: x <- (1 - e/2) x + sqrt(e) r has variance 1 / (1 - e/4)."""
    step = 0.2
    samples = walk(normal_logits([-1.0, 1.5]), 1, steps=120, step_size=step, noise=step**0.5)
    spread = (1 / (1 - step / 4)) ** 0.5
    np.testing.assert_allclose(samples.mean(0), 1.5, atol=4 * spread / 2000**0.5)
    np.testing.assert_allclose(samples.std(0), spread, rtol=4 / 4000**0.5)


def test_little_noise_finds_what_the_model_likes_best():
    samples = walk(normal_logits([-1.0, 1.5]), 0, chains=5, noise=0.0)
    np.testing.assert_allclose(samples, -1.0, atol=1e-6)


def test_a_linear_model_imagines_the_corner_of_the_box():
    samples = walk(lambda x: torch.stack((-x[:, 0], x[:, 0] - 2 * x[:, 1]), 1), 1, chains=4, noise=0.0)
    np.testing.assert_allclose(samples, [[8.0, -8.0]] * 4)


def test_a_feature_without_a_gradient_stays():
    samples = walk(lambda x: torch.stack((-x[:, 0], x[:, 0]), 1), 1, chains=3, noise=0.5)
    assert (samples[:, 1] == 0).all()


@pytest.mark.parametrize("p", [1, 2, np.inf])
def test_distances_are_those_of_a_loop(p):
    random = np.random.default_rng(0)
    rows, samples, scale = random.normal(size=(5, 3)), random.normal(size=(7, 3)), np.array([1.0, 2.0, 0.5])
    expected = [np.mean([np.linalg.norm((row - sample) / scale, ord=p) for sample in samples]) for row in rows]
    np.testing.assert_allclose(unfaithfulness(rows, samples, scale=scale, p=p), expected, rtol=1e-12)


def test_a_row_that_the_model_imagines_is_more_faithful_than_one_that_it_does_not():
    samples = walk(normal_logits([-1.0, 1.5]), 1, chains=50, noise=0.05).numpy()
    near, far = unfaithfulness(np.array([[1.5, 1.5], [-1.0, -1.0]]), samples)
    assert near < 1.0 < far


def test_evaluate_reports_it_of_valid_answers():
    found = evaluate(valid=np.array([True, False, True]), unfaithfulness=np.array([1.0, 9.0, 2.0]))
    assert found["unfaithfulness_mean"] == 1.5
    assert found["unfaithfulness_median"] == 1.5


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="steps >= 1"):
        walk(normal_logits([0.0]), 0, steps=0)
    with pytest.raises(ShapeError, match=r"samples must have shape \(1 or more, 2\)"):
        unfaithfulness(np.zeros((1, 2)), np.zeros((0, 2)))
