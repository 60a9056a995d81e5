"""Wrong input: exit code 2, one sentence that names what is wrong and what to do, and nothing left behind."""

import csv
import os

import pytest

from counterflow.persistence import manifest
from tests.cli.conftest import loans, write_csv


def refused(ended, *words):
    """Check that a command was refused in one sentence; all that came before it is about the work."""
    assert ended.code == 2, ended
    sentence = ended.err.splitlines()[-1]
    assert sentence.startswith("counterflow: ")
    assert "Traceback" not in ended.err
    for word in words:
        assert word in sentence, sentence


def changed(place: int, **values):
    """The table with other values in one row."""
    rows = loans()
    rows[place] |= values
    return rows


class TestTables:
    def fit(self, run, tmp_path, rows, *options):
        path = write_csv(tmp_path / "t.csv", rows)
        ended = run("fit", path, "--target", "loan", "--out", "folder", *options)
        assert not (tmp_path / "folder").exists()
        return ended

    def test_missing_file(self, run, tmp_path):
        refused(run("fit", "gone.csv", "--target", "loan", "--out", "f"), "no file 'gone.csv'", str(tmp_path))

    def test_empty_file(self, run, tmp_path):
        (tmp_path / "t.csv").write_text("", encoding="utf-8")
        refused(run("fit", "t.csv", "--target", "loan", "--out", "f"), "'t.csv' is empty")

    def test_header_alone(self, run, tmp_path):
        (tmp_path / "t.csv").write_text("income,loan\n", encoding="utf-8")
        refused(run("fit", "t.csv", "--target", "loan", "--out", "f"), "'t.csv' holds no rows below its header")

    def test_another_kind_of_file(self, run, tmp_path):
        (tmp_path / "t.xlsx").write_text("", encoding="utf-8")
        refused(run("fit", "t.xlsx", "--target", "loan", "--out", "f"), "'t.xlsx'", "'.csv'")

    def test_unknown_target(self, run, table):
        refused(run("fit", table, "--target", "laon", "--out", "f"), "no column 'laon'", "Did you mean 'loan'?")

    def test_unknown_column_in_an_option(self, run, table):
        refused(
            run("fit", table, "--target", "loan", "--protected", "sexx", "--out", "f"), "'sexx'", "Did you mean 'sex'?"
        )

    def test_missing_values(self, run, tmp_path):
        ended = self.fit(run, tmp_path, changed(3, income=""))
        refused(ended, "column 'income' has 1 missing values", "--missing atom", "--missing drop")

    def test_infinite_values(self, run, tmp_path):
        refused(self.fit(run, tmp_path, changed(3, income="inf")), "column 'income' holds infinite numbers")

    def test_missing_target(self, run, tmp_path):
        refused(self.fit(run, tmp_path, changed(3, loan="")), "the target 'loan' has 1 missing values")

    def test_one_class(self, run, tmp_path):
        refused(self.fit(run, tmp_path, [{**row, "loan": "no"} for row in loans()]), "one class only, 'no'")

    def test_a_rare_class(self, run, tmp_path):
        refused(self.fit(run, tmp_path, changed(3, loan="maybe")), "class 'maybe' has 1 rows", "at least 20")

    def test_neither_classes_nor_a_number(self, run, tmp_path):
        rows = [{**row, "loan": f"loan {place}"} for place, row in enumerate(loans())]
        refused(self.fit(run, tmp_path, rows), "'loan' has 240 different values that are no numbers", "'loan 0'")

    def test_a_method_that_there_is_not(self, run, table):
        refused(
            run("fit", table, "--target", "loan", "--method", "dicofleks", "--out", "f"), "Did you mean 'dicoflex'?"
        )

    def test_an_identifier(self, run, tmp_path):
        rows = [{**row, "name": f"person {place}"} for place, row in enumerate(loans())]
        refused(self.fit(run, tmp_path, rows), "column 'name'", "identifier", "--ignore")

    def test_a_constant_column(self, run, quick, tmp_path):
        ended = self.fit(run, tmp_path, [{**row, "branch": 7} for row in loans()])
        refused(ended, "column 'branch' is constant", "--ignore")
        assert run("fit", "t.csv", "--target", "loan", "--ignore", "branch,sex", "--out", "folder").code == 0

    def test_a_date(self, run, tmp_path):
        rows = [{**row, "day": f"2024-01-{1 + place % 28:02d}"} for place, row in enumerate(loans())]
        refused(self.fit(run, tmp_path, rows), "column 'day' is of type Date, which is no feature", "--ignore")

    def test_a_feature_that_is_none(self, run, table):
        refused(run("fit", table, "--target", "loan", "--features", "incme", "--out", "f"), "Did you mean 'income'?")

    def test_options_that_a_schema_file_says_already(self, run, table, folder):
        ended = run("fit", table, "--target", "loan", "--schema", folder / "schema.yaml", "--codes=-9", "--out", "f")
        refused(ended, "--codes", "schema.yaml")

    def test_a_schema_that_is_no_schema(self, run, table, tmp_path):
        (tmp_path / "s.yaml").write_text("columns: {income: {kind: contnuous}}", encoding="utf-8")
        ended = run("fit", table, "--target", "loan", "--schema", "s.yaml", "--out", "f")
        refused(ended, "'s.yaml'", "Did you mean 'continuous'?")

    def test_a_schema_with_the_target_among_the_columns(self, run, table, tmp_path):
        (tmp_path / "s.yaml").write_text("columns: {loan: {kind: binary, categories: ['no', 'yes']}}", encoding="utf-8")
        refused(run("fit", table, "--target", "loan", "--schema", "s.yaml", "--out", "f"), "'s.yaml'", "target 'loan'")

    def test_codes_that_are_no_numbers(self, run, table):
        refused(run("fit", table, "--target", "loan", "--codes=a", "--out", "f"), "--codes needs numbers", "'a'")

    def test_out_is_a_file(self, run, table, tmp_path):
        (tmp_path / "f").write_text("mine", encoding="utf-8")
        refused(run("fit", table, "--target", "loan", "--out", "f"), "'f' is a file")
        assert (tmp_path / "f").read_text(encoding="utf-8") == "mine"


