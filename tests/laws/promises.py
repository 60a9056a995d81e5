"""Worlds made up from a number: a schema, a table, a model, an explainer of it; questions; and what is promised.

Whatever the method and the question: what must not change is bit for bit what it was; every rule is kept; what is said
of a row (valid, plausible, witness) holds for exactly the row that is returned; and no answer is a training row.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from counterflow import Constraints, CounterfactualExplainer
from counterflow.core.errors import ConstraintError, SchemaError
from counterflow.counterfactuals import PPCEF, DiCoFlex, background
from counterflow.estimators.methods import METHODS
from counterflow.tables import Atom, Column, Linear, Schema, TableCodec, broken_rules, check_constraints
from tests.estimators.promises import lowest, mixture, p_values

CLASSES = ("no", "yes", "maybe")
HASTY = DiCoFlex(questions=400, epochs=2, rehearsals=0, hidden=(32,), width=16, draws=12, neighbors=8, bins=8)
QUICK = {"ppcef": {"starts": 1}, "nearest": {"tried": 8}, "growing_spheres": {"draws": 20, "layers": 4}}


@dataclass(frozen=True)
class World:
    """A made-up table and who decides on it."""

    seed: int
    schema: Schema
    frame: pd.DataFrame
    model: Any
    explainer: CounterfactualExplainer
    known: frozenset[bytes]

    def rows(self, count: int, seed: int) -> pd.DataFrame:
        """Fresh rows, some with values that a changed row could not take."""
        random = np.random.default_rng([self.seed, seed, 1])
        rows = made_up(self.schema, count, random)
        for column in self.schema.columns:
            if not column.labeled and column.kind == "continuous":
                odd = random.random(count) < 0.1
                rows[column.name] = np.where(odd, rows[column.name] * 1.37 - 3.3, rows[column.name])
        return rows


def made_up_columns(random: np.random.Generator) -> list[Column]:
    """Three to seven columns of all kinds, two of them numbers at least; a total and its parts now and then."""
    columns = [numeric(f"n{place}", random) for place in range(random.integers(2, 5))]
    if random.random() < 0.4:
        columns += [Column(name, "integer", lower=0) for name in ("part", "rest", "total")]
    labels = {"kind": ("a", "b", "c"), "grade": ("low", "mid", "high", "top"), "sex": ("f", "m")}
    kinds = {"kind": "categorical", "grade": "ordinal", "sex": "binary"}
    for name in labels:
        if random.random() < 0.6:
            columns.append(Column(name, kinds[name], categories=labels[name], protected=name == "sex"))
    return columns


def numeric(name: str, random: np.random.Generator) -> Column:
    """A column of numbers of some kind."""
    direction = str(random.choice(["any", "any", "any", "increase", "decrease"]))
    cost = float(random.choice([1.0, 1.0, 3.0]))
    match random.integers(4):
        case 0:
            return Column(name, decimals=int(random.integers(0, 3)), direction=direction, cost=cost)
        case 1:
            return Column(name, lower=-60.0, upper=90.0, direction=direction)
        case 2:
            codes = (Atom(-99.0),) if random.random() < 0.5 else ()
            return Column(name, "integer", lower=-60, upper=90, atoms=codes, cost=cost)
        case _:
            return Column(name, lower=0.0, decimals=1, atoms=(Atom(0.0, kind="inflation"),))


def made_up(schema: Schema, rows: int, random: np.random.Generator) -> pd.DataFrame:
    """Rows in which the columns hang together by one hidden factor."""
    hidden = random.normal(size=rows)
    values: dict[str, Any] = {}
    for place, column in enumerate(schema.columns):
        drawn = (hidden if place % 2 else -hidden) + 0.7 * random.normal(size=rows)
        if column.labeled:
            spots = np.clip(np.round(len(column.categories) / 2 - 0.5 + 0.8 * drawn), 0, len(column.categories) - 1)
            values[column.name] = np.array(column.categories)[spots.astype(int)]
            continue
        numbers = 15.0 + 12.0 * drawn
        if column.lower is not None:
            numbers = np.clip(numbers, column.lower, None)
        numbers = np.round(
            numbers, 0 if column.kind == "integer" else 15 if column.decimals is None else column.decimals
        )
        numbers = np.where((random.random(rows) < 0.1) & bool(column.code_of(-99.0)), -99.0, numbers)
        values[column.name] = numbers.astype(int) if column.kind == "integer" else numbers
    if "total" in values:
        values["total"] = values["part"] + values["rest"]
    return pd.DataFrame(values)


def some_links(schema: Schema, frame: pd.DataFrame, random: np.random.Generator) -> Iterator[str]:
    """Rules between columns that most rows keep."""
    numbers = [column.name for column in schema.columns if not column.labeled]
    labels = [column for column in schema.columns if column.labeled]
    first, second = random.choice(numbers, 2, replace=False)
    factor = float(random.choice([1.0, 0.5, -0.4]))
    limit = float(np.round(np.quantile(frame[first] - factor * frame[second], 0.8)))
    yield str(Linear({first: 1.0, second: -factor}, upper=limit))
    if labels:
        column = labels[random.integers(len(labels))]
        chosen = str(random.choice(column.categories))
        floor = float(np.round(np.quantile(frame[first], 0.2)))
        yield f"{column.name} = {chosen} implies {first} >= {floor!r}"
        yield f"{first} changes and {column.name} = {chosen} implies {second} <= {floor + 40!r}"


def made_up_links(schema: Schema, frame: pd.DataFrame, random: np.random.Generator) -> list[str]:
    """None, one or some rules, a total among them where there is one."""
    sums = ["total = part + rest"] if "total" in schema.names else []
    return sums + [link for link in some_links(schema, frame, random) if random.random() < 0.4]


def classifier(frame: pd.DataFrame, schema: Schema, labels: np.ndarray, *, trees: bool) -> Any:
    """What a user brings: a pipeline of scikit-learn on the frame's own columns."""
    texts = [column.name for column in schema.columns if column.labeled]
    numbers = [column.name for column in schema.columns if not column.labeled]
    coder = OrdinalEncoder() if trees else OneHotEncoder()
    encode = ColumnTransformer([("labels", coder, texts), ("numbers", StandardScaler(), numbers)])
    last = HistGradientBoostingClassifier(max_iter=20) if trees else LogisticRegression(C=5.0, max_iter=2000)
    return make_pipeline(encode, last).fit(frame, labels)


