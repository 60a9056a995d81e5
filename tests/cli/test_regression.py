"""A regressor from end to end: fit, explain towards an interval, evaluate, replay, report."""

import csv
import json

import numpy as np
import pytest

from counterflow.cli import main
from counterflow.cli.answers import answer_table
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.tables import read_table, write_table
from tests.cli.conftest import loans, write_csv
from tests.cli.test_bad_input import refused


def priced(rows=240, *, seed=0):
    """Rows of a table whose target is a number."""
    noise = np.random.default_rng(seed + 100).normal(0, 10, rows)
    return [
        {key: value for key, value in row.items() if key != "loan"}
        | {"limit": round(0.3 * row["income"] - 20 * row["accounts"] + 30 * (row["housing"] == "own") + error, 1)}
        for row, error in zip(loans(rows, seed=seed), noise.tolist(), strict=True)
    ]


@pytest.fixture(scope="module")
def fitted(tmp_path_factory, _quick_schooling):
    place = tmp_path_factory.mktemp("regression")
    table = write_csv(place / "limits.csv", priced())
    assert main(["fit", str(table), "--target", "limit", "--protected", "sex", "--out", str(place / "folder")]) == 0
    return place / "folder"


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("rows") / "rows.csv", priced(5, seed=1))


@pytest.fixture(scope="module")
def asked(fitted, few, tmp_path_factory):
    """A table and a JSON file of answers."""
    place = tmp_path_factory.mktemp("asked")
    command = ["explain", fitted, few, "--desired", "270:330", "--count", 2, "--max-changes", 3]
    outputs = ["--out", place / "cfs.csv", "--answer", place / "answer.json"]
    assert main([str(word) for word in [*command, *outputs]]) == 0
    return place / "cfs.csv", place / "answer.json"


def test_fit_says_that_it_trained_a_regressor(run, quick, tmp_path):
    table = write_csv(tmp_path / "limits.csv", priced())
    ended = run("fit", table, "--target", "limit", "--out", "folder")
    assert ended.code == 0, ended.err
    assert "training a ridge regression on 192 of the rows" in ended.err
    for words in ("limit: numbers from", "a ridge regression that counterflow trained itself", "(R^2)"):
        assert words in ended.out


def test_answers_reach_the_interval_by_the_saved_model(fitted, asked):
    from counterflow.estimators import CounterfactualExplainer

    answer = CounterfactualAnswer.from_json(asked[1])
    predicted = CounterfactualExplainer.load(fitted).model_.predict(answer.frame)
    assert set(answer.desired) == {(270.0, 330.0)}
    np.testing.assert_allclose(answer.predicted, predicted, rtol=1e-9)
    np.testing.assert_array_equal(answer.valid, (predicted >= 270) & (predicted <= 330))
    assert answer.valid.mean() >= 0.8


