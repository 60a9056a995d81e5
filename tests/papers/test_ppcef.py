"""PPCEF's objective by hand.

Wielopolski, Furman, Stefanowski, Zieba, "Probabilistically Plausible Counterfactual Explanations with Normalizing
Flows", ECAI 2024, arXiv 2405.17640: for each row on its own

    d(x, x0) + lambda [ max(max_{k != t} p_k(x) + eps - p_t(x), 0) + max(delta - log p(x | t), 0) ]

with the Euclidean distance, lambda = 100, delta the median log-density of real rows of the class, Adam with steps of
0.005 for at most 500 steps. For two classes the paper writes max(1/2 + eps - p_t, 0) with eps = 0.05.
"""

import numpy as np
import pytest
import torch

from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.search import SearchResult
from tests.counterfactuals.toys import (
    LinearModel,
    NormalDensity,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)

ROWS, WEIGHT, EPSILON = 12, 100.0, 0.05


class ThreeClasses:
    """Three linear scores."""

    def __init__(self):
        self.weight = torch.tensor([[1.0, -0.5, 0.2], [0.3, 1.1, -0.4]], dtype=torch.float64)

    def logits(self, numbers):
        return numbers @ self.weight


def toy(model, flows=1):
    numbers = plain_numbers(199) * [2.0, 0.5]
    means = [(0.0, 0.4), (0.1, -0.2)][:flows]
    density = toy_density(plain_schema(), numbers, flows=[NormalDensity(mean) for mean in means])
    factuals = plain_numbers(ROWS, seed=3) * [2.0, 0.5] - [1.0, 0.3]
    return toy_task(plain_schema(), factuals, model, density=density, min_plausibility=0.5)


def captured(monkeypatch, method, task):
    """The first problem that the method gives to the search, its start, its box and its settings."""
    seen = []

    def record(problem, start, box, *, settings, deadline=None):
        seen.append((problem, start, box, settings))
        return SearchResult(start, torch.zeros(len(start), dtype=torch.bool), torch.zeros(len(start), dtype=torch.long))

    monkeypatch.setattr("counterflow.counterfactuals.ppcef.search", record)
    method.find(task)
    return seen[0]


def by_hand(task, x, *, weight, epsilon):
    """The paper's objective, one row and one term at a time, with numpy and the density's own log-probabilities."""
    numbers = x * task.scale
    totals = []
    for row in range(len(x)):
        distance = np.sqrt(sum((x[row, k] - task.factuals[row, k] / task.scale[k]).item() ** 2 for k in range(2)))
        scores = task.model.logits(numbers[row : row + 1])[0].numpy()
        p = np.exp(scores) / np.exp(scores).sum()
        target = task.goal.target[row].item()
        rival = max(p[k] for k in range(len(p)) if k != target)
        validity = max(rival + epsilon - p[target], 0.0)
        label = task.goal.target[row : row + 1]
        hinges = []
        for member in task.density.member_log_densities(numbers[row : row + 1], label):
            delta = task.density.threshold(0.5)[target].item()
            hinges.append(max(delta - member.item(), 0.0))
        totals.append(distance + weight * (validity + np.mean(hinges)))
    return np.array(totals)


@pytest.mark.parametrize("model", [LinearModel([1.0, 2.0], 1.0), ThreeClasses()], ids=["two classes", "three"])
@pytest.mark.parametrize("flows", [1, 2])
def test_the_objective_is_the_papers(monkeypatch, model, flows):
    task = toy(model, flows)
    problem, start, _, settings = captured(monkeypatch, PPCEF(preset="paper"), task)
    generator = torch.Generator().manual_seed(0)
    for spread in (0.0, 0.5, 2.0):
        x = start + spread * torch.randn(start.shape, generator=generator, dtype=torch.float64)
        found = problem(x, torch.arange(ROWS)).total(settings.weight)
        np.testing.assert_allclose(found.numpy(), by_hand(task, x, weight=WEIGHT, epsilon=2 * EPSILON), rtol=1e-9)


def test_the_hinge_of_two_classes_is_twice_the_papers(monkeypatch):
    """max p_other + 2 eps - p_t = 2 (1/2 + eps - p_t): zero at the same rows, twice as steep elsewhere."""
    task = toy(LinearModel([1.0, 2.0], 1.0))
    problem, start, *_ = captured(monkeypatch, PPCEF(preset="paper"), task)
    validity = torch.relu(problem(start, torch.arange(ROWS)).validity)
    p = task.model.logits(task.factuals).softmax(1)[:, 1]
    torch.testing.assert_close(validity, 2 * torch.relu(0.5 + EPSILON - p))


def test_the_gradient_is_that_of_finite_differences(monkeypatch):
    rows = torch.arange(ROWS)
    for settings in (PPCEF(preset="paper"), PPCEF()):
        problem, start, _, chosen = captured(monkeypatch, settings, toy(ThreeClasses(), 2))
        x = (start + 0.37).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, p=problem, w=chosen.weight: p(x, rows).total(w), (x,))


def test_the_published_settings(monkeypatch):
    method = PPCEF(preset="paper")
    problem, start, box, settings = captured(monkeypatch, method, toy(ThreeClasses()))
    assert (settings.weight, settings.learning_rate, settings.max_steps) == (100.0, 0.005, 500)
    assert settings.patience >= settings.max_steps  # no row leaves early, no step is halved
    assert method.norm == 2.0
    assert (box.lower <= start).all()
    assert (start <= box.upper).all()


def test_the_threshold_is_the_median_of_held_out_rows():
    """A plausibility of 1/2 is reached from the held-out score of rank ceil((n + 1)/2) - 1 on, next to it."""
    task = toy(ThreeClasses())
    scores = np.sort(task.density.calibration[1])
    assert len(scores) == 199
    assert PPCEF(preset="paper").aim(task) == 0.5
    assert task.density.threshold(0.5)[1].item() == scores[98]
    assert np.median(scores) == scores[99]


def test_the_default_differs_as_it_says(monkeypatch):
    """Validity in log-odds with a margin of 0.02, the same zero set as the paper's form with that margin."""
    task = toy(LinearModel([1.0, 2.0], 1.0))
    problem, start, _, settings = captured(monkeypatch, PPCEF(), task)
    x = start + torch.linspace(-1, 3, ROWS, dtype=torch.float64)[:, None]
    terms = problem(x, torch.arange(ROWS))
    odds = (x * task.scale) @ task.model.weight - task.model.offset
    torch.testing.assert_close(terms.validity, np.log(0.52 / 0.48) - odds)
    aim = PPCEF().aim(task)
    assert 0.5 < aim < 1
    logs = task.density.member_log_densities(x * task.scale, task.goal.target)
    torch.testing.assert_close(terms.shortfall, task.density.threshold(aim)[1] - logs)
    assert settings.weight == PPCEF().weight


def test_a_search_of_the_published_kind_finds_valid_and_dense_rows():
    """On the toy the optimum is known to be feasible: every row must reach the class and the median density."""
    task = toy(LinearModel([1.0, 2.0], 1.0))
    numbers = PPCEF(preset="paper", learning_rate=0.05, max_steps=100).find(task)
    assert task.goal.met(task.model.logits(numbers)).all()
    score = task.density.log_density(numbers, task.goal.target)
    assert (score >= task.density.threshold(0.5)[1].item()).all()