def decided(frame: pd.DataFrame, schema: Schema, random: np.random.Generator, *, classes: int) -> np.ndarray:
    """Who gets what: a noisy sum over the columns, cut into classes of about equal size."""
    numbers = TableCodec(schema).to_numbers(frame)
    unit = (numbers - numbers.mean(0)) / numbers.std(0).clip(1e-9)
    score = unit @ random.normal(size=len(schema)) + 0.3 * random.normal(size=len(frame))
    cuts = np.quantile(score, np.linspace(0, 1, classes + 1)[1:-1])
    return np.array(CLASSES)[np.searchsorted(cuts, score)]


@contextmanager
def short_schooling(epochs: int) -> Iterator[None]:
    """Train flows for few epochs: what is promised does not hang on good flows."""
    usual = background.schooling

    def hasty(*plan: Any, **kind: Any) -> Any:
        return replace(usual(*plan, **kind), max_epochs=epochs, batch_size=64, learning_rate=3e-3, patience=epochs)

    with mock.patch.object(background, "schooling", hasty), mock.patch.object(background, "_POOL", 300):
        yield


@cache
def world(seed: int, *, rows: int = 360, epochs: int = 5) -> World:
    """The world of a number: the same on every run. Every fifth has a model of trees, every third three classes."""
    random = np.random.default_rng([seed, 0])
    schema = Schema(made_up_columns(random))
    frame = made_up(schema, rows, random)
    with suppress(SchemaError):  # two of its rules may contradict each other: then it is a world without rules
        schema = Schema(schema.columns, linked=made_up_links(schema, frame, random))
    labels = decided(frame, schema, random, classes=3 if seed % 3 == 2 else 2)
    model = classifier(frame, schema, labels, trees=seed % 5 == 4)
    explainer = CounterfactualExplainer(model, schema=schema, method=HASTY, random_state=seed)
    with short_schooling(epochs):
        explainer.fit(frame, labels)
    known = frozenset(row.tobytes() for row in TableCodec(schema).to_numbers(frame))
    return World(seed, schema, frame, model, explainer, known)


