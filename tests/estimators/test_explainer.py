"""What an explainer answers: endings, ranks, ranges of probability, frames of every kind, classes, and good manners."""

from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression

from counterflow import PPCEF, Constraints, CounterfactualExplainer, models
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals.copies import RowHashes
from counterflow.models import TableClassifier
from counterflow.tables import TableCodec
from tests.counterfactuals.made import (
    APPROVED,
    REFUSED,
    loan_explainer,
    loan_frame,
    loan_labels,
    loan_model,
    loan_numbers,
    loan_schema,
    refused_rows,
    short_schooling,
    variant,
)

QUICK = PPCEF(max_steps=25, starts=2)
NAMES = loan_schema().names


@pytest.fixture(scope="module")
def quick():
    return variant(loan_explainer(), QUICK)


@pytest.fixture(scope="module")
def rows():
    return refused_rows(10)


@pytest.fixture(scope="module")
def answer(quick, rows):
    return quick.explain(rows, APPROVED)


@pytest.fixture(scope="module")
def iris():
    x, y = load_iris(return_X_y=True)
    model = LogisticRegression(max_iter=1000).fit(x, y)
    with short_schooling(6):
        return CounterfactualExplainer(model, method=QUICK, random_state=0).fit(x), x, y


def test_refused_rows_are_answered(answer, rows):
    assert answer.valid.mean() >= 0.9
    assert set(answer.status) <= {RowStatus.FOUND, RowStatus.VALID_NOT_PLAUSIBLE, RowStatus.NOT_VALID}
    assert (answer.distance[answer.valid] > 0).all()
    assert answer.factual_probability.max() < 0.5
    expected = loan_model().predict_proba(rows)[:, list(loan_model().classes_).index(APPROVED)]
    np.testing.assert_allclose(answer.factual_probability, expected)


def test_the_distance_is_measured_in_deviations(answer):
    """The standard deviation of ordinary values; 1 for a switched label; the Euclidean length."""
    scale = loan_explainer().background_.scale.numpy()
    for before, after, distance in zip(answer.factual_numbers, answer.numbers, answer.distance, strict=True):
        steps = (after - before) / scale
        for place in (0, 6):
            steps[place] = float(after[place] != before[place])
        assert distance == pytest.approx(np.sqrt((steps**2).sum()), rel=1e-9)


def test_rows_that_are_as_desired_already_come_back(quick):
    rows = loan_frame(12, 3)
    accepted = loan_model().predict(rows) == APPROVED
    answer = quick.explain(rows, APPROVED, count=2)
    already = np.array([status is RowStatus.ALREADY_DESIRED for status in answer.status])
    np.testing.assert_array_equal(already, np.repeat(accepted, 2))
    np.testing.assert_array_equal(answer.numbers[already], answer.factual_numbers[already])
    np.testing.assert_array_equal(answer.answered, ~already)
    assert (answer.distance[already] == 0).all()
    assert answer.valid[already].all()


def test_nothing_may_change(quick, rows):
    answer = quick.explain(rows, APPROVED, constraints=Constraints(immutable=NAMES))
    assert set(answer.status) == {RowStatus.NO_LEGAL_CHANGE}
    pd.testing.assert_frame_equal(answer.frame, rows)
    assert answer.sentences()[0] == RowStatus.NO_LEGAL_CHANGE.sentence


def test_ranks_come_in_input_order_and_differ_in_kind(quick):
    rows = refused_rows(5).set_index(pd.Index(list("pqrst"), name="who"))
    answer = quick.explain(rows, APPROVED, count=3)
    assert answer.index.factual.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert answer.index.rank.tolist() == [0, 1, 2] * 5
    assert answer.index.label == [label for label in "pqrst" for _ in range(3)]
    assert answer.frame.index.tolist() == answer.index.label
    first = quick.explain(rows, APPROVED)
    np.testing.assert_array_equal(answer.numbers[::3], first.numbers)
    found = np.array([status is RowStatus.FOUND for status in answer.status]).reshape(5, 3)
    assert found[:, 0].any()
    for row in range(5):
        kinds = {answer.numbers[3 * row + rank].tobytes() for rank in range(3) if found[row, rank]}
        assert len(kinds) == found[row].sum()
    biggest = np.abs((answer.numbers - answer.factual_numbers) / answer.evidence.scale)
    biggest[:, [0, 6]] = answer.numbers[:, [0, 6]] != answer.factual_numbers[:, [0, 6]]
    led = biggest.argmax(1).reshape(5, 3)
    for row in range(5):
        if found[row, 0]:
            column = led[row, 0]
            assert answer.numbers[3 * row + 1, column] == answer.factual_numbers[3 * row, column]