class TestModels:
    def fit(self, run, table, spec):
        return run("fit", table, "--target", "loan", "--model", spec, "--out", "f")

    def test_a_file_is_for_later(self, run, table):
        refused(self.fit(run, table, "model.pkl"), "Export it to ONNX, or name a fitted model as module:attribute")

    def test_no_attribute(self, run, table):
        refused(self.fit(run, table, "my_model"), "must be the file of a model or module:attribute")

    def test_no_such_module(self, run, table, tmp_path):
        refused(self.fit(run, table, "no_such_module:model"), "No module named 'no_such_module'", str(tmp_path))

    def test_no_such_attribute(self, run, table):
        refused(self.fit(run, table, "math:pie"), "'math' has no 'pie'", "Did you mean 'pi'?")

    def test_wrong_output_shape(self, run, table, tmp_path):
        (tmp_path / "odd_model.py").write_text(
            "import numpy as np\n"
            "class Odd:\n"
            "    classes_ = np.array(['no', 'yes'])\n"
            "    def predict(self, X): return np.array(['no'] * len(X))\n"
            "    def predict_proba(self, X): return np.ones((len(X), 3)) / 3\n"
            "model = Odd()\n",
            encoding="utf-8",
        )
        refused(self.fit(run, table, "odd_model:model"), "the model Odd must answer", "2 classes, got (", "3)")

    def test_a_module_that_fails(self, run, table, tmp_path):
        (tmp_path / "broken_model.py").write_text("1 / 0\n", encoding="utf-8")
        refused(self.fit(run, table, "broken_model:model"), "importing 'broken_model' failed with ZeroDivisionError")