def made_up_constraints(of: World, random: np.random.Generator) -> Constraints:
    """Constraints of every sort, without contradiction."""
    while True:
        asked = Constraints(**_settings(of, random))
        try:
            check_constraints(of.schema, asked)
        except ConstraintError:
            continue
        return asked


def _settings(of: World, random: np.random.Generator) -> dict[str, Any]:
    asked: dict[str, Any] = {"immutable": [], "increase_only": [], "decrease_only": [], "ranges": {}, "allowed": {}}
    for column in of.schema.columns:
        choice = random.choice(["none", "none", "none", "immutable", "increase_only", "decrease_only", "narrow"])
        if choice == "immutable" or (choice.endswith("_only") and column.numeric and column.direction == "any"):
            asked[choice].append(column.name)
        elif choice == "narrow" and column.labeled and not column.protected:
            asked["allowed"][column.name] = random.choice(column.categories, 2, replace=False).tolist()
        elif choice == "narrow" and not column.labeled:
            low, high = np.round(np.quantile(of.frame[column.name], np.sort(random.random(2))))
            asked["ranges"][column.name] = (float(low), float(high) + 5.0)
    asked["free"] = [c.name for c in of.schema.columns if c.protected and random.random() < 0.3]
    asked["free"] = [name for name in asked["free"] if name not in asked["immutable"]]
    asked["max_changes"] = [None, None, 1, 2, 3][random.integers(5)]
    asked["linked"] = [link for link in some_links(of.schema, of.frame, random) if random.random() < 0.25]
    asked["cost"] = {name: float(random.choice([0.5, 4.0])) for name in of.schema.names if random.random() < 0.2}
    return asked


def made_up_question(of: World, seed: int, *, rows: int) -> tuple[pd.DataFrame, list[str], dict[str, Any]]:
    """Rows, what is wished for each, and everything else that is asked."""
    random = np.random.default_rng([of.seed, seed, 2])
    classes = list(of.model.classes_)
    wishes = random.choice(classes, rows).tolist() if random.random() < 0.5 else [str(random.choice(classes))] * rows
    ranges = [None, None, (0.6, 1.0), (0.3, 0.7)]
    question = {
        "constraints": made_up_constraints(of, random),
        "count": int(random.choice([1, 1, 1, 2])),
        "probability": ranges[random.integers(4)],
        "min_plausibility": float(random.choice([0.1, 0.1, 0.0, 0.5])),
        "norm": [None, 1.0, 0.5][random.integers(3)],
    }
    return of.rows(rows, seed), wishes, question


def answered(of: World, name: str, seed: int, *, rows: int, quick: bool) -> Any:
    """Ask a made-up question of a method, and check the answer."""
    frame, wishes, question = made_up_question(of, seed, rows=rows)
    explainer = copy(of.explainer)
    steps = {"max_steps": 6} if quick else {}
    with mock.patch.dict(PPCEF._PRESETS["default"], steps):
        if name != "dicoflex":  # which is fitted as it learned
            explainer.method = METHODS[name](**(QUICK.get(name, {}) if quick else {}))
        answer = explainer.explain(frame, wishes, **question)
    for promise, broken in broken_promises(of, frame, wishes, question, answer).items():
        assert not broken, f"world {of.seed}, {name}, question {seed}: {promise}: {broken[:3]}"
    return answer