@pytest.mark.parametrize("probability", [(0.7, 1.0), (0.55, 0.65), (0.9, 0.99)])
def test_a_range_of_probability_is_met(quick, rows, probability):
    answer = quick.explain(rows, APPROVED, probability=probability)
    low, high = probability
    place = list(loan_model().classes_).index(APPROVED)
    values = loan_model().predict_proba(answer.frame)[:, place]
    np.testing.assert_allclose(answer.probability, values)
    np.testing.assert_array_equal(answer.valid, (values >= low) & (values <= high))
    assert answer.valid.mean() >= 0.7


def test_a_range_may_be_asked_of_rows_that_are_approved_already(quick):
    fresh = loan_frame(60, 5)
    rows = fresh[loan_model().predict(fresh) == APPROVED].head(8)
    place = list(loan_model().classes_).index(APPROVED)
    before = loan_model().predict_proba(rows)[:, place]
    answer = quick.explain(rows, APPROVED, probability=(0.0, 0.4))
    assert not np.isin(RowStatus.ALREADY_DESIRED, answer.status)
    assert (before > 0.5).all()
    assert answer.valid.mean() >= 0.7
    assert answer.sentences()[0].startswith("The model would give 'approved' a probability between 0 and 0.4")


def test_wishes_may_differ_from_row_to_row(quick):
    rows = loan_frame(8, 31)
    now = loan_model().predict(rows)
    wishes = [REFUSED if label == APPROVED else APPROVED for label in now]
    answer = quick.explain(rows, wishes)
    assert answer.desired == wishes
    assert RowStatus.ALREADY_DESIRED not in answer.status
    assert answer.valid.mean() >= 0.8
    one = quick.explain(rows, pd.Series(wishes))
    np.testing.assert_array_equal(one.numbers, answer.numbers)


def test_a_higher_plausibility_is_reached(quick, rows):
    low, high = (quick.explain(rows, APPROVED, min_plausibility=level) for level in (0.05, 0.6))
    found = np.array([status is RowStatus.FOUND for status in high.status])
    assert found.mean() > 0.5
    assert (high.plausibility[found] >= 0.6).all()
    assert high.plausibility.mean() > low.plausibility.mean()


def test_no_plausibility_is_asked_at_level_zero(quick, rows):
    answer = quick.explain(rows, APPROVED, min_plausibility=0.0)
    assert answer.plausible.all()
    assert answer.witness.all()
    assert RowStatus.VALID_NOT_PLAUSIBLE not in answer.status


def test_the_norm_is_free_at_each_question(rows):
    """An answer that is best under p = 1 changes fewer columns than one under p = 3."""
    explainer = variant(loan_explainer(), PPCEF(max_steps=60, starts=0, sparse=False, cushion=0.0))
    answers = {norm: explainer.explain(rows, APPROVED, norm=norm, min_plausibility=0.0) for norm in (1.0, 3.0)}
    scale = loan_explainer().background_.scale.numpy()
    for norm, answer in answers.items():
        steps = np.abs(answer.numbers - answer.factual_numbers) / scale
        steps[:, [0, 6]] = answer.numbers[:, [0, 6]] != answer.factual_numbers[:, [0, 6]]
        np.testing.assert_allclose(answer.distance, (steps**norm).sum(1) ** (1 / norm), rtol=1e-9)
        assert answer.settings["norm"] == norm

    def largest_share(answer):
        steps = np.abs(answer.numbers - answer.factual_numbers) / scale
        return np.median(steps[answer.valid].max(1) / steps[answer.valid].sum(1))

    assert largest_share(answers[1.0]) > largest_share(answers[3.0])


def test_out_of_time_leaves_legal_rows(rows):
    explainer = variant(loan_explainer(), replace(QUICK, starts=0))
    answer = explainer.explain(rows, APPROVED, deadline=0.0)
    assert set(answer.status) == {RowStatus.OUT_OF_TIME}
    assert answer.kept.all()
    assert not answer.valid.any()
    guided = variant(loan_explainer(), QUICK).explain(rows, APPROVED, deadline=0.0)
    endings = {RowStatus.OUT_OF_TIME, RowStatus.FOUND, RowStatus.VALID_NOT_PLAUSIBLE}
    assert set(guided.status) <= endings
    assert guided.kept.all()


