"""Answers as records: changes, sentences, metrics, and JSON that gives everything back."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from counterflow import PPCEF, Constraints
from counterflow.core.errors import PersistenceError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import CounterfactualAnswer
from counterflow.counterfactuals.wording import changes_of_row, sentence_of_row
from counterflow.tables import TableCodec
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_frame, loan_schema, variant

ARRAYS = (
    "numbers",
    "factual_numbers",
    "valid",
    "plausible",
    "plausibility",
    "log_density",
    "distance",
    "witness",
    "witness_plausibility",
    "probability",
    "factual_probability",
    "kept",
)


@pytest.fixture(scope="module")
def answer():
    explainer = variant(loan_explainer(), PPCEF(max_steps=20, starts=2))
    rows = loan_frame(8, 41).set_index(pd.Index([f"p{k}" for k in range(8)]))
    asked = Constraints(ranges={"income": (np.int64(100), None)}, allowed={"housing": ["own", "rent"]}, max_changes=4)
    return explainer.explain(rows, APPROVED, count=2, constraints=asked)


def numbers_of(**values):
    usual = {"sex": "f", "age": 28, "income": 800.0, "debt": 200.0, "accounts": 5, "gain": 0.0}
    frame = pd.DataFrame([usual | {"housing": "rent", "school": "trade"} | values])
    return TableCodec(loan_schema()).to_numbers(frame)[0]


def test_changes_against_the_frames(answer):
    """One row for each value that differs, in the user's own values, found by comparing the frames."""
    frame = answer.changes()
    assert frame.columns.tolist() == ["factual", "rank", "feature", "from", "to", "difference"]
    expected = []
    for place, after in enumerate(answer.frame.to_dict("records")):
        factual, rank = divmod(place, 2)
        before = answer.factuals.to_dict("records")[factual]
        expected += [(factual, rank, n, before[n], after[n]) for n in before if before[n] != after[n]]
    found = list(frame[["factual", "rank", "feature", "from", "to"]].itertuples(index=False, name=None))
    assert len(expected) > 5
    assert found == expected
    for _, row in frame.iterrows():
        if row["feature"] in ("housing", "school", "sex"):
            assert np.isnan(row["difference"])
        else:
            assert row["difference"] == pytest.approx(row["to"] - row["from"])


def test_differences_of_labels_and_codes_are_nan():
    before, after = numbers_of(), numbers_of(housing="own", accounts=-9, income=900.0, gain=2.5)
    changes = {name: (old, new, step) for name, old, new, step in changes_of_row(loan_schema(), before, after)}
    assert set(changes) == {"income", "accounts", "gain", "housing"}
    assert changes["income"] == (800, 900, 100.0)
    assert changes["gain"] == (0, 2.5, 2.5)
    assert changes["housing"][:2] == ("rent", "own")
    assert np.isnan(changes["housing"][2])
    assert np.isnan(changes["accounts"][2])
    assert changes_of_row(loan_schema(), before, before) == []


@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (
            RowStatus.FOUND,
            "The model would decide 'approved' for a row like this if income rose by 200 and two accounts were closed.",
        ),
        (
            RowStatus.VALID_NOT_PLAUSIBLE,
            "The model would decide 'approved' for a row like this if income rose by 200 and two accounts were closed; "
            "such a row would be unusual among rows of that class.",
        ),
        (RowStatus.NOT_VALID, RowStatus.NOT_VALID.sentence),
        (RowStatus.OUT_OF_TIME, RowStatus.OUT_OF_TIME.sentence),
        (RowStatus.REPEATED, RowStatus.REPEATED.sentence),
    ],
)
def test_sentences_claim_only_what_is_so(status, sentence):
    before, after = numbers_of(), numbers_of(income=1000.0, accounts=3)
    assert sentence_of_row(loan_schema(), before, after, "approved", status) == sentence


def test_sentences_of_one_three_and_numbered_classes():
    before = numbers_of()
    one = sentence_of_row(loan_schema(), before, numbers_of(accounts=4), 1, RowStatus.FOUND)
    assert one == "The model would decide 1 for a row like this if one account was closed."
    three = numbers_of(income=950.5, housing="own", accounts=4)
    sentence = sentence_of_row(loan_schema(), before, three, True, RowStatus.FOUND)
    parts = "income rose by 150.5, one account was closed and housing changed from 'rent' to 'own'."
    assert sentence == f"The model would decide True for a row like this if {parts}"
    asked = sentence_of_row(loan_schema(), before, three, "yes", RowStatus.FOUND, probability=(0.7, 1.0))
    assert asked.startswith("The model would give 'yes' a probability of at least 0.7 for a row like this if income")


