"""Reasons: they add up, are exact for linear models, and agree with Shapley's formula by brute force."""

import copy
import math
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, DataError
from counterflow.counterfactuals import PPCEF, CounterfactualAnswer, ValueGoal, principal_reasons
from counterflow.counterfactuals.reasons import Attribution, Reasons, attribute
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_frame, loan_model, variant
from tests.counterfactuals.toys import (
    LinearModel,
    mixed_numbers,
    mixed_schema,
    plain_numbers,
    plain_schema,
    toy_density,
    toy_task,
)


class Curved:
    """Two classes by a score with interactions, so that the order of columns matters."""

    def score(self, x):
        return x[:, 0] * x[:, 1] + 0.7 * x[:, 1] * x[:, 2] - x[:, 0].square() + 0.3 * x[:, 3]

    def logits(self, numbers):
        score = self.score(numbers)
        return torch.stack((torch.zeros_like(score), score), 1)


def task_of(model, factuals, pool, **settings):
    schema = plain_schema(np.shape(factuals)[1])
    density = toy_density(schema, plain_numbers(120, np.shape(factuals)[1]))
    return toy_task(schema, factuals, model, density=density, pool=pool, **settings)


def shapley(value, row, guide):
    """Shapley's formula, subset by subset."""
    columns = range(len(row))
    result = []
    for j in columns:
        others = [k for k in columns if k != j]
        total = 0.0
        for size in range(len(others) + 1):
            weight = math.factorial(size) * math.factorial(len(row) - size - 1) / math.factorial(len(row))
            for chosen in combinations(others, size):
                without = [row[k] if k in chosen else guide[k] for k in columns]
                with_j = [row[k] if k in (*chosen, j) else guide[k] for k in columns]
                total += weight * (value(with_j) - value(without))
        result.append(total)
    return result


@pytest.mark.parametrize("pairs", [1, 7, 32])
def test_contributions_add_up_to_the_difference(pairs):
    factuals, pool = plain_numbers(9, 4, seed=1), plain_numbers(60, 4, seed=2)
    found = attribute(task_of(Curved(), factuals, pool), pairs=pairs)
    np.testing.assert_allclose(found.contributions.sum(1), found.lead - found.expected, atol=1e-12)
    np.testing.assert_allclose(found.lead, Curved().score(torch.from_numpy(factuals)).numpy(), atol=1e-12)


def test_a_linear_model_has_exact_reasons():
    """Closed form: weight times the distance to the mean of the rows compared with; no error is left."""
    weight = [1.0, -2.0, 0.5]
    factuals, pool = plain_numbers(6, 3, seed=3), plain_numbers(40, 3, seed=4)
    task = task_of(LinearModel(weight, 0.2), factuals, pool)
    accepted = pool[pool @ weight > 0.2][:32]
    found = attribute(task)
    np.testing.assert_allclose(found.contributions, (factuals - accepted.mean(0)) * weight, atol=1e-12)
    np.testing.assert_allclose(found.expected, (accepted @ weight - 0.2).mean(), atol=1e-12)


def test_estimates_agree_with_shapleys_formula_within_their_errors():
    factuals, pool = plain_numbers(3, 4, seed=5), plain_numbers(400, 4, seed=6)
    task = task_of(Curved(), factuals, pool)
    model = Curved()
    accepted = pool[model.score(torch.from_numpy(pool)).numpy() > 0][:60]
    found = attribute(task, pairs=60)

    def value(row):
        return float(model.score(torch.tensor([row], dtype=torch.float64)))

    for row in range(3):
        exact = np.mean([shapley(value, factuals[row], guide) for guide in accepted], axis=0)
        assert (np.abs(found.contributions[row] - exact) <= 4 * found.errors[row]).all()
        assert (found.errors[row] > 0).all()


def test_the_same_seed_gives_the_same_reasons_whoever_stands_beside():
    factuals, pool = plain_numbers(5, 4, seed=7), plain_numbers(50, 4, seed=8)
    together = attribute(task_of(Curved(), factuals, pool), pairs=8)
    alone = [attribute(task_of(Curved(), row[None], pool), pairs=8) for row in factuals]
    np.testing.assert_allclose(together.contributions, np.concatenate([one.contributions for one in alone]), atol=1e-12)
    other = attribute(task_of(Curved(), factuals, pool), pairs=8, seed=1)
    assert (other.contributions != together.contributions).any()


def test_mixed_columns_with_codes_add_up_too():
    model = LinearModel([0.4, 0.3, 0.2, 0.5, 0.6], 1.5)
    density = toy_density(mixed_schema(), mixed_numbers(200))
    task = toy_task(mixed_schema(), mixed_numbers(8, 1), model, density=density, pool=mixed_numbers(50, 2))
    found = attribute(task)
    np.testing.assert_allclose(found.contributions.sum(1), found.lead - found.expected, atol=1e-12)