class TestQuestions:
    def ask(self, run, folder, rows, *options, desired="yes"):
        ended = run("explain", folder, rows, "--desired", desired, "--out", "cfs.csv", *options)
        assert not os.path.exists("cfs.csv")
        return ended

    def test_a_class_that_does_not_exist(self, run, folder, rows):
        refused(self.ask(run, folder, rows, desired="yess"), "no class 'yess'", "'no', 'yes'", "Did you mean 'yes'?")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (["--increase-only", "income", "--decrease-only", "income"], ["'income' may only increase and only"]),
            (["--lock", "income", "--range", "income=0:900"], ["'income' is locked and also named in --range"]),
            (["--lock", "incme"], ["'incme'", "Did you mean 'income'?"]),
            (["--range", "income=5000:0"], ["range of 'income' is empty"]),
            (["--range", "income"], ["'income' must have the form"]),
            (["--range", "income=5"], ["--range income must be low:high"]),
            (["--range", "income=a:b"], ["--range income needs numbers, got 'a'"]),
            (["--range", "housing=own:rent"], ["'housing' is binary and has no range", "--allow"]),
            (["--allow", "housing=castle"], ["'castle' is no category of 'housing'"]),
            (["--allow", "income=5"], ["'income' is continuous and has no categories", "--range"]),
            (["--link", "accounts <= incme"], ["the rule 'accounts <= incme'", "Did you mean 'income'?"]),
            (["--link", "accounts < income"], ["'accounts < income' is no rule between columns", "Write one such as"]),
            (["--cost", "income=dear"], ["--cost income needs numbers, got 'dear'"]),
            (["--cost", "income=0"], ["the cost of 'income' must be a finite factor above 0"]),
            (["--probability", "0.9:0.7"], ["0 <= low < high <= 1"]),
            (["--min-plausibility", "1.5"], ["--min-plausibility must lie in [0, 1)"]),
            (["--max-changes", "0"], ["--max-changes must be a whole number >= 1"]),
            (["--count", "0"], ["count must be at least 1"]),
            (["--norm", "-1"], ["norm must be a finite number above 0"]),
            (["--norm", "inf"], ["--norm", "finite"]),
            (["--deadline", "soon"], ["--deadline must be a time such as 30s"]),
            (["--method", "pcef"], ["'pcef'", "Did you mean 'ppcef'?"]),
            (["--method", "dicoflex"], ["learns when an explainer is fitted", "fit again with --method 'dicoflex'"]),
            (["--report", "r.pdf"], ["'r.pdf' must end in .html"]),
            (["--answer", "gone/a.json"], ["no folder 'gone'"]),
        ],
    )  # fmt: skip
    def test_a_question_that_cannot_be(self, run, folder, rows, options, words):
        refused(self.ask(run, folder, rows, *options), *words)

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ({"housing": "castle"}, ["'housing' holds 'castle' (row 1)", "'own', 'rent'"]),
            ({"income": "much"}, ["column 'income' is numeric, but row 0 holds"]),
            ({"income": ""}, ["column 'income' has missing values (row 1)"]),
            ({"income": "inf"}, ["column 'income' holds infinite numbers (row 1)"]),
            ({"accounts": 2.5}, ["column 'accounts' is integer, but holds 2.5 (row 1)"]),
        ],
    )
    def test_rows_that_do_not_fit(self, run, folder, tmp_path, row, words):
        good = {"income": 900.5, "accounts": 2, "housing": "own", "sex": "f"}
        path = write_csv(tmp_path / "rows.csv", [good, {**good, **row}])
        refused(self.ask(run, folder, path), "rows.csv'", *words)

    def test_a_missing_column(self, run, folder, tmp_path):
        path = write_csv(tmp_path / "rows.csv", [{"incme": 900.5, "accounts": 2, "housing": "own", "sex": "f"}])
        refused(self.ask(run, folder, path), "rows.csv'", "no column 'income'", "Did you mean 'incme'?")

    def test_a_column_that_the_answers_need(self, run, folder, tmp_path):
        row = {"income": 900.5, "accounts": 2, "housing": "own", "sex": "f", "cf_rank": 0}
        refused(self.ask(run, folder, write_csv(tmp_path / "rows.csv", [row])), "'cf_rank'", "Rename or drop it")

    def test_an_output_of_no_known_form(self, run, folder, rows):
        refused(run("explain", folder, rows, "--desired", "yes", "--out", "cfs.xls"), "'cfs.xls' must end in")


