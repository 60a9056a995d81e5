"""Figures by group, counted again row by row."""

import json
from dataclasses import replace

import numpy as np
import pytest

from counterflow.core.errors import ArgumentError
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals import PPCEF
from counterflow.counterfactuals.auditing import FIGURES, audit
from counterflow.metrics import bootstrap_interval, wilson_interval
from tests.counterfactuals.made import APPROVED, loan_explainer, loan_frame, variant


@pytest.fixture(scope="module")
def rows():
    return loan_frame(40, seed=11)


@pytest.fixture(scope="module")
def answer(rows):
    return variant(loan_explainer(), PPCEF(max_steps=20)).explain(rows, APPROVED, count=2)


def test_shares_are_counts_with_wilson_intervals(answer, rows):
    found = audit(answer, rows["sex"].tolist(), column="sex")
    assert {group.group: group.rows for group in found.groups} == rows["sex"].value_counts().to_dict()
    for group in found.groups:
        asked = plausible = valid = 0
        for position in np.flatnonzero(rows["sex"] == group.group):
            mine = answer.index.factual == position
            if any(status is RowStatus.ALREADY_DESIRED for status, own in zip(answer.status, mine, strict=True) if own):
                continue
            asked += 1
            valid += (answer.valid & mine).any()
            plausible += (answer.valid & answer.plausible & mine).any()
        assert group.asked == asked
        assert group.already == wilson_interval(group.rows - asked, group.rows)
        assert group.no_answer == wilson_interval(int(asked - valid), asked)
        assert group.plausible == wilson_interval(int(plausible), asked)


def test_costs_are_those_of_the_best_answer_of_each_row(answer, rows):
    found = audit(answer, ["all"] * len(rows), column="everybody").groups[0]
    costs, changes = [], []
    for position in range(len(rows)):
        own = [i for i in np.flatnonzero(answer.index.factual == position) if answer.valid[i] and answer.answered[i]]
        if own:
            best = min(own, key=lambda i: (not answer.plausible[i], answer.distance[i]))
            costs.append(answer.distance[best])
            before, after = answer.factual_numbers[best], answer.numbers[best]
            changes.append(float(((before != after) & ~(np.isnan(before) & np.isnan(after))).sum()))
    assert len(costs) > 5
    assert found.cost_median == bootstrap_interval(np.array(costs), "median")
    assert found.cost_mean == bootstrap_interval(np.array(costs), "mean")
    assert found.changes_mean.value == pytest.approx(np.mean(changes))


def test_groups_are_ordered_by_size_and_missing_is_one(answer, rows):
    labels = [None if income > 1200 else "b" if age > 60 else "a" for income, age in zip(rows["income"], rows["age"])]  # noqa: B905
    names = [group.group for group in audit(answer, labels, column="x").groups]
    assert set(names) == {"missing", "a", "b"}
    sizes = [group.rows for group in audit(answer, labels, column="x").groups]
    assert sizes == sorted(sizes, reverse=True)


def test_a_group_without_answers_has_no_cost(answer, rows):
    nobody = replace(answer, valid=np.zeros_like(answer.valid))
    group = audit(nobody, ["all"] * len(rows), column="everybody").groups[0]
    assert group.no_answer.value == 1.0
    assert np.isnan(group.cost_median.value)
    assert audit(nobody, ["all"] * len(rows), column="everybody").widest_gap("cost_median") is None


def test_the_widest_gap_names_both_groups(answer, rows):
    found = audit(answer, rows["sex"].tolist(), column="sex")
    low, high = found.widest_gap("cost_mean")
    assert low.cost_mean.value <= high.cost_mean.value
    assert {low.group, high.group} == {"f", "m"}


def test_an_audit_is_plain_data(answer, rows):
    found = audit(answer, rows["sex"].tolist(), column="sex", confidence=0.9)
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["column"] == "sex"
    assert data["confidence"] == 0.9
    assert data["groups"][0]["cost_median"] == list(found.groups[0].cost_median)
    assert set(data["figures"]) == set(FIGURES)


def test_every_row_needs_a_group(answer):
    with pytest.raises(ArgumentError, match="one entry for each of the 40 rows, got 3"):
        audit(answer, ["a"] * 3, column="x")