def test_no_answer_is_a_training_row(quick):
    """With few free columns of few values an answer is often a training row; then another one is given."""
    frame = loan_frame()
    known = {tuple(row) for row in loan_numbers()}
    rows = frame[loan_model().predict(frame) == REFUSED].head(20)
    free = Constraints(immutable=[name for name in NAMES if name not in ("age", "accounts", "school", "housing")])
    answer = quick.explain(rows, APPROVED, constraints=free)
    changed = (answer.numbers != answer.factual_numbers).any(1)
    assert not any(tuple(row) in known for row in answer.numbers[changed])


def test_an_answer_that_would_copy_a_training_row_is_refused():
    """The only legal answer is a training row: without leave there is none, with leave it is found."""
    explainer = loan_explainer()
    held = Constraints(immutable=[n for n in NAMES if n != "housing"], allowed={"housing": ["own"]})
    incomes = pd.DataFrame({"income": np.arange(200.0, 3000.0, 10.0)})
    others = refused_rows(1).drop(columns=["income", "housing"]).merge(incomes, how="cross")
    before, after = (others.assign(housing=label)[list(NAMES)] for label in ("free", "own"))
    flips = (loan_model().predict(before) == REFUSED) & (loan_model().predict(after) == APPROVED)
    base, better = (frame[flips].head(1).reset_index(drop=True) for frame in (before, after))
    copied = torch.from_numpy(TableCodec(loan_schema()).to_numbers(better))
    other = variant(explainer, QUICK)
    other.background_ = replace(explainer.background_, copies=RowHashes.of(copied))
    assert not other.explain(base, APPROVED, constraints=held).valid[0]
    allowed = other.explain(base, APPROVED, constraints=held, allow_training_rows=True)
    assert allowed.valid[0]
    pd.testing.assert_frame_equal(allowed.frame, better)


def test_three_classes_and_a_wish_for_each_row(iris):
    explainer, x, _ = iris
    rows = x[[0, 60, 120, 130]]
    now = explainer.model.predict(rows)
    wishes = (now + 1) % 3
    answer = explainer.explain(rows, wishes)
    np.testing.assert_array_equal(explainer.model.predict(answer.frame) == wishes, answer.valid)
    assert answer.valid.mean() >= 0.75
    assert answer.desired == wishes.tolist()
    assert all(type(label) is int for label in answer.desired)
    assert not (answer.frame[:, None] == x[None]).all(-1).any()


def test_arrays_and_frames_give_the_same_answers(iris):
    explainer, x, _ = iris
    rows = x[[55, 70, 110]]
    names = [f"x{k}" for k in range(4)]
    array = explainer.explain(rows, 0)
    assert isinstance(array.frame, np.ndarray)
    assert array.frame.dtype == np.float64
    np.testing.assert_array_equal(array.frame, array.numbers)
    again = explainer.explain(np.asfortranarray(rows), 0)
    np.testing.assert_array_equal(again.numbers, array.numbers)
    assert explainer.schema_.names == tuple(names)


def test_pandas_and_polars_give_the_same_answers(tmp_path, rows):
    """Our own classifier reads any frame, so the same explainer can be asked with both."""
    frame = loan_frame()
    model = TableClassifier.fit(loan_schema(), frame, loan_labels(frame))
    explainer = CounterfactualExplainer.load(loan_explainer().save(tmp_path / "saved"), model=model)
    explainer.method = QUICK
    odd = rows.assign(note=[f"row {k}" for k in range(10)])[["note", *NAMES[::-1]]]
    pandas, polars = explainer.explain(odd, APPROVED), explainer.explain(pl.from_pandas(odd), APPROVED)
    np.testing.assert_array_equal(polars.numbers, pandas.numbers)
    assert isinstance(polars.frame, pl.DataFrame)
    assert polars.frame.columns == list(odd.columns)
    assert polars.frame.to_dicts() == pandas.frame.to_dict("records")
    assert polars.frame["note"].to_list() == odd["note"].tolist()
    assert pandas.frame.dtypes.equals(odd.dtypes)
    assert isinstance(polars.changes(), pl.DataFrame)