def test_the_table_tells_interval_value_and_repair(asked):
    answer = CounterfactualAnswer.from_json(asked[1])
    with open(asked[0], newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    assert {row["cf_desired"] for row in told} == {"270.0:330.0"}
    np.testing.assert_allclose([float(row["cf_predicted"]) for row in told], answer.predicted, rtol=1e-9)
    assert [row["cf_repaired"].lower() == "true" for row in told] == answer.repaired.tolist()


@pytest.mark.parametrize("form", ["csv", "parquet", "json"])
def test_evaluate_finds_what_was_claimed(run, fitted, asked, form):
    answer = CounterfactualAnswer.from_json(asked[1])
    files = {"csv": asked[0], "json": asked[1]}
    path = files.get(form) or write_table(answer_table(answer), f"cfs.{form}")
    ended = run("evaluate", fitted, path, "--out", "metrics.json")
    assert ended.code == 0, ended.err
    assert "claim of themselves exactly what was found" in ended.out
    with open("metrics.json", encoding="utf-8") as file:
        found = json.load(file)
    for key in answer.metrics().keys() - {"seconds"}:
        value = answer.metrics()[key]
        assert found[key] == pytest.approx(value) if value == value else found[key] is None


def test_evaluate_sees_an_answer_that_misses(run, fitted, asked, tmp_path):
    with open(asked[0], newline="", encoding="utf-8") as file:
        told = list(csv.DictReader(file))
    place = next(place for place, row in enumerate(told) if row["cf_valid"].lower() == "true")
    former = json.loads(told[place]["cf_changed_from"])
    told[place]["cf_changed_from"] = json.dumps(former | {"income": float(told[place]["income"])})
    told[place]["income"] = "100.25"
    ended = run("evaluate", fitted, write_csv(tmp_path / "wrong.csv", told))
    assert ended.code == 0, ended.err
    assert "'valid' in 1" in ended.out


def test_replay_makes_the_same_answer_again(run, fitted, asked):
    ended = run("replay", fitted, asked[1])
    assert (ended.code, "The same: all 10 answers" in ended.out) == (0, True), ended


def test_open_ends_a_report_and_what_is_printed(run, fitted, few, tmp_path):
    pytest.importorskip("matplotlib")
    ended = run("explain", fitted, few, "--desired", "330:", "--out", "a.parquet", "--report", "r.html")
    assert ended.code == 0, ended.err
    assert "(asked for: at least 330)" in ended.out
    assert set(read_table("a.parquet")["cf_desired"]) == {"330.0:"}
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    assert "at least 330" in page
    assert "the model predicts" in page
    assert "the model decides" not in page
    assert run("evaluate", fitted, "a.parquet").code == 0


def test_one_kind_asked_for_the_other(run, fitted, folder, few, asked, explained):
    refused(run("explain", fitted, few, "--desired", "yes", "--out", "c.csv"), "predicts a value", "low:high")
    refused(run("explain", fitted, few, "--desired", "9:1", "--out", "c.csv"), "--desired 9:1", "lower")
    probability = ("--desired", "330:", "--probability", "0.7:")
    refused(run("explain", fitted, few, *probability, "--out", "c.csv"), "has no probabilities")
    refused(run("explain", folder, few, "--desired", "200:", "--out", "c.csv"), "decides classes", "'no', 'yes'")
    refused(run("evaluate", folder, asked[0]), "cfs.csv', cf_desired", "decides classes")
    refused(run("evaluate", fitted, explained.answer), "answer.json', desired", "predicts a value")


def test_a_booster_from_a_file(run, quick, few, tmp_path):
    xgboost = pytest.importorskip("xgboost")
    table = write_csv(tmp_path / "limits.csv", priced())
    frame = read_table(table)
    columns = ["income", "accounts"]
    model = xgboost.XGBRegressor(n_estimators=15, max_depth=3, n_jobs=1).fit(frame[columns], frame["limit"])
    model.save_model("model.json")
    names = ("--target", "limit", "--features", "income,accounts", "--model", "model.json")
    ended = run("fit", table, *names, "--out", "boosted")
    assert ended.code == 0, ended.err
    assert "target's variance in these rows (R^2)" in ended.out
    ended = run("explain", "boosted", few, "--desired", "300:", "--out", "b.json")
    assert ended.code == 0, ended.err
    answer = CounterfactualAnswer.from_json("b.json")
    np.testing.assert_array_equal(answer.valid, model.predict(answer.frame[columns]) >= 300)


def test_models_and_targets_of_two_kinds(run, table, tmp_path):
    (tmp_path / "values.py").write_text(
        "from sklearn.linear_model import LinearRegression\n"
        "model = LinearRegression().fit([[1.0, 2], [2, 3], [4, 1]], [1.0, 2, 3])\n",
        encoding="utf-8",
    )
    asked = ("--features", "income,accounts", "--model", "values:model", "--out", "f")
    refused(run("fit", table, "--target", "loan", *asked), "LinearRegression predicts a value", "'loan' holds")
    refused(run("fit", table, "--target", "loan", "--regression", "--out", "f"), "which is no number")