def broken_promises(
    of: World, frame: pd.DataFrame, wishes: list[str], question: dict[str, Any], answer: Any
) -> dict[str, list[Any]]:
    """For each promise the answers that break it."""
    count, asked = question["count"], question["constraints"]
    origin = np.repeat(np.arange(len(frame)), count)
    before = frame.iloc[origin].reset_index(drop=True)
    after = answer.frame.reset_index(drop=True)
    codec = TableCodec(of.schema)
    old, new = codec.to_numbers(before), codec.to_numbers(after)
    pairs = zip(old.tolist(), new.tolist(), strict=True)
    changed = (old != new).any(1)
    wished = np.repeat(np.array(wishes, dtype=object), count)
    return {
        "one answer for each rank": [len(after)] if len(after) != len(frame) * count else [],
        "what is said of the rules": np.flatnonzero(~answer.kept).tolist(),
        "what must not change": held_that_changed(of.schema, asked, before, after),
        "every rule": [
            phrases for x, y in pairs if (phrases := broken_rules(of.schema, asked, before=x, after=y))
        ],
        "every rule between columns, in the table's own values": broken_links(of.schema, asked, before, after),
        "valid": differing(answer.valid, valid_again(of.model, after, wished, question["probability"])),
        "plausible and witness": misjudged(of, answer, new, wished, question["min_plausibility"]),
        "no copy": [row for row, moved in zip(new, changed, strict=True) if moved and row.tobytes() in of.known],
    }  # fmt: skip


def held_that_changed(schema: Schema, asked: Constraints, before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """The columns that should be held and are not bit for bit what they were, with another type or other values."""
    protected = [c.name for c in schema.columns if (c.protected and c.name not in asked.free) or not c.actionable]
    return [name for name in {*asked.immutable, *protected} if _bits(before[name]) != _bits(after[name])]


def _bits(column: pd.Series) -> tuple[str, Any]:
    """A column's type and its values, numbers to the last bit."""
    texts = column.dtype.kind not in "iuf"
    return str(column.dtype), column.tolist() if texts else column.to_numpy().tobytes()


def broken_links(schema: Schema, asked: Constraints, before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """The linear rules that a changed row breaks, by the arithmetic of pandas."""
    found = []
    for link in (*schema.links, *asked.links):
        if not isinstance(link, Linear):
            continue
        names = list(link.columns)
        bound = (before[names] != after[names]).any(axis=1) & ~(after[names] == -99.0).any(axis=1)
        total = sum(factor * after[name] for name, factor in link.coefficients.items())
        low, high = link.bounds
        wrong = bound & ((total < low - 1e-6) | (total > high + 1e-6))
        found += [f"{link}: {after.loc[row, names].to_dict()}" for row in np.flatnonzero(wrong)]
    return found


def valid_again(model: Any, after: pd.DataFrame, wished: np.ndarray, probability: Any) -> np.ndarray:
    """Whether the user's own model decides as wished."""
    if probability is None:
        return model.predict(after) == wished
    places = [list(model.classes_).index(wish) for wish in wished]
    chances = model.predict_proba(after)[np.arange(len(after)), places]
    return (chances >= probability[0]) & (chances <= probability[1])


def misjudged(of: World, answer: Any, numbers: np.ndarray, wished: np.ndarray, level: float) -> list[int]:
    """The answers whose p-values are not those of the flows, averaged with scipy and counted anew."""
    labels = np.array([list(of.model.classes_).index(wish) for wish in wished])
    behind = of.explainer.background_
    found: list[int] = []
    for density, said, value, pool in (
        (behind.search, answer.plausible, answer.plausibility, lowest),
        (behind.witness, answer.witness, answer.witness_plausibility, mixture),
    ):
        again = p_values(density, numbers, labels, pool)
        found += differing(said, again >= level)
        found += np.flatnonzero(np.abs(again - value) > 1e-12).tolist()
    return found


def differing(said: np.ndarray, found: np.ndarray) -> list[int]:
    """Where two verdicts are not the same."""
    return np.flatnonzero(np.asarray(said) != np.asarray(found)).tolist()