class TestFolders:
    @pytest.fixture
    def copy(self, folder, tmp_path):
        path = tmp_path / "copy"
        path.mkdir()
        for file in folder.iterdir():
            (path / file.name).write_bytes(file.read_bytes())
        return path

    def ask(self, run, folder, rows):
        return run("explain", folder, rows, "--desired", "yes", "--out", "cfs.csv")

    def test_no_folder(self, run, rows):
        refused(self.ask(run, "gone", rows), "'gone'")

    def test_a_damaged_folder(self, run, copy, rows):
        tensors = next(copy.glob("tensors-*"))
        tensors.write_bytes(tensors.read_bytes()[:-10])
        refused(self.ask(run, copy, rows), "was changed or cut short")

    @pytest.mark.parametrize(("number", "word"), [(0, "older"), (99, "newer")])
    def test_another_version(self, run, copy, rows, number, word):
        file = copy / manifest.MANIFEST
        file.write_text(
            file.read_text(encoding="utf-8").replace('"format": 1', f'"format": {number}'), encoding="utf-8"
        )
        refused(self.ask(run, copy, rows), word)

    def test_a_folder_of_another_kind(self, run, table, rows):
        assert run("density", "fit", table, "--flow", "linear", "--out", "density").code == 0
        refused(self.ask(run, "density", rows), "density", "explainer")

    def test_answers_that_are_none(self, run, folder, rows, tmp_path):
        refused(run("evaluate", folder, rows), "rows.csv'", "'cf_factual'", "counterflow explain")
        (tmp_path / "a.json").write_text("{}", encoding="utf-8")
        refused(run("evaluate", folder, "a.json"), "'a.json' holds no counterfactual answer")
        refused(run("replay", folder, "a.json"), "'a.json' holds no counterfactual answer")
        refused(run("replay", folder, "gone.json"), "no file 'gone.json'")

    @pytest.mark.parametrize("text", ['{"incme": 1}', '{"housing": "castle"}', '{"income": "much"}', "[]", "income"])
    def test_answers_that_were_edited(self, run, folder, explained, tmp_path, text):
        with explained.table.open(newline="", encoding="utf-8") as file:
            answers = list(csv.DictReader(file))
        answers[2]["cf_changed_from"] = text
        refused(run("evaluate", folder, write_csv(tmp_path / "cfs.csv", answers)), "cfs.csv', row 2", "changed")


class TestFullDisk:
    """The old output is intact, and nothing half-written lies beside it."""

    @pytest.fixture
    def full(self, monkeypatch):
        def fill() -> None:
            def refuse(*_: object, **__: object) -> None:
                raise OSError(28, "No space left on device")

            monkeypatch.setattr(os, "replace", refuse)

        return fill

    @pytest.mark.parametrize("name", ["cfs.csv", "cfs.parquet", "cfs.json"])
    def test_answers(self, run, full, folder, rows, tmp_path, name):
        (tmp_path / name).write_text("old", encoding="utf-8")
        full()
        ended = run("explain", folder, rows, "--desired", "yes", "--out", name)
        refused(ended, f"'{name}'", "No space left on device", "unchanged")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        assert (tmp_path / name).read_text(encoding="utf-8") == "old"

    def test_fit(self, run, quick, full, table, tmp_path):
        full()
        refused(run("fit", table, "--target", "loan", "--out", "f"), "No space left on device")
        assert list(tmp_path.iterdir()) == []

    def test_fit_over_an_older_fit(self, run, quick, full, table, folder):
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        full()
        refused(run("fit", table, "--target", "loan", "--out", folder), "No space left on device")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
