"""Each command from end to end, as a stranger types it."""

import csv
import json

import numpy as np
import pytest

from counterflow.cli.answers import answer_table
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.tables import Schema, read_table, write_table
from tests.cli.conftest import loans, write_csv


def records(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestFit:
    def test_says_what_it_found_and_saves_what_people_read(self, run, quick, table):
        ended = run("fit", table, "--target", "loan", "--protected", "sex", "--out", "folder")
        assert ended.code == 0
        for words in (
            "1 continuous, 1 integer, 2 binary",
            "Protected",
            "'no'",
            "trained itself on 192 rows",
            "witness",
        ):
            assert words in ended.out
        assert "Read 240 rows" in ended.err
        assert "training a logistic regression" in ended.err
        schema = Schema.from_yaml("folder/schema.yaml")
        assert schema.target == "loan"
        assert schema["sex"].protected

    def test_leaves_no_checkpoint(self, folder):
        assert sorted(path.name.partition("-")[0] for path in folder.iterdir()) == [
            "config", "fit.json", "manifest.json", "schema.yaml", "tensors",
        ]  # fmt: skip

    def test_held_out_accuracy_is_that_of_the_saved_model(self, run, quick, table):
        from counterflow.cli.own_models import split_rows
        from counterflow.estimators import CounterfactualExplainer

        ended = run("fit", table, "--target", "loan", "--out", "folder")
        frame, labels = read_table(table), [row["loan"] for row in loans()]
        train, test = split_rows(labels, 0)
        assert set(train) | set(test) == set(range(240))
        assert not set(train) & set(test)
        model = CounterfactualExplainer.load("folder").model_
        right = np.mean(model.predict(frame.iloc[test]) == np.array(labels)[test])
        assert f"decides {right:.1%} of the other 48 rows right" in ended.out

    def test_features_by_name(self, run, quick, table):
        options = ["--features", "income,sex", "--protected", "sex", "--seed", 1]
        assert run("fit", table, "--target", "loan", *options, "--out", "two").code == 0
        assert Schema.from_yaml("two/schema.yaml").names == ("income", "sex")

    def test_an_edited_schema_comes_back(self, run, quick, table, folder):
        schema = Schema.from_yaml(folder / "schema.yaml")
        schema.edit({"accounts": {"direction": "decrease"}}).to_yaml("edited.yaml")
        assert run("fit", table, "--target", "loan", "--schema", "edited.yaml", "--out", "again").code == 0
        assert Schema.from_yaml("again/schema.yaml")["accounts"].direction == "decrease"

    def test_a_users_model_by_name(self, run, quick, table, rows, tmp_path):
        (tmp_path / "users_own_model.py").write_text(
            "import pandas as pd\n"
            "from sklearn.linear_model import LogisticRegression\n"
            "from sklearn.compose import make_column_transformer\n"
            "from sklearn.pipeline import make_pipeline\n"
            "from sklearn.preprocessing import OneHotEncoder, StandardScaler\n"
            f"frame = pd.read_csv({str(table)!r})\n"
            "encode = make_column_transformer((StandardScaler(), ['income', 'accounts']),\n"
            "    (OneHotEncoder(), ['housing', 'sex']))\n"
            "classifier = make_pipeline(encode, LogisticRegression()).fit(frame.drop(columns='loan'), frame['loan'])\n",
            encoding="utf-8",
        )
        spec = "users_own_model:classifier"
        ended = run("fit", table, "--target", "loan", "--model", spec, "--out", "mine")
        assert ended.code == 0, ended.err
        assert "agrees with the target in" in ended.out
        refused = run("explain", "mine", rows, "--desired", "yes", "--out", "cfs.csv")
        assert (refused.code, f"Add --model {spec}" in refused.err) == (2, True)
        assert run("explain", "mine", rows, "--desired", "yes", "--out", "cfs.csv", "--model", spec).code == 0


class TestExplain:
    def test_the_table_holds_the_users_columns_and_ours(self, explained, rows):
        from counterflow.cli.answers import COLUMNS

        out = explained.table
        assert list(records(out)[0]) == [*records(rows)[0], *COLUMNS]
        assert [row["cf_status"] for row in records(out)][-1] == "already_desired"

    def test_rules_are_kept_and_the_factual_can_be_had_back(self, explained, rows):
        factuals = [row for row in records(rows) for _ in range(2)]
        for before, after in zip(factuals, records(explained.table), strict=True):
            assert before["sex"] == after["sex"]
            assert before["accounts"] == after["accounts"]
            back = {**after, **{key: str(value) for key, value in json.loads(after["cf_changed_from"]).items()}}
            assert {key: back[key] for key in before} == before

    def test_shows_changes_and_the_witness_first(self, explained):
        ended = explained.ended
        assert "Row 0, answer 1:" in ended.out
        assert "->" in ended.out
        names = [line.split("  ")[0] for line in ended.out.splitlines()]
        assert names.index("witness share") < names.index("validity")

    def test_both_forms_hold_the_same_answers(self, explained):
        income = [float(row["income"]) for row in records(explained.table)]
        assert CounterfactualAnswer.from_json(explained.answer).frame["income"].tolist() == income

    def test_every_question_reaches_the_explainer(self, run, folder, rows):
        options = [
            "--count", 2, "--increase-only", "income", "--decrease-only", "accounts", "--range", "income=:1500",
            "--allow", "housing=own", "--free", "sex", "--max-changes", 2, "--min-plausibility", 0.2, "--norm", 1,
            "--probability", "0.6:", "--deadline", "1m", "--method", "wachter",
            "--link", "accounts <= 0.01 * income", "--link", "housing = own implies income > 100", "--cost", "income=2",
        ]  # fmt: skip
        ended = run("explain", folder, rows, "--desired", "yes", *options, "--out", "cfs.json")
        assert ended.code == 0, ended.err
        answer = CounterfactualAnswer.from_json("cfs.json")
        assert answer.provenance["method"]["name"] == "wachter"
        assert answer.settings == {
            "probability": [0.6, 1.0],
            "count": 2,
            "constraints": {
                "increase_only": ["income"], "decrease_only": ["accounts"], "ranges": {"income": [None, 1500.0]},
                "max_changes": 2, "allowed": {"housing": ["own"]}, "free": ["sex"], "cost": {"income": 2.0},
                "linked": ["accounts <= 0.01 * income", "housing = own implies income > 100"],
            },
            "min_plausibility": 0.2, "norm": 1.0, "deadline": 60.0, "allow_training_rows": False,
        }  # fmt: skip
        assert len(answer) == 12

    def test_a_report_can_be_read(self, run, folder, rows, tmp_path):
        pytest.importorskip("matplotlib")
        asked = ("explain", folder, rows, "--desired", "yes", "--method", "wachter")
        assert run(*asked, "--out", "a.json", "--report", "r.html").code == 0
        assert CounterfactualAnswer.from_json("a.json").provenance["method"]["name"] == "wachter"
        page = (tmp_path / "r.html").read_text(encoding="utf-8")
        assert page.startswith("<!DOCTYPE html>")
        assert "http://" not in page.replace("http://www.w3.org", "")

    def test_one_row_whose_numbers_look_whole_is_no_less_exact(self, run, folder):
        """A file of one row with an income of 900 holds whole numbers; its answer may hold broken ones."""
        write_csv_row = [{"income": 900, "accounts": 2, "housing": "own", "sex": "f"}]
        write_csv_path = write_csv(folder.parent / "one.csv", write_csv_row)
        assert run("explain", folder, write_csv_path, "--desired", "yes", "--out", "one_cf.json").code == 0
        answer = CounterfactualAnswer.from_json("one_cf.json")
        assert answer.frame["income"].tolist() == answer.numbers[:, 0].tolist()
        assert str(answer.frame["income"].dtype) == "float64"

    def test_nothing_to_search_for(self, run, folder):
        rich = write_csv(folder.parent / "rich.csv", [{"income": 1900.0, "accounts": 0, "housing": "own", "sex": "f"}])
        ended = run("explain", folder, rich, "--desired", "yes", "--out", "rich_cf.csv")
        assert ended.code == 0
        assert "already_desired" in ended.out
        assert "nothing was searched for" in ended.err
        assert run("evaluate", folder, "rich_cf.csv").code == 0


class TestEvaluate:
    @pytest.mark.parametrize("form", ["csv", "parquet", "json"])
    def test_finds_what_was_claimed(self, run, folder, explained, form):
        answer = CounterfactualAnswer.from_json(explained.answer)
        files = {"csv": explained.table, "json": explained.answer}
        path = files.get(form) or write_table(answer_table(answer), f"cfs.{form}")
        ended = run("evaluate", folder, path, "--out", "metrics.json")
        assert ended.code == 0, ended.err
        assert "claim of themselves exactly what was found" in ended.out
        with open("metrics.json", encoding="utf-8") as file:
            found = json.load(file)
        expected = answer.metrics()
        del expected["seconds"]
        assert list(found) == list(expected)
        assert next(iter(found)) == "witness_share"
        for key, value in expected.items():
            assert found[key] == pytest.approx(value) if value == value else found[key] is None

    def test_sees_an_answer_that_was_tampered_with(self, run, folder, explained, tmp_path):
        changed = records(explained.table)
        changed[0] |= {"sex": "m" if changed[0]["sex"] == "f" else "f", "income": "100.0"}
        changed[0]["cf_changed_from"] = json.dumps({"sex": "f" if changed[0]["sex"] == "m" else "m", "income": 900.0})
        ended = run("evaluate", folder, write_csv(tmp_path / "wrong.csv", changed))
        assert ended.code == 0
        assert "'valid' in 1" in ended.out
        assert "'kept' in 1" in ended.out


class TestReplay:
    def test_makes_the_same_answer_again(self, run, folder, explained):
        ended = run("replay", folder, explained.answer)
        assert (ended.code, "The same: all 12 answers" in ended.out) == (0, True)
        assert "Differs" not in ended.err

    def test_says_which_hash_differs_and_ends_with_one(self, run, quick, explained, tmp_path):
        other = write_csv(tmp_path / "other.csv", loans(seed=7))
        assert run("fit", other, "--target", "loan", "--protected", "sex", "--out", "other").code == 0
        ended = run("replay", "other", explained.answer)
        assert ended.code == 1
        for part in ("the model", "the training data", "the schema"):
            assert f"Differs: {part}" in ended.err
        assert "Not the same" in ended.out

    def test_says_which_version_differs(self, run, folder, explained, tmp_path):
        data = json.loads(explained.answer.read_text(encoding="utf-8"))
        data["provenance"]["versions"]["torch"] = "0.0.1"
        (tmp_path / "older.json").write_text(json.dumps(data), encoding="utf-8")
        ended = run("replay", folder, "older.json")
        assert ended.code == 0
        assert "Differs: the version of torch (0.0.1 then" in ended.err


class TestDensity:
    def test_fit_score_sample(self, run, table, tmp_path):
        ended = run("density", "fit", table, "--flow", "linear", "--ignore", "sex", "--out", "density")
        assert ended.code == 0, ended.err
        assert run("density", "score", "density", table, "--out", "scores.csv").code == 0
        scores = [float(row["cf_log_density"]) for row in records(tmp_path / "scores.csv")]
        assert len(scores) == 240
        assert f"{np.mean(scores):.3f} nats" in ended.out
        assert run("density", "sample", "density", "-n", 50, "--out", "drawn.parquet").code == 0
        drawn = read_table("drawn.parquet")
        assert drawn.shape == (50, 4)
        assert set(drawn["housing"]) <= {"own", "rent"}
        assert run("density", "sample", "density", "-n", 50, "--out", "again.parquet").code == 0
        assert read_table("again.parquet").equals(drawn)


def test_the_demo_explains_at_least_fifty_rows(run, quick, tmp_path):
    pytest.importorskip("matplotlib")
    ended = run("demo", "--out", "shown")
    assert ended.code == 0, ended.err
    assert {path.name for path in (tmp_path / "shown").iterdir()} == {
        "report.html", "answer.json", "counterfactuals.csv"
    }  # fmt: skip
    answer = CounterfactualAnswer.from_json("shown/answer.json")
    assert len(answer) >= 50
    assert set(answer.desired) == {"benign"}
    assert answer.valid.all()
    assert answer.kept.all()
    for words in (
        "measurements",
        "malignant",
        "witness share",
        "The model would decide 'benign' for a row like this if",
    ):
        assert words in ended.out + ended.err