def test_a_network_is_given_back_as_it_came():
    """Training flags, which weights want gradients, the weights themselves: all as before, in spite of dropout."""
    frame = loan_frame()
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Dropout(0.5), torch.nn.Linear(16, 2))
    scale = torch.tensor([1.0, 40, 1000, 300, 4, 8, 1, 1])
    with torch.no_grad():
        net[0].weight.normal_(generator=torch.Generator().manual_seed(0)).div_(scale)
        net[3].weight.normal_(generator=torch.Generator().manual_seed(1))
    net[0].bias.requires_grad_(False)
    net[2].eval()
    weights = [parameter.detach().clone() for parameter in net.parameters()]
    wrapped = models.wrap(net, output="logits", classes=[APPROVED, REFUSED])
    explainer = variant(loan_explainer(), QUICK)
    explainer.model = wrapped
    explainer.model_ = models.adapt(wrapped, loan_schema(), like=frame)
    answer = explainer.explain(frame.head(6), APPROVED)
    assert [part.training for part in net] == [True, True, False, True]
    assert [parameter.requires_grad for parameter in net.parameters()] == [True, False, True, True]
    assert all(torch.equal(before, after) for before, after in zip(weights, net.parameters(), strict=True))
    assert all(parameter.grad is None for parameter in net.parameters())
    with torch.no_grad():
        logits = net.eval()(torch.from_numpy(answer.numbers).float())
    np.testing.assert_array_equal(answer.valid, (logits.argmax(1) == 0).numpy())


def test_explaining_is_deterministic_and_fitting_follows_the_seed(quick, rows, answer):
    again = quick.explain(rows, APPROVED)
    np.testing.assert_array_equal(again.numbers, answer.numbers)
    np.testing.assert_array_equal(again.log_density, answer.log_density)
    frame = loan_frame(120)
    made = []
    for seed in (1, 1, 2):
        with short_schooling(1):
            fitted = CounterfactualExplainer(loan_model(), schema=loan_schema(), random_state=seed).fit(frame)
        made.append(fitted.background_.search.calibration[0])
    np.testing.assert_array_equal(made[0], made[1])
    assert made[0].shape != made[2].shape or not np.array_equal(made[0], made[2])


def test_provenance_and_settings(answer):
    made = answer.provenance
    explainer = loan_explainer()
    assert made["model"] == explainer.model_.fingerprint
    assert made["data"] == explainer.data_fingerprint_
    assert made["labels_from"] == "labels"
    assert made["method"]["name"] == "ppcef"
    assert made["method"]["max_steps"] == 25
    assert (made["seed"], made["fit_seed"]) == (3, 3)
    assert set(made["versions"]) >= {"torch", "numpy", "counterflow"}
    assert answer.settings["min_plausibility"] == 0.1
    assert explainer.explain(refused_rows(1), APPROVED, random_state=9, deadline=0.0).provenance["seed"] == 9


def test_fitting_without_labels_asks_the_model(quick):
    frame = loan_frame(120)
    told = []
    with short_schooling(1):
        explainer = CounterfactualExplainer(loan_model(), schema=loan_schema()).fit(frame, tell=told.append)
    assert explainer.labels_from_ == "predictions"
    assert [line.split()[0] for line in told[:2]] == ["Training", "Training"]
    predicted = loan_model().predict(frame)
    held_out = [len(scores) for scores in explainer.background_.search.calibration]
    for label, count in zip(loan_model().classes_, held_out, strict=True):
        assert abs(count - (predicted == label).sum() / 2) <= 1


def test_scikit_learn_manners():
    model = loan_model()
    explainer = CounterfactualExplainer(model, schema=loan_schema(), method=PPCEF(cushion=0.3), random_state=5)
    parameters = explainer.get_params(deep=False)
    given = {"model": model, "schema": loan_schema(), "method": PPCEF(cushion=0.3), "random_state": 5}
    assert parameters == given | {"density": None, "device": "auto"}
    assert repr(CounterfactualExplainer(random_state=5)) == "CounterfactualExplainer(random_state=5)"
    again = explainer.set_params(random_state=6)
    assert again is explainer
    assert again.random_state == 6
    with pytest.raises(NotFittedError):
        explainer.explain(loan_frame(2), APPROVED)
    with pytest.raises(NotFittedError):
        explainer.save("nowhere")


def test_a_clone_borrows_the_same_fitted_model():
    """Clones of an explainer are unfitted; the model is the user's, and stays fitted."""
    copied = clone(loan_explainer())
    assert copied.model is loan_explainer().model
    assert copied.random_state == 3
    assert copied.schema == loan_schema()
    with pytest.raises(NotFittedError):
        copied.explain(loan_frame(2), APPROVED)
