"""Paths: every row legal, both ends as given, and the widest of all orders by brute force."""

from itertools import permutations

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.paths import PathSettings, RecoursePath, find_path, recourse_path
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_frame, loan_model, variant
from tests.counterfactuals.toys import (
    LinearModel,
    NormalDensity,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)


def plain_task(factual, **settings):
    columns = np.shape(factual)[1]
    schema = plain_schema(columns)
    density = toy_density(schema, plain_numbers(400, columns), flows=[NormalDensity((-0.3, 0.4))])
    return toy_task(schema, factual, LinearModel([1.0] * columns, 1.0), density=density, **settings)


def mixed_task(factual):
    density = toy_density(mixed_schema(), mixed_numbers(300))
    return toy_task(mixed_schema(), factual, LinearModel([0.4, 0.3, 0.2, 0.5, 0.6], 1.5), density=density)


def scores(task, rows):
    """The largest p-value among both classes."""
    each = []
    for label in (0, 1):
        labels = torch.full((len(rows),), label)
        each.append(task.density.plausibility(task.density.log_density(rows, labels), labels))
    return np.max(each, axis=0)


def test_whole_columns_in_the_best_of_all_orders():
    """Brute force over all 24 orders of four columns; no change is longer than a stride."""
    factual = np.array([[-1.6, 1.5, -0.2, 0.9]])
    answer = torch.tensor([[0.2, -0.4, 1.4, 0.1]], dtype=torch.float64)
    task = plain_task(factual)
    path = find_path(task, answer, settings=PathSettings(stride=10.0, beam=10_000))
    worst = []
    for order in permutations(range(4)):
        rows = [torch.from_numpy(factual[0])]
        for column in order:
            rows.append(torch.where(torch.arange(4) == column, answer[0], rows[-1]))
        worst.append(scores(task, torch.stack(rows[1:-1])).min())
    assert len(path) == 4
    assert path.least_plausibility == pytest.approx(max(worst), abs=1e-12)
    assert max(worst) > min(worst)


def test_ends_are_given_and_every_row_between_is_legal():
    random = np.random.default_rng(0)
    for seed in range(6):
        factual = mixed_numbers(1, seed=seed)
        task = mixed_task(factual)
        answer = task.rules.project(torch.from_numpy(mixed_numbers(40, seed=100 + seed)[random.integers(40)][None]))
        path = find_path(task, answer)
        rows = torch.from_numpy(path.numbers)
        many = task.of_rows(torch.zeros(len(rows), dtype=torch.long))
        np.testing.assert_array_equal(path.numbers[0], factual[0])
        np.testing.assert_array_equal(path.numbers[-1], answer[0].numpy())
        assert many.rules.violations(rows) == [[] for _ in rows]
        np.testing.assert_allclose(path.plausibility, scores(many, rows), atol=1e-12)
        assert path.met.tolist() == many.goal.met(many.verdict(rows)).tolist()


def test_each_step_makes_one_part_of_one_change():
    task = plain_task(np.array([[-2.0, 0.0, 0.0]]))
    answer = torch.tensor([[1.0, 0.5, 0.0]], dtype=torch.float64)
    path = find_path(task, answer, settings=PathSettings(stride=1.0))
    steps = np.abs(np.diff(path.numbers, axis=0)) / task.scale.numpy()
    assert ((steps > 0).sum(1) == 1).all()
    assert steps.max() <= 1.0 + 1e-9
    assert len(path) > 2


def test_a_wider_beam_is_never_worse():
    factual = plain_numbers(1, 6, seed=3) * 1.5
    answer = torch.from_numpy(plain_numbers(1, 6, seed=4))
    found = [find_path(plain_task(factual), answer, settings=PathSettings(beam=beam)) for beam in (1, 8, 512)]
    least = [path.least_plausibility for path in found]
    assert least == sorted(least)


def test_a_single_change_is_a_single_step():
    task = plain_task(np.array([[0.5, 0.0]]))
    path = find_path(task, torch.tensor([[1.2, 0.0]], dtype=torch.float64))
    assert len(path) == 1
    assert path.least_plausibility == path.plausibility.min()


def test_sentences_name_each_step():
    numbers = np.array([[0.0, 3.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 0.0, 0.0], [0.0, 5.0, 0.0, 2.0, 0.0]])
    met = np.array([False, False, True])
    path = RecoursePath(mixed_schema(), numbers, np.array([0.5, 0.25, 0.75]), np.zeros(3), met)
    first, second = path.sentences()
    assert first.startswith("Step 1: ")
    assert first.endswith("(plausibility 0.25; the model decides as before).")
    assert second.endswith("(plausibility 0.75; the model decides as wished).")


def test_wrong_settings_are_refused():
    with pytest.raises(ArgumentError, match="stride must be above 0"):
        PathSettings(stride=0.0)
    with pytest.raises(ArgumentError, match="beam must be at least 1"):
        PathSettings(beam=0)
    with pytest.raises(ArgumentError, match="a path starts from one row, got a task of 2"):
        find_path(plain_task(np.zeros((2, 2))), torch.zeros(1, 2).double())


@pytest.fixture(scope="module")
def answered():
    explainer = variant(loan_explainer(), PPCEF(max_steps=20))
    return explainer, explainer.explain(loan_frame(8, seed=4), APPROVED)


def test_a_path_to_each_answer_of_an_explainer(answered):
    explainer, answer = answered
    for row in range(len(answer)):
        path = recourse_path(explainer, answer, row=row)
        np.testing.assert_array_equal(path.numbers[0], answer.factual_numbers[row])
        np.testing.assert_array_equal(path.numbers[-1], answer.numbers[row])
        assert bool(path.met[-1]) == bool(answer.valid[row])
        assert path.probability[-1] == pytest.approx(answer.probability[row])
        frame = answer.factuals.iloc[[row]]
        assert bool(path.met[0]) == (loan_model().predict(frame)[0] == APPROVED)


def test_a_row_that_does_not_change_has_no_step(answered):
    explainer, answer = answered
    still = np.flatnonzero((answer.numbers == answer.factual_numbers).all(1))
    assert len(still)
    path = recourse_path(explainer, answer, row=int(still[0]))
    assert len(path) == 0
    assert path.sentences() == []


def test_there_are_no_paths_to_answers_that_are_not_there(answered):
    with pytest.raises(ArgumentError, match="one of the 8 answers, got 8"):
        recourse_path(*answered, row=8)
