"""Rows as choices and back: exact round trips, honest weights, and no option that a rule forbids."""

import numpy as np
import pytest
import torch

from counterflow.counterfactuals.dicoflex.options import Options
from counterflow.tables import Atom, Column, Constraints, Rules, Schema
from tests.counterfactuals.toys import mixed_numbers, mixed_schema


def same(a, b):
    return (a == b) | (a.isnan() & b.isnan())


def measured(rows=400, bins=6):
    numbers = torch.from_numpy(mixed_numbers(rows))
    return Options.measure(mixed_schema(), numbers, bins=bins), numbers


def test_rows_of_the_table_come_back_exactly_whatever_the_noise():
    options, numbers = measured()
    factuals = numbers.roll(1, 0)
    for seed in range(5):
        noise = torch.rand(numbers.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        points, log_weight = options.encode(factuals, numbers, noise)
        torch.testing.assert_close(options.decode(points, factuals), numbers, rtol=0, atol=0)
        assert log_weight.isfinite().all()


def test_what_did_not_change_is_option_zero_and_comes_back_bit_by_bit():
    options, numbers = measured()
    strange = numbers[:3].clone()
    strange[0, 0], strange[1, 1] = 0.123456789, 500.0  # off the grid, and beyond the table
    points, log_weight = options.encode(strange, strange, torch.full_like(strange, 0.3))
    assert (points < 1).all()
    assert (log_weight == 0).all()
    torch.testing.assert_close(options.decode(points, strange), strange, rtol=0, atol=0)


def test_single_precision_keeps_every_option():
    """The share stays so far below 1 that rounding cannot spill into the next option."""
    schema = Schema((Column("label", "categorical", categories=tuple(range(700))),))
    numbers = torch.arange(700, dtype=torch.float64)[:, None]
    options = Options.measure(schema, numbers, bins=4)
    points, _ = options.encode(numbers.roll(1, 0), numbers, torch.full_like(numbers, 0.999999))
    torch.testing.assert_close(options.decode(points.float(), numbers.roll(1, 0)), numbers, rtol=0, atol=0)


def test_weights_are_the_slopes_of_the_encoding():
    """The weight of a whole number is the share of its bin; that of a measured one the slope by finite differences."""
    schema = Schema((Column("whole", "integer"), Column("real")))
    numbers = torch.stack((torch.arange(40.0), torch.linspace(0, 8, 40)), 1).double()
    options = Options.measure(schema, numbers, bins=4)
    row, away = numbers[13:14] + torch.tensor([[0.0, 0.01]]), torch.full((1, 2), 99.0, dtype=torch.float64)
    noise = torch.full((1, 2), 0.5, dtype=torch.float64)
    points, log_weight = options.encode(away, row, noise)
    moved = [options.encode(away, row + shift, noise)[0] - points for shift in torch.tensor([[1.0, 0.0], [0.0, 1e-4]])]
    expected = moved[0][0, 0] * moved[1][0, 1] / 1e-4
    assert log_weight.exp().item() == pytest.approx(expected.item(), rel=1e-6)


def test_draws_stay_in_the_box_of_the_table():
    options, numbers = measured()
    sizes = torch.tensor(options.sizes)
    points = torch.rand(500, 5, generator=torch.Generator().manual_seed(0)) * sizes
    drawn = options.decode(points, numbers[:1].expand(500, -1))
    for place in (0, 2):
        assert drawn[:, place].min() >= numbers[:, place].min()
        assert drawn[:, place].max() <= numbers[:, place].max()


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"increase_only": ["money"], "decrease_only": ["count"]},
        {"ranges": {"money": (-3.0, 4.5), "level": ("mid", "high")}, "allowed": {"label": ["b"]}},
        {"immutable": ["label", "zero"], "increase_only": ["level"]},
    ],
)
def test_allowed_options_make_legal_rows_and_leave_none_out(asked):
    """A row decoded from allowed options is legal; an option that some legal row needs is allowed."""
    options, numbers = measured()
    factuals = numbers[:40]
    rules = Rules.compile(mixed_schema(), Constraints(**asked), factuals)
    allowed = options.allowed(rules)
    generator = torch.Generator().manual_seed(0)
    chance = torch.rand(200, *allowed.shape, generator=generator).masked_fill(~allowed, -1.0)
    option = torch.stack([part.argmax(-1) for part in chance.split(options.sizes, -1)], -1)
    points = option + 0.999 * torch.rand(option.shape, generator=generator, dtype=torch.float64)
    assert rules.legal(options.decode(points, factuals, rules=rules)).all()
    others = rules.project(numbers[40:240].unsqueeze(1).expand(-1, 40, -1))
    new, _ = options.encode(factuals.expand_as(others), others, torch.full_like(others, 0.5))
    flat = new.floor().long() + options.first
    assert allowed.expand(200, -1, -1).gather(2, flat).all()


def test_locked_columns_may_only_be_kept():
    options, numbers = measured()
    rules = Rules.compile(mixed_schema(), None, numbers[:4])
    allowed = options.allowed(rules, locked=torch.ones(4, 5, dtype=torch.bool))
    assert (allowed.sum(1) == 5).all()
    assert allowed[:, options.first].all()


def test_a_frequent_value_is_an_option_of_its_own_and_tails_have_bins():
    values = np.concatenate([np.full(500, 40.0), np.random.default_rng(0).gamma(2.0, 20.0, 500)])
    options = Options.measure(Schema((Column("hours"),)), torch.from_numpy(values[:, None]), bins=8)
    alone = (options.low == 40.0) & (options.high == 40.0)
    assert alone.sum() == 1
    assert options.high.nan_to_num(0.0).max() == values.max()


def test_a_missing_value_is_an_atom():
    schema = Schema((Column("x", decimals=1, atoms=(Atom(float("nan"), may_change=True, allowed=True),)),))
    numbers = torch.tensor([[1.0], [float("nan")], [2.0], [3.0]], dtype=torch.float64)
    options = Options.measure(schema, numbers, bins=2)
    points, _ = options.encode(numbers.roll(1, 0), numbers, torch.full_like(numbers, 0.5))
    assert same(options.decode(points, numbers.roll(1, 0)), numbers).all()
    assert points[1, 0].floor() == 1
