"""Tasks small enough to be checked by hand: analytic densities, linear models, a few columns."""

import numpy as np
import torch
from torch import nn

from counterflow.counterfactuals import ClassDensity, Goal, Task
from counterflow.counterfactuals.copies import RowHashes
from counterflow.counterfactuals.search import Deadline
from counterflow.tables import Atom, Column, Constraints, FlowEncoding, Rules, Schema


class NormalDensity(nn.Module):
    """log N(u; m_k, 1), the mean m_k of a class in every coordinate."""

    def __init__(self, means=(0.0, 0.0)):
        super().__init__()
        self.register_buffer("means", torch.tensor(means, dtype=torch.float64))

    def forward(self, points, context):
        return -0.5 * ((points - (context @ self.means)[..., None]).square() + np.log(2 * np.pi)).sum(-1)


class LinearModel:
    """Two classes: the second where w . x > b."""

    def __init__(self, weight, offset):
        self.weight, self.offset = torch.tensor(weight, dtype=torch.float64), offset

    def logits(self, numbers):
        score = numbers.nan_to_num(0.0) @ self.weight - self.offset
        return torch.stack((torch.zeros_like(score), score), 1)


def plain_schema(columns=2, **settings):
    return Schema(tuple(Column(f"x{k}", **settings) for k in range(columns)))


def mixed_schema():
    """One column of each kind that matters for finishing a search."""
    return Schema(
        (
            Column("money", decimals=1, lower=-40.0, upper=40.0),
            Column("count", "integer", lower=0, upper=12, atoms=(Atom(-9.0),)),
            Column("zero", lower=0.0, decimals=2, atoms=(Atom(0.0, kind="inflation"),)),
            Column("label", "categorical", categories=("a", "b", "c")),
            Column("level", "ordinal", categories=("low", "mid", "high")),
        )
    )


def mixed_numbers(rows, seed=0):
    random = np.random.default_rng(seed)
    return np.stack(
        [
            np.round(random.normal(size=rows) * 5, 1),
            np.where(random.random(rows) < 0.15, -9.0, random.integers(0, 13, rows)),
            np.where(random.random(rows) < 0.5, 0.0, np.round(random.gamma(2.0, 2.0, rows) + 0.05, 2)),
            random.integers(0, 3, rows).astype(float),
            random.integers(0, 3, rows).astype(float),
        ],
        axis=1,
    )


def plain_numbers(rows, columns=2, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, columns))


def toy_density(schema, numbers, *, flows=None, held_out=None, draws=8):
    """A density of two classes on an encoding fitted to ``numbers``; calibrated on ``held_out`` for both."""
    encoding = FlowEncoding.fit(schema, numbers)
    density = ClassDensity(encoding, flows or [NormalDensity()], classes=2, draws=draws)
    rows = torch.from_numpy(numbers if held_out is None else held_out)
    both = torch.cat((rows, rows))
    density.calibrate(both, torch.arange(2).repeat_interleave(len(rows)))
    return density


def toy_task(
    schema,
    factuals,
    model,
    *,
    density,
    constraints=None,
    probability=None,
    min_plausibility=0.1,
    norm=2.0,
    copies=None,
    pool=None,
    cost=None,
):
    """Every row wishes for the second class."""
    rows = torch.as_tensor(factuals, dtype=torch.float64)
    none = rows.new_zeros(0, rows.shape[1])
    return Task(
        factuals=rows,
        goal=Goal.of(torch.ones(len(rows), dtype=torch.long), probability),
        rules=Rules.compile(schema, Constraints(**(constraints or {})), rows),
        model=model,
        density=density,
        pool=(none, none if pool is None else torch.as_tensor(pool, dtype=torch.float64)),
        copies=None if copies is None else RowHashes.of(torch.as_tensor(copies, dtype=torch.float64)),
        scale=density.encoding.distance_scale,
        cost=torch.ones(rows.shape[1], dtype=torch.float64)
        if cost is None
        else torch.tensor(cost, dtype=torch.float64),
        min_plausibility=min_plausibility,
        norm=norm,
        deadline=Deadline(None),
    )
