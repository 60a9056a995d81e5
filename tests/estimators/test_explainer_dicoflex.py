"""DiCoFlex through the front door: legal and checked answers, several that differ, any black box, and saving."""

from functools import cache

import numpy as np
import pandas as pd
import pytest

from counterflow import Constraints, CounterfactualExplainer, DiCoFlex
from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import DiCoFlexSkill
from counterflow.estimators.methods import config_of, method_from_dict, method_to_dict
from tests.counterfactuals.made import (
    APPROVED,
    REFUSED,
    loan_frame,
    loan_labels,
    loan_model,
    loan_schema,
    refused_rows,
    short_schooling,
)

SMALL = DiCoFlex(neighbors=12, questions=4000, epochs=8, rehearsals=1, bins=10, hidden=(48, 48), width=32, draws=40)


class BlackBox:
    """The loan model's decisions, and nothing else of it."""

    classes_ = loan_model().classes_

    def predict(self, frame):
        """What the model decides."""
        return loan_model().predict(frame)


@cache
def explainer():
    frame = loan_frame()
    found = CounterfactualExplainer(loan_model(), schema=loan_schema(), method=SMALL, random_state=0)
    with short_schooling():
        return found.fit(frame, loan_labels(frame))


def test_answers_are_legal_and_judged_by_the_model_itself():
    rows = refused_rows(30)
    answer = explainer().explain(rows, APPROVED)
    assert answer.kept.all()
    assert answer.valid.mean() > 0.9
    assert (loan_model().predict(answer.frame) == APPROVED).tolist() == answer.valid.tolist()
    assert (answer.frame["sex"] == rows["sex"]).all()
    assert (answer.frame["age"] >= rows["age"]).all()


def test_several_answers_differ_and_are_ranked():
    rows = refused_rows(12)
    answer = explainer().explain(rows, APPROVED, count=4)
    assert len(answer) == 48
    assert answer.kept.all()
    assert RowStatus.REPEATED not in answer.status
    first = answer.distance[answer.index.rank == 0]
    alone = explainer().explain(rows, APPROVED).distance
    np.testing.assert_allclose(first, alone)
    spread = np.stack([answer.numbers[answer.index.rank == k] for k in range(4)])
    assert all(len(np.unique(np.nan_to_num(spread[:, row]), axis=0)) == 4 for row in range(12))


def test_constraints_and_the_exponent_are_free_after_learning():
    rows = refused_rows(20)
    asked = Constraints(immutable=["housing"], ranges={"income": (500, 1500)}, max_changes=3)
    answer = explainer().explain(rows, APPROVED, constraints=asked, norm=0.05)
    assert answer.kept.all()
    assert (answer.frame["housing"] == rows["housing"]).all()


def test_every_direction_is_learned():
    frame = loan_frame(200, 5)
    rows = frame[loan_model().predict(frame) == APPROVED].head(15)
    assert explainer().explain(rows, REFUSED).valid.mean() > 0.8


def test_the_same_question_has_the_same_answer():
    rows = refused_rows(8)
    first, second = (explainer().explain(rows, APPROVED, count=2) for _ in range(2))
    np.testing.assert_array_equal(first.numbers, second.numbers)


def test_saving_keeps_the_flow(tmp_path):
    explainer().save(tmp_path)
    again = CounterfactualExplainer.load(tmp_path, model=loan_model())
    rows = refused_rows(8)
    assert isinstance(again.skill_, DiCoFlexSkill)
    np.testing.assert_array_equal(
        again.explain(rows, APPROVED, count=2).numbers, explainer().explain(rows, APPROVED, count=2).numbers
    )


def test_the_method_goes_by_name():
    assert config_of("dicoflex") == DiCoFlex()
    assert method_from_dict(method_to_dict(SMALL)) == SMALL


def test_a_method_that_learns_needs_a_fit_of_its_own():
    learned = explainer()
    untaught = CounterfactualExplainer(loan_model(), schema=loan_schema(), method="nearest")
    untaught.model_, untaught.schema_, untaught.background_ = learned.model_, learned.schema_, learned.background_
    untaught.labels_from_, untaught.data_fingerprint_, untaught.skill_ = "labels", "", None
    assert untaught.explain(refused_rows(2), APPROVED).kept.all()
    untaught.set_params(method="dicoflex")
    with pytest.raises(ArgumentError, match=r"DiCoFlex learns .* fit again with method='dicoflex'"):
        untaught.explain(refused_rows(2), APPROVED)


def test_a_deadline_that_has_passed_leaves_the_rows():
    rows = refused_rows(5)
    answer = explainer().explain(rows, APPROVED, deadline=1e-9)
    assert set(answer.status) == {RowStatus.OUT_OF_TIME}
    pd.testing.assert_frame_equal(answer.frame, rows)


def test_a_black_box_is_enough():
    frame = loan_frame(500)
    settings = {"schema": loan_schema(), "method": SMALL, "random_state": 0}
    with short_schooling(4):
        found = CounterfactualExplainer(BlackBox(), **settings).fit(frame)
    answer = found.explain(refused_rows(10), APPROVED)
    assert answer.kept.all()
    assert answer.valid.mean() > 0.8
    assert pytest.approx(answer.valid.mean()) == (loan_model().predict(answer.frame) == APPROVED).mean()
