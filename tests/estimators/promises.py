"""Random questions about random rows, and a check of the three promises that shares no code with the library."""

from collections import Counter

import numpy as np
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from counterflow import PPCEF, Constraints
from counterflow.core.outcomes import RowStatus
from counterflow.counterfactuals.baselines import GrowingSpheres, Nearest
from counterflow.tables import TableCodec
from tests.counterfactuals.made import (
    APPROVED,
    HOUSING,
    REFUSED,
    SCHOOL,
    loan_explainer,
    loan_frame,
    loan_model,
    loan_numbers,
    loan_schema,
    variant,
)

ROWS, CASES = 16, 32
TRIED: list[int] = []
ENDINGS: Counter[str] = Counter()
NAMES = ("sex", "age", "income", "debt", "accounts", "gain", "housing", "school")
BOUNDS = {"age": (18, 90), "income": (0, np.inf), "debt": (0, np.inf), "accounts": (0, 20), "gain": (0, np.inf)}
DECIMALS = {"age": 0, "income": 1, "accounts": 0, "gain": 2}
LABELS = {"sex": ("f", "m"), "housing": HOUSING, "school": SCHOOL}
RANGES = {
    "age": [(30, 60), (None, 45)],
    "income": [(500, 1500), (None, 1200.5)],
    "debt": [(100, 350.5), (200, None)],
    "accounts": [(0, 6), (2, 2)],
    "gain": [(1, 20), (None, 8)],
    "school": [("trade", "degree"), (None, "college")],
}
METHODS = (
    PPCEF(max_steps=6, starts=1),
    PPCEF(max_steps=4, starts=2, sparse=False),
    PPCEF(preset="paper", learning_rate=0.3, max_steps=5),
    Nearest(tried=16),
    GrowingSpheres(draws=30, layers=5),
)


@st.composite
def constraints(draw):
    """Constraints without contradiction, as plain data."""
    asked = {"immutable": [], "increase_only": [], "decrease_only": [], "ranges": {}, "allowed": {}, "free": []}
    for name in NAMES:
        choice = draw(
            st.sampled_from(["none", "none", "immutable", "increase_only", "decrease_only", "narrow", "free"])
        )
        if choice == "immutable":
            asked["immutable"].append(name)
        elif choice == "free" and name == "sex":
            asked["free"].append(name)
        elif choice.endswith("only") and name not in ("housing", "age"):
            asked[choice].append(name)
        elif choice == "narrow" and name in RANGES:
            asked["ranges"][name] = draw(st.sampled_from(RANGES[name]))
        elif choice == "narrow" and name == "housing":
            asked["allowed"][name] = draw(st.lists(st.sampled_from(HOUSING), min_size=1, unique=True))
    return asked | {"max_changes": draw(st.sampled_from([None, None, 1, 2, 4]))}


questions = st.fixed_dictionaries(
    {
        "probability": st.sampled_from([None, None, (0.7, 1.0), (0.4, 0.6)]),
        "count": st.sampled_from([1, 1, 1, 1, 2, 3]),
        "min_plausibility": st.sampled_from([0.1, 0.0, 0.5]),
        "norm": st.sampled_from([None, 0.5, 2.0]),
    }
)


def strange_rows(seed):
    """Fresh rows, some with values that a changed row could not take: off the grid, or beyond the bounds."""
    rows = loan_frame(ROWS, seed)
    random = np.random.default_rng([seed, 1])
    rows.loc[random.random(ROWS) < 0.15, "income"] = 987.654321
    rows.loc[random.random(ROWS) < 0.1, "accounts"] = 25
    rows.loc[random.random(ROWS) < 0.1, "age"] = 95
    rows.loc[random.random(ROWS) < 0.1, "debt"] = -5.5
    return rows


def nothing_asked(**settings):
    """Constraints that ask nothing but what is named."""
    asked = {"immutable": [], "increase_only": [], "decrease_only": [], "ranges": {}, "allowed": {}, "free": []}
    return asked | {"max_changes": None} | settings


def broken(asked, before, after):
    """Which words of the schema and the constraints a changed row breaks, in the user's own values."""
    found = []
    changed = [name for name in before if before[name] != after[name]]
    if asked["max_changes"] is not None and len(changed) > asked["max_changes"]:
        found.append("too many changes")
    for name in changed:
        old, new = before[name], after[name]
        if name in asked["immutable"] or (name == "sex" and name not in asked["free"]):
            found.append(f"{name} is held")
        if name in LABELS:
            order = LABELS[name]
            if new not in order or new not in asked["allowed"].get(name, order):
                found.append(f"{name} became {new}")
                continue
            old, new, place = order.index(old), order.index(new), order.index
        else:
            place = float
            low, high = BOUNDS[name]
            if -9 in (old, new) and name == "accounts":
                found.append(f"{name} touched its code")
            elif not low <= new <= high or (name in DECIMALS and new != round(float(new), DECIMALS[name])):
                found.append(f"{name} is {new}")
        up = name in asked["increase_only"] or name == "age"
        if (up and new < old) or (name in asked["decrease_only"] and new > old):
            found.append(f"{name} went the wrong way")
        low, high = asked["ranges"].get(name, (None, None))
        if (low is not None and new < place(low)) or (high is not None and new > place(high)):
            found.append(f"{name} left its range")
    return found


