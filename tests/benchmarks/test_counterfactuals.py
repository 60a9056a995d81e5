"""The comparison of counterfactual methods, without any training and without the peer."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from benchmarks.counterfactual_page import BEGIN, END, measured, write_measured
from benchmarks.counterfactual_setting import TARGET, Setting, fit_classifier, read_setting, write_setting
from benchmarks.counterfactuals import Judge
from counterflow.tables import Column, Schema

SETTING = Setting("made up", 3, ["income"], ["income", "code"], 2, {"random": 5})


@pytest.fixture(scope="module")
def train():
    random = np.random.default_rng(0)
    income = random.normal(size=200).round(2)
    code = np.where(random.random(200) < 0.5, "1", "None")
    return pd.DataFrame({"income": income, "code": code, TARGET: (income + (code == "1") > 0.5).astype(int)})


def test_a_setting_is_read_as_it_was_written(tmp_path, train):
    write_setting(SETTING, tmp_path / "one", train=train, rows=train.drop(columns=TARGET).head(5))
    setting, again, rows = read_setting(tmp_path / "one")
    assert setting == SETTING
    pd.testing.assert_frame_equal(again, train, check_dtype=False)
    assert rows["code"].tolist() == train["code"].head(5).tolist()  # neither a number nor missing


def test_the_classifier_is_the_same_wherever_it_is_fitted(tmp_path, train):
    write_setting(SETTING, tmp_path, train=train, rows=train.drop(columns=TARGET))
    setting, again, rows = read_setting(tmp_path)
    here, there = fit_classifier(SETTING, train), fit_classifier(setting, again)
    np.testing.assert_allclose(here.predict_proba(rows), there.predict_proba(rows), atol=1e-12)


def test_answers_with_unknown_categories_are_counted_and_left_out():
    judge = Judge.__new__(Judge)
    schema = Schema((Column("income"), Column("code", "categorical", categories=("1", "None"))))
    judge.explainer = type("Fitted", (), {"schema_": schema})()
    frame = pd.DataFrame({"income": [1.5, 2.0, 3.0], "code": ["None", "2", 1]})
    numbers, known = judge._numbers(frame)
    assert known.tolist() == [True, False, True]
    assert numbers.tolist() == [[1.5, 1.0], [3.0, 0.0]]


def seed(coverage, seconds):
    return {"first": {"coverage": coverage}, "all": {"validity": 1.0}, "seconds_per_row": seconds, "rows": 5}


def test_the_page_shows_means_and_half_intervals(tmp_path):
    shares = np.array([0.5, 0.6, 0.7])
    results = {"figures": {"heloc": {"dice-random": [seed(share, 2.0) for share in shares.tolist()]}}}
    text = measured(json.loads(json.dumps(results)))
    half = student.ppf(0.975, 2) * shares.std(ddof=1) / 3**0.5
    assert f"| dice-ml random | 0.60 ± {half:.2f} | – |" in text
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n", encoding="utf-8")
    for _ in range(2):
        write_measured(results, page)
    again = page.read_text(encoding="utf-8")
    assert again.startswith("before\n")
    assert again.endswith(f"{END}\nafter\n")
    assert again.count("dice-ml random") == 1
    assert "old" not in again
