"""FlowHMM's first example: two normal laws and a uniform one, and a cycle of states with a short cut."""

import itertools
import math

import numpy as np
import pytest
import torch

from counterflow import FlowHMM
from counterflow.hmm import draw_path, forward_filter, viterbi

ROWS = 4000
START = torch.full((3,), 1 / 3, dtype=torch.float64).log()
TRANSITION = torch.tensor([[0, 0.9, 0.1], [0, 0, 1], [1, 0, 0]], dtype=torch.float64).log()


def log_densities(x):
    normals = [
        -((x - mean) ** 2) / 2 / variance - 0.5 * math.log(2 * math.pi * variance)
        for mean, variance in [(11, 2), (16, 3)]
    ]
    with np.errstate(divide="ignore"):
        uniform = np.log(((x >= 16) & (x <= 26)) / 10)
    return np.concatenate([*normals, uniform], 1)


def series(seed):
    generator = torch.Generator().manual_seed(seed)
    states = draw_path(ROWS, log_start=START, log_transition=TRANSITION, generator=generator).numpy()
    rng = np.random.default_rng(seed)
    emitted = [rng.normal(11, 2**0.5, ROWS), rng.normal(16, 3**0.5, ROWS), rng.uniform(16, 26, ROWS)]
    return np.stack(emitted, 1)[np.arange(ROWS), states][:, None], states


@pytest.fixture(scope="module")
def learned():
    X, _ = series(0)
    settings = {"layers": 2, "batch_size": 1000, "learning_rate": 0.02, "max_epochs": 40, "restarts": 1}
    return FlowHMM(3, **settings, random_state=0).fit(X)


def test_it_is_as_good_as_the_law_itself_on_a_fresh_series(learned):
    X, states = series(1)
    law = {"log_start": START, "log_transition": TRANSITION}
    density = torch.from_numpy(log_densities(X))
    assert learned.score(X) == pytest.approx(forward_filter(density, **law).log_predictive.mean().item(), abs=0.03)
    oracle = (viterbi(density, **law).numpy() == states).mean()
    path = learned.predict(X)
    ours = max((np.array(order)[path] == states).mean() for order in itertools.permutations(range(3)))
    assert ours >= oracle - 0.01


def test_emissions_are_those_of_the_law(learned):
    grid = np.linspace(3, 30, 5401)[:, None]
    truth, found = np.exp(log_densities(grid)), np.exp(learned.emission_log_density(grid))
    apart = np.abs(truth[:, :, None] - found[:, None, :]).sum(0) * 0.005 / 2
    best = min(itertools.permutations(range(3)), key=lambda order: apart[range(3), order].sum())
    assert (apart[range(3), best] <= 0.08).all()
    assert learned.transmat_[np.ix_(best, best)] == pytest.approx(TRANSITION.exp().numpy(), abs=0.03)