def test_a_range_of_probability_has_reasons_of_its_own():
    factuals, pool = plain_numbers(4, 3, seed=3), plain_numbers(80, 3, seed=4)
    found = attribute(task_of(LinearModel([1.0, -2.0, 0.5], 0.2), factuals, pool, probability=(0.7, 1.0)))
    score = factuals @ [1.0, -2.0, 0.5] - 0.2
    np.testing.assert_allclose(found.lead, score - math.log(0.7 / 0.3), atol=1e-9)


def test_a_regressor_has_reasons_too():
    """Closed form: the way to an open interval is linear in a linear value, in spreads of the values."""

    class Value:
        def logits(self, numbers):
            return (numbers @ torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64))[:, None]

    factuals, pool = plain_numbers(5, 3, seed=3) - 2.0, plain_numbers(40, 3, seed=4)
    task = task_of(Value(), factuals, pool)
    low = torch.full((5,), 1.0, dtype=torch.float64)
    values = Value().logits(task.factuals)[:, 0]
    edges = torch.tensor([-9.0], dtype=torch.float64)
    goal = ValueGoal.of(low, torch.full_like(low, torch.inf), values=values, edges=edges, unit=2.0)
    found = attribute(replace(task, goal=goal))
    accepted = pool[pool @ [1.0, -2.0, 0.5] >= 1.0][:32]
    expected = (factuals - accepted.mean(0)) * [1.0, -2.0, 0.5] / 2.0
    np.testing.assert_allclose(found.contributions, expected, atol=1e-12)
    np.testing.assert_allclose(found.lead, (values.numpy() - 1.0) / 2.0, atol=1e-12)


def reasons(met, most=4):
    schema = mixed_schema()
    numbers = np.array([[-3.5, -9.0, 0.0, 1.0, 2.0]])
    parts = np.array([[-1.0, -3.0, 0.5, -2.0, 0.0]])
    part = Attribution(np.array([-1.0]), np.array([4.5]), parts, np.abs(parts) / 10, np.array([met]))
    return Reasons(schema, numbers, ["yes"], part, most=most)


def test_reasons_are_the_strongest_against_a_refusal():
    assert [reason.feature for reason in reasons(met=False)[0]] == ["count", "label", "money"]
    assert reasons(met=False)[0][0].error == pytest.approx(0.3)
    assert reasons(met=False, most=2).sentences() == [
        "The factors that moved this decision most away from 'yes' were count (-9) and label (b)."
    ]


def test_reasons_are_the_strongest_for_an_acceptance():
    assert reasons(met=True).sentences() == ["The factor that moved this decision most toward 'yes' was zero (0)."]


def test_wrong_settings_are_refused():
    task = task_of(LinearModel([1.0, 0.0], 0.0), np.zeros((1, 2)), None)
    with pytest.raises(DataError, match="no plausible rows of the wished class"):
        attribute(task)
    with pytest.raises(ArgumentError, match="pairs must be at least 1"):
        attribute(task, pairs=0)
    with pytest.raises(ArgumentError, match="number of reasons must be at least 1"):
        reasons(met=True, most=0)


@pytest.fixture(scope="module")
def answered():
    explainer = variant(loan_explainer(), PPCEF(max_steps=10))
    return explainer, explainer.explain(loan_frame(9, seed=4), APPROVED, count=2)


def test_an_answer_gives_the_reasons_of_each_row_asked_about(answered):
    _, answer = answered
    found = answer.reasons(k=2)
    assert len(found) == 9
    assert found.attribution.met.tolist() == (loan_model().predict(answer.factuals) == APPROVED).tolist()
    chance = loan_model().predict_proba(answer.factuals)[:, list(loan_model().classes_).index(APPROVED)]
    np.testing.assert_allclose(found.attribution.lead, np.log(chance / (1 - chance)), atol=1e-6)
    for row in range(9):
        assert len(found[row]) <= 2
        signs = {np.sign(reason.contribution) for reason in found[row]}
        assert signs <= {1.0 if found.attribution.met[row] else -1.0}
        assert [reason.value for reason in found[row] if reason.feature == "income"] in (
            [],
            [answer.factuals["income"][row]],
        )


def test_reasons_need_no_search(answered):
    explainer, answer = answered
    found = principal_reasons(explainer, answer.factuals, desired=APPROVED, k=2)
    np.testing.assert_array_equal(found.attribution.contributions, answer.reasons().attribution.contributions)
    assert found.sentences() == answer.reasons(k=2).sentences()


def test_a_saved_answer_knows_no_model(answered, tmp_path):
    _, answer = answered
    for other in (CounterfactualAnswer.from_json(answer.to_json(tmp_path / "answer.json")), copy.copy(answer)):
        assert other.reasoning is None
        with pytest.raises(ArgumentError, match="read from a file, which holds no model"):
            other.reasons()