def test_every_answer_has_its_sentence(answer):
    sentences = answer.sentences()
    assert len(sentences) == len(answer) == 16
    for sentence, status in zip(sentences, answer.status, strict=True):
        assert sentence.endswith(".")
        assert ("for a row like this if" in sentence) == (status in (RowStatus.FOUND, RowStatus.VALID_NOT_PLAUSIBLE))


def test_metrics_count_what_was_searched(answer):
    metrics, asked = answer.metrics(), answer.answered
    assert next(iter(metrics)) == "witness_share"
    assert 0 < asked.sum() < len(answer)
    assert metrics["answers"] == asked.sum()
    assert metrics["valid_answers"] == answer.valid[asked].sum()
    assert metrics["validity"] == pytest.approx(answer.valid[asked].mean())
    valid = asked & answer.valid
    assert metrics["witness_share"] == pytest.approx(answer.witness[valid].mean())
    assert metrics["plausible_share"] == pytest.approx(answer.plausible[valid].mean())
    assert metrics["witness_informative"] is answer.witness_report.informative


def same_everything(first, second):
    for name in ARRAYS:
        one, other = getattr(first, name), getattr(second, name)
        np.testing.assert_array_equal(other, one, err_msg=name)
        assert other.dtype == one.dtype, name
    assert second.status == first.status
    assert (second.desired, second.predicted) == (first.desired, first.predicted)
    assert second.schema == first.schema
    assert second.index.label == first.index.label
    np.testing.assert_array_equal(second.index.factual, first.index.factual)
    np.testing.assert_array_equal(second.index.rank, first.index.rank)
    np.testing.assert_equal(vars(second.witness_report), vars(first.witness_report))
    np.testing.assert_equal(vars(second.evidence), vars(first.evidence))
    assert second.provenance == first.provenance
    assert second.sentences() == first.sentences()
    np.testing.assert_equal(second.metrics(), first.metrics())
    pd.testing.assert_frame_equal(second.changes(), first.changes())


def test_json_gives_everything_back(answer, tmp_path):
    path = answer.to_json(tmp_path / "answer.json")
    again = CounterfactualAnswer.from_json(path)
    same_everything(answer, again)
    assert again.frame.to_dict("records") == answer.frame.to_dict("records")
    assert again.factuals.to_dict("records") == answer.factuals.to_dict("records")
    assert again.settings == json.loads(json.dumps(again.settings))
    assert Constraints.from_dict(again.settings["constraints"]) == Constraints(
        ranges={"income": (100, None)}, allowed={"housing": ["own", "rent"]}, max_changes=4
    )


def test_numbers_that_are_not_finite_survive(answer, tmp_path):
    strange = np.array([np.nan, np.inf, -np.inf, *np.linspace(0, 1, 13)])
    report = replace(answer.witness_report, rejection=np.nan, log_likelihood=-np.inf)
    evidence = replace(answer.evidence, factual_log_density=strange, thresholds={"approved": -np.inf})
    odd = replace(answer, log_density=strange, probability=strange, witness_report=report, evidence=evidence)
    path = odd.to_json(tmp_path / "odd.json")
    json.loads(path.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    same_everything(odd, CounterfactualAnswer.from_json(path))


def test_files_that_are_no_answers_are_refused(answer, tmp_path):
    path = answer.to_json(tmp_path / "answer.json")
    data = json.loads(path.read_text())
    cases = {
        "missing.json": (None, "there is no file"),
        "cut.json": (path.read_text()[:500], "damaged or no saved answer"),
        "list.json": ("[1, 2]", "holds no counterfactual answer"),
        "other.json": (json.dumps({"kind": "schema"}), "holds no counterfactual answer"),
        "older.json": (json.dumps(data | {"format": 0}), "has format 0, this version reads 2: explain the rows again"),
    }
    for name, (content, sentence) in cases.items():
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(PersistenceError, match=sentence):
            CounterfactualAnswer.from_json(tmp_path / name)


def test_an_answer_with_a_part_gone_is_refused_in_a_sentence(answer, tmp_path):
    data = json.loads(answer.to_json(tmp_path / "answer.json").read_text())
    del data["witness_report"]
    (tmp_path / "gone.json").write_text(json.dumps(data))
    with pytest.raises(PersistenceError, match="damaged"):
        CounterfactualAnswer.from_json(tmp_path / "gone.json")