def scores(density, numbers, labels, pool):
    """The flows' log-densities averaged over the fixed draws with scipy, then pooled."""
    context = torch.eye(density.classes, dtype=torch.float64)[labels]
    draws = [density.encoding.encode(torch.from_numpy(numbers), noise[0]) for noise in density.noise]
    with torch.no_grad():
        logs = [[(flow(u, context) + weight).numpy() for u, weight in draws] for flow in density.flows]
    return pool(np.array([logsumexp(member, axis=0) - np.log(len(draws)) for member in logs]))


def lowest(members):
    return members.min(axis=0)


def mixture(members):
    return logsumexp(members, axis=0) - np.log(len(members))


def p_values(density, numbers, labels, pool):
    found = scores(density, numbers, labels, pool)
    counts = [(density.calibration[k] <= score + 1e-9).sum() for score, k in zip(found, labels, strict=True)]
    return np.array([(1 + c) / (1 + len(density.calibration[k])) for c, k in zip(counts, labels, strict=True)])


def check_status(status, *, already, valid, plausible, repeated, changed):
    if status is RowStatus.ALREADY_DESIRED:
        assert already
        assert not changed
        return
    assert not already
    assert repeated == (status is RowStatus.REPEATED)
    expected = {
        RowStatus.FOUND: valid and plausible,
        RowStatus.VALID_NOT_PLAUSIBLE: valid and not plausible,
        RowStatus.REPEATED: changed,
        RowStatus.NOT_VALID: not valid,
        RowStatus.NO_LEGAL_CHANGE: not valid and not changed,
    }
    assert expected[status]


def check(explainer, rows, desired, question, asked, answer):
    """Everything that is promised of an answer."""
    codec, count = TableCodec(loan_schema()), question["count"]
    numbers = codec.to_numbers(answer.frame)
    assert len(answer) == len(rows) * count
    np.testing.assert_array_equal(numbers, answer.numbers)
    np.testing.assert_array_equal(answer.index.factual, np.repeat(np.arange(len(rows)), count))
    np.testing.assert_array_equal(answer.index.rank, np.tile(np.arange(count), len(rows)))

    befores, afters = rows.to_dict("records"), answer.frame.to_dict("records")
    for place, after in enumerate(afters):
        assert broken(asked, befores[place // count], after) == []
    assert answer.kept.all()

    wishes = np.repeat(np.array(desired, dtype=object), count)
    classes = list(loan_model().classes_)
    labels = np.array([classes.index(wish) for wish in wishes])
    predicted = loan_model().predict(answer.frame)
    probability = loan_model().predict_proba(answer.frame)[np.arange(len(answer)), labels]
    valid = predicted == wishes
    if question["probability"] is not None:
        valid = (probability >= question["probability"][0]) & (probability <= question["probability"][1])
    np.testing.assert_array_equal(answer.valid, valid)
    np.testing.assert_array_equal(np.array(answer.predicted, dtype=object), predicted)
    np.testing.assert_allclose(answer.probability, probability, rtol=1e-12)

    background, level = explainer.background_, question["min_plausibility"]
    for density, plausible, value, pool in (
        (background.search, answer.plausible, answer.plausibility, lowest),
        (background.witness, answer.witness, answer.witness_plausibility, mixture),
    ):
        np.testing.assert_allclose(value, p_values(density, numbers, labels, pool), atol=1e-12)
        np.testing.assert_array_equal(plausible, value >= level)
    np.testing.assert_allclose(answer.log_density, scores(background.search, numbers, labels, lowest), rtol=1e-9)

    before = loan_model().predict_proba(rows)[np.arange(len(rows)), labels[::count]]
    already = loan_model().predict(rows) == wishes[::count]
    if question["probability"] is not None:
        already = (before >= question["probability"][0]) & (before <= question["probability"][1])
    known = {tuple(row) for row in loan_numbers()}
    factuals = codec.to_numbers(rows)
    seen = set()
    for place, row in enumerate(numbers):
        changed = (row != factuals[place // count]).any()
        assert not (changed and tuple(row) in known)
        key = (place // count, tuple(row))
        check_status(
            answer.status[place],
            already=bool(already[place // count]),
            valid=bool(valid[place]),
            plausible=bool(answer.plausible[place]),
            repeated=key in seen and bool(changed),
            changed=bool(changed),
        )
        seen.add(key)


@settings(max_examples=CASES, deadline=None, derandomize=True, database=None, phases=[Phase.generate])
@given(constraints(), questions, st.sampled_from(METHODS), st.integers(0, 10**6), st.booleans())
def every_promise(asked, question, method, seed, one_wish):
    """Ask one random question about rows of one random table, and check the answer."""
    explainer = variant(loan_explainer(), method)
    rows = strange_rows(seed)
    desired = np.random.default_rng([seed, 2]).choice([APPROVED, REFUSED], size=ROWS).tolist()
    desired = [APPROVED] * ROWS if one_wish else desired
    answer = explainer.explain(rows, desired, constraints=Constraints(**asked), **question)
    check(explainer, rows, desired, question, asked, answer)
    TRIED.append(len(rows))
    ENDINGS.update(status.value for status in answer.status)
