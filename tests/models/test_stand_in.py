"""Stand-ins against the models they stand for, on rows that neither saw, with scikit-learn's trees as black boxes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import make_column_transformer
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.metrics import r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from counterflow import models
from counterflow.core.errors import ModelError
from counterflow.models.made_up import made_up_rows
from counterflow.models.stand_in_net import StandInNet
from counterflow.models.table_features import TableFeatures, standard_units
from counterflow.tables import Schema, TableCodec
from counterflow.tables.grid import Grid
from tests.models.test_table_classifier import SCHEMA, labels_of, table

HOMES = (OneHotEncoder(categories=[["own", "rent", "free"]]), ["home"])
SCHOOLS = (OneHotEncoder(), ["school"])


def black_box(estimator, rows=1500, names=("no", "yes")):
    """A pipeline on mixed columns, adapted, with its rows."""
    frame = table(rows)
    prepare = make_column_transformer(HOMES, SCHOOLS, remainder="passthrough")
    pipeline = make_pipeline(prepare, estimator).fit(frame, labels_of(frame, names))
    codec = TableCodec(SCHEMA)
    return models.adapt(pipeline, SCHEMA, like=frame, codec=codec), frame, codec


@pytest.fixture(scope="module")
def distilled():
    boosting = GradientBoostingClassifier(n_estimators=40, random_state=0)
    model, frame, codec = black_box(boosting)
    given = models.distill(model, SCHEMA, codec.to_numbers(frame), like=frame, codec=codec, questions=6000)
    return model, given, codec


def test_the_stand_in_answers_for_its_model_on_fresh_rows(distilled):
    model, given, codec = distilled
    fresh = table(800, seed=99)
    numbers = torch.from_numpy(codec.to_numbers(fresh))
    ours = given.logits(numbers).softmax(1).detach().numpy()
    theirs = model.probabilities(fresh)
    assert (ours.argmax(1) == theirs.argmax(1)).mean() > 0.93
    assert np.abs(ours - theirs).mean() < 0.05
    assert abs((ours.argmax(1) == theirs.argmax(1)).mean() - given.stand_in_report.agreement) < 0.04
    assert abs(np.abs(ours - theirs).mean() - given.stand_in_report.error) < 0.02


def test_verdicts_stay_the_models_own(distilled):
    model, given, _ = distilled
    fresh = table(50, seed=7)
    assert given.differentiable
    assert given.stand_in
    assert not model.stand_in
    assert given.predict(fresh).tolist() == model.predict(fresh).tolist()
    assert given.probabilities(fresh).tolist() == model.probabilities(fresh).tolist()
    assert (given.name, given.fingerprint, given.classes) == (model.name, model.fingerprint, model.classes)
    assert "no exact conversion" in given.why_not


def test_its_slope_is_that_of_its_values(distilled):
    _, given, codec = distilled
    numbers = torch.from_numpy(codec.to_numbers(table(6, seed=5))).requires_grad_()
    (slope,) = torch.autograd.grad(given.logits(numbers)[:, 1].sum(), numbers)
    step = torch.zeros_like(numbers)
    step[:, 0] = 0.01
    with torch.no_grad():
        found = (given.logits(numbers + step) - given.logits(numbers - step))[:, 1] / 0.02
    torch.testing.assert_close(slope[:, 0], found, rtol=0.05, atol=2e-4)
    assert slope[:, 0].abs().min() > 0


def test_a_model_with_a_formula_needs_none():
    model, _, _ = black_box(GradientBoostingClassifier(n_estimators=2))
    own = dataclasses.replace(model, formula=lambda numbers: numbers[:, :2])
    assert models.distill(own, SCHEMA, np.zeros((1, 5)), like=None) is own


def test_the_same_seed_gives_the_same_stand_in():
    model, frame, codec = black_box(RandomForestClassifier(10, random_state=0), rows=300)
    numbers = codec.to_numbers(frame)

    def logits(seed):
        given = models.distill(model, SCHEMA, numbers, like=frame, codec=codec, questions=600, seed=seed)
        return given.logits(torch.from_numpy(numbers[:5]))

    state = torch.get_rng_state()
    assert torch.equal(logits(3), logits(3))
    assert not torch.equal(logits(3), logits(4))
    assert torch.equal(state, torch.get_rng_state())


def test_a_stand_in_comes_back_from_plain_data_bit_by_bit(distilled, tmp_path):
    from counterflow.persistence import load_folder, save_folder

    model, given, codec = distilled
    config, tensors = models.stand_in_parts(given)
    saved = load_folder(save_folder(tmp_path / "s", "test", config=config, tensors=tensors), "test")
    again = models.restore_stand_in(model, saved.config, schema=SCHEMA, tensors=saved.tensors)
    numbers = torch.from_numpy(codec.to_numbers(table(40, seed=1)))
    assert torch.equal(again.logits(numbers), given.logits(numbers))
    assert again.stand_in_report == given.stand_in_report
    assert again.stand_in


def test_a_model_without_a_stand_in_has_no_parts():
    model, _, _ = black_box(GradientBoostingClassifier(n_estimators=2))
    with pytest.raises(ModelError, match=r"no stand-in that could be saved. Make one with models.distill"):
        models.stand_in_parts(model)


def test_three_classes():
    forest = RandomForestClassifier(30, min_samples_leaf=20, random_state=0)
    model, frame, codec = black_box(forest, names=("a", "b", "c"))
    given = models.distill(model, SCHEMA, codec.to_numbers(frame), like=frame, questions=4000)
    assert given.logits(torch.from_numpy(codec.to_numbers(frame[:3]))).shape == (3, 3)
    assert given.stand_in_report.agreement > 0.85


def test_labels_alone_are_enough():
    _, frame, codec = black_box(GradientBoostingClassifier(n_estimators=2), rows=1200)

    def decide(rows):
        return np.where((rows["income"] > 1000) | (rows["home"] == "own"), "yes", "no")

    model = models.adapt(models.wrap(decide, output="labels", classes=["no", "yes"]), SCHEMA, like=frame)
    given = models.distill(model, SCHEMA, codec.to_numbers(frame), like=frame, questions=4000)
    assert given.stand_in_report.agreement > 0.96


def test_regressors_keep_their_unit():
    frame = table(1200)
    columns = ["income", "accounts", "gain"]
    value = 7000.0 + 50.0 * np.sqrt(frame["income"].clip(lower=1)) + 300.0 * (frame["accounts"] < 0)
    trees = GradientBoostingRegressor(n_estimators=40, random_state=0).fit(frame[columns], value)
    model = models.adapt(trees, SCHEMA, like=frame)
    codec = TableCodec(SCHEMA)
    given = models.distill(model, SCHEMA, codec.to_numbers(frame), like=frame, questions=4000)
    fresh = table(500, seed=8)
    ours = given.logits(torch.from_numpy(codec.to_numbers(fresh)))[:, 0].detach().numpy()
    explained = r2_score(trees.predict(fresh[columns]), ours)
    assert explained > 0.97
    assert abs(explained - given.stand_in_report.agreement) < 0.03
    assert "of the variance of the model's values" in given.stand_in_report.sentence


def test_further_columns_of_the_frame_reach_the_model():
    _, frame, codec = black_box(GradientBoostingClassifier(n_estimators=2), rows=200)
    frame["branch"] = ["north", "south"] * 100

    def decide(rows):
        assert set(rows["branch"]) <= {"north", "south"}
        return np.where(rows["income"] > 1000, "yes", "no")

    model = models.adapt(models.wrap(decide, output="labels", classes=["no", "yes"]), SCHEMA, like=frame)
    assert models.distill(model, SCHEMA, codec.to_numbers(frame), like=frame, questions=400).stand_in


def test_made_up_rows_are_rows_that_a_table_can_hold():
    numbers = torch.from_numpy(TableCodec(SCHEMA).to_numbers(table(300)))
    made, begun = made_up_rows(SCHEMA, numbers, count=2000, generator=torch.Generator().manual_seed(0))
    frame = TableCodec(SCHEMA).to_frame(made.numpy())  # refuses what is no value of a column
    assert frame["accounts"].isin(table(300)["accounts"].unique()).all()
    assert torch.equal(Grid(SCHEMA).snap(made), made)
    changed = (made != numbers[begun]).double().mean(0)
    assert changed.min() > 0.05
    assert changed.max() < 0.75
    assert bool((made.amin(0) >= numbers.amin(0)).all() & (made.amax(0) <= numbers.amax(0)).all())


def test_standard_units_are_those_of_pandas_without_the_codes():
    frame = table(500)
    frame.loc[3, "income"] = np.nan
    numbers = torch.from_numpy(frame[["income", "accounts", "gain"]].to_numpy(float))
    numbers = torch.cat((numbers, torch.zeros(500, 2)), 1)
    center, scale = standard_units(SCHEMA, numbers)
    ordinary = frame["accounts"][~frame["accounts"].isin([-9, -8])]
    np.testing.assert_allclose(center[:2], [frame["income"].mean(), ordinary.mean()])
    np.testing.assert_allclose(scale[:2], [frame["income"].std(ddof=0), ordinary.std(ddof=0)])
    assert (center[3], scale[3]) == (0.0, 1.0)


def test_what_the_network_sees_by_hand():
    numbers = torch.arange(0.0, 17.0, dtype=torch.float64)[:, None]
    schema = Schema((SCHEMA["income"],))
    net = StandInNet.for_table(schema, numbers, outputs=1, hidden=(4,))
    seen = net.encode(torch.tensor([[2.5], [-3.0], [40.0]], dtype=torch.float64))
    units = (torch.tensor([2.5, -3.0, 40.0], dtype=torch.float64) - 8.0) / float(numbers.std(correction=0))
    torch.testing.assert_close(seen[:, 0], torch.asinh(units))
    torch.testing.assert_close(seen[:, 1:].sum(1), torch.tensor([2.5, 0.0, 16.0]).double())  # sixteen segments


def test_codes_enter_as_their_indicator_alone():
    features = TableFeatures(SCHEMA, torch.full((5,), 3.0), torch.full((5,), 2.0))
    rows = torch.tensor([[3.0, -9.0, 0.0, 1.0, 2.0], [5.0, 7.0, 9.0, 0.0, 0.0]], dtype=torch.float64)
    seen = pd.DataFrame(features(rows).numpy()).round(6)
    assert seen.loc[0].tolist() == [0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0, 1]
    assert seen.loc[1].tolist() == [1, 2, 3, 0, 0, 0, 1, 0, 0, 1, 0, 0]
