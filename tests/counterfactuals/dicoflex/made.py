"""A small table, a rule that decides it, and a skill learned from both in a second or two."""

import functools

import numpy as np
import torch

from counterflow.counterfactuals import Background, Lesson, WitnessReport
from counterflow.counterfactuals.copies import RowHashes
from counterflow.counterfactuals.dicoflex import DiCoFlex
from counterflow.tables import Column, Schema
from tests.counterfactuals.toys import toy_density

SCHEMA = Schema(
    (
        Column("income", decimals=2, lower=-6.0, upper=6.0),
        Column("accounts", "integer", lower=0, upper=9),
        Column("home", "categorical", categories=("own", "rent", "other")),
        Column("sex", "binary", categories=("f", "m"), protected=True),
    )
)


def table(rows, seed=0):
    random = np.random.default_rng(seed)
    columns = [
        np.round(random.normal(size=rows) * 1.5, 2).clip(-6, 6),
        random.integers(0, 10, rows).astype(float),
        random.integers(0, 3, rows).astype(float),
        random.integers(0, 2, rows).astype(float),
    ]
    return torch.from_numpy(np.stack(columns, 1))


def decide(numbers):
    """The class: income high, accounts few, or home owned."""
    score = numbers[:, 0] - 0.3 * (numbers[:, 1] - 4.5) + (numbers[:, 2] == 0)
    return (score > 0.3).long()


SMALL = DiCoFlex(
    neighbors=12, questions=8000, epochs=12, rehearsals=2, bins=12, hidden=(48, 48), width=32, norms=(2.0, 0.01)
)


def lesson(rows=1500, **settings):
    """What a method that learns is given, with a density that is none."""
    numbers = table(rows)
    density, none = toy_density(SCHEMA, numbers.numpy()), numbers[:0]
    report = WitnessReport(0.0, 0.0, 0.0, 0.0, {}, False)
    background = Background(SCHEMA, density, density, {}, (none, none), RowHashes.of(none), report)
    return Lesson(numbers, decide(numbers), decide, background, 0, lambda sentence: None, **settings)


@functools.cache
def skill():
    """Learned once for all tests."""
    return SMALL.learn(lesson())
