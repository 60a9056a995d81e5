"""Regressors and black boxes: an interval of values, a stand-in to follow, and always the real model's verdict."""

from functools import partial

import numpy as np
import pytest
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LinearRegression

from counterflow import CounterfactualExplainer, flows
from counterflow.bijections import Coupling
from counterflow.core.errors import ArgumentError, DataError, ModelError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import CounterfactualAnswer, ValueGoal
from counterflow.counterfactuals.bins import ValueBins
from counterflow.counterfactuals.recipe_plans import plans_of
from tests.counterfactuals.made import short_schooling


def table(rows=400, seed=0):
    x = np.random.default_rng(seed).normal(size=(rows, 3))
    x[:, 1] += 0.7 * x[:, 0]
    return x, 10 * x[:, 0] + 5 * x[:, 1] + 100


@pytest.fixture(scope="module")
def regressor():
    x, y = table()
    return CounterfactualExplainer(LinearRegression().fit(x, y), random_state=0).fit(x)


def test_bins_hold_about_as_many_rows_each_and_name_themselves():
    values = np.random.default_rng(0).normal(size=1200)
    bins = ValueBins.of(values)
    assert len(bins) == len(bins.names) == 5
    assert np.ptp(np.bincount(bins.labels(values))) <= 1
    assert ValueBins.from_dict(bins.to_dict()) == bins
    assert len(ValueBins.of(values[:150])) == 1


@pytest.mark.parametrize("values", [[-1.0] + [0.0] * 999, [0.0] * 500 + [1.0] * 700, [0.0] * 990 + list(range(1, 211))])
def test_every_bin_has_rows_enough_where_values_are_equal(values):
    bins = ValueBins.of(np.array(values))
    assert np.bincount(bins.labels(np.array(values)), minlength=len(bins)).min() >= 100


def test_a_table_of_few_rows_is_refused():
    x, y = table(19)
    with pytest.raises(DataError, match=r"the table has 19 rows; a density needs at least 20"):
        CounterfactualExplainer(LinearRegression().fit(x, y)).fit(x)


def test_no_probability_can_be_asked_of_a_regressor(regressor):
    with pytest.raises(ModelError, match=r"has no probabilities"):
        regressor.explain(table(2)[0], (105.0, None), probability=(0.5, 1.0))


def test_a_goal_of_values_agrees_with_the_interval_in_words():
    low, high = torch.tensor([0.0, -torch.inf]).double(), torch.tensor([2.0, 1.0]).double()
    goal = ValueGoal.of(
        low, high, values=torch.tensor([5.0, 5.0]).double(), edges=torch.tensor([1.0]).double(), unit=2.0
    )
    for value in np.linspace(-3, 4, 29):
        output = torch.full((2, 1), value, dtype=torch.float64)
        assert goal.met(output).tolist() == [0 <= value <= 2, value <= 1]
        gap = goal.gap(output, margin=0.0)
        assert ((gap <= 0) == goal.met(output)).all()
        outside = max(0.0, -value, value - 2)
        assert max(gap[0].item(), 0.0) == pytest.approx(outside / 2)
    assert goal.target.tolist() == [1, 0]


def test_a_regressor_reaches_the_interval(regressor, tmp_path):
    x, y = table(60, seed=1)
    answer = regressor.explain(x, (105.0, 115.0))
    inside = (y >= 105) & (y <= 115)
    assert [status is RowStatus.ALREADY_DESIRED for status in answer.status] == inside.tolist()
    assert np.mean(answer.valid) >= 0.95
    assert np.mean(answer.plausible[~inside]) >= 0.9
    predicted = regressor.model.predict(answer.frame)
    np.testing.assert_array_equal(answer.valid, (predicted >= 105) & (predicted <= 115))
    assert "predict between 105 and 115" in answer.sentences()[int(np.argmin(inside))]
    answer.to_json(tmp_path / "answer.json")
    again = CounterfactualAnswer.from_json(tmp_path / "answer.json")
    assert again.desired == answer.desired
    assert again.sentences() == answer.sentences()
    assert again.metrics() == answer.metrics()


def test_every_row_has_its_own_interval_and_open_ends(regressor):
    x, y = table(20, seed=2)
    wishes = [(value + 3, None) if k % 2 else (None, value - 3) for k, value in enumerate(y)]
    answer = regressor.explain(x, wishes)
    moved = regressor.model.predict(answer.frame) - y
    assert (moved[1::2] >= 3 - 1e-9)[answer.valid[1::2]].all()
    assert (moved[::2] <= -3 + 1e-9)[answer.valid[::2]].all()
    assert answer.valid.mean() >= 0.9


def test_a_saved_explainer_of_a_regressor_answers_the_same(regressor, tmp_path):
    x, _ = table(5, seed=3)
    regressor.save(tmp_path / "folder")
    loaded = CounterfactualExplainer.load(tmp_path / "folder", regressor.model)
    one, two = (each.explain(x, (None, 95.0)) for each in (regressor, loaded))
    np.testing.assert_array_equal(one.numbers, two.numbers)


def test_the_search_may_use_any_conditional_flow_of_the_engine(tmp_path):
    x, y = table(300)
    model = LinearRegression().fit(x, y)
    explainer = CounterfactualExplainer(model, density=partial(flows.realnvp, layers=2, hidden=(16,)))
    with short_schooling(3):
        explainer.fit(x)
    (flow,) = explainer.background_.search.flows
    assert sum(isinstance(part, Coupling) for part in flow.modules()) == 2
    answer = explainer.explain(x[:3], (None, 90.0))
    explainer.save(tmp_path / "folder")
    loaded = CounterfactualExplainer.load(tmp_path / "folder", model)
    np.testing.assert_array_equal(loaded.explain(x[:3], (None, 90.0)).numbers, answer.numbers)


@pytest.mark.parametrize(
    "density", [(), flows.realnvp(4), lambda features, context_features: 3, flows.realnvp(4, context_features=3)]
)
def test_what_is_no_recipe_of_a_conditional_flow_is_refused(density):
    with pytest.raises(ArgumentError, match="density must"):
        plans_of(density, seed=0)


@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_a_forest_is_explained_by_its_own_verdict(kind, tmp_path):
    x, y = table()
    if kind == "classifier":
        model, desired = RandomForestClassifier(40, random_state=0).fit(x, y > 100), True
    else:
        model, desired = RandomForestRegressor(40, random_state=0).fit(x, y), (103.0, None)
    explainer = CounterfactualExplainer(model, random_state=0).fit(x)
    assert explainer.model_.stand_in
    rows = x[y < 95][:20]
    answer = explainer.explain(rows, desired)
    predicted = model.predict(answer.frame)
    np.testing.assert_array_equal(answer.valid, predicted if kind == "classifier" else predicted >= 103)
    assert answer.valid.mean() >= 0.95
    explainer.save(tmp_path / "folder")
    loaded = CounterfactualExplainer.load(tmp_path / "folder", model)
    np.testing.assert_allclose(loaded.explain(rows[:3], desired).numbers, answer.numbers[:3], rtol=1e-9)
