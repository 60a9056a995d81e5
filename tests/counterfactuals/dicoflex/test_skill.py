"""Draws: legal, within the box, locks bit by bit, the exponent and the mask free, and the same after saving."""

import pytest
import torch

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.counterfactuals.dicoflex import DiCoFlexSkill
from counterflow.persistence import load_folder, save_folder
from counterflow.tables import Constraints, Rules
from tests.counterfactuals.dicoflex.made import SCHEMA, decide, skill, table


@pytest.fixture(scope="module")
def asked():
    numbers = table(400, seed=9)
    return numbers[decide(numbers) == 0][:80]


def drawn(rows, seed=0, **settings):
    return skill().draw(rows, 1, generator=torch.Generator().manual_seed(seed), **settings)


def share_valid(draws):
    return float((decide(draws.flatten(0, 1)) == 1).double().mean())


def test_most_draws_are_valid_before_anybody_judged_them(asked):
    draws = drawn(asked, count=50)
    assert draws.shape == (50, 80, 4)
    assert share_valid(draws) > 0.85
    assert (decide(draws.flatten(0, 1)) == 1).unflatten(0, (50, 80)).any(0).all()
    untrained = torch.rand(2000, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([4.0, 10.0, 3.0, 2.0])
    assert float(decide(untrained - torch.tensor([2.0, 0, 0, 0])).double().mean()) < 0.6  # chance is no excuse


def test_every_draw_is_legal_and_inside_the_box(asked):
    draws = drawn(asked, count=50)
    assert Rules.compile(SCHEMA, None, asked).legal(draws).all()
    low, high = table(1500).amin(0), table(1500).amax(0)
    inside = (draws >= low) & (draws <= high)
    assert (inside | (draws == asked)).all()
    assert (draws[..., 3] == asked[:, 3]).all()


@pytest.mark.parametrize("locked", [[True, False, False, False], [False, True, True, False]])
def test_locked_columns_stay_bit_by_bit_and_draws_stay_valid(asked, locked):
    mask = torch.tensor(locked)
    draws = drawn(asked, count=40, locked=mask)
    assert (draws[..., mask] == asked[:, mask]).all()
    reachable = (decide(draws.flatten(0, 1)) == 1).unflatten(0, (40, len(asked))).any(0)
    assert reachable.double().mean() > 0.6
    assert skill().has_seen(mask | torch.tensor([False, False, False, True]))
    assert not skill().has_seen(torch.zeros(4, dtype=torch.bool))  # the schema protects the last column always


def test_a_small_exponent_changes_fewer_columns(asked):
    changed = [float((drawn(asked, count=60, norm=norm) != asked).double().sum(-1).mean()) for norm in (2.0, 0.01)]
    assert changed[1] < changed[0] - 0.1


def test_constraints_of_any_kind_are_kept_by_drafts(asked):
    rules = Rules.compile(
        SCHEMA, Constraints(increase_only=["income"], ranges={"accounts": (2, 6)}, max_changes=2), asked
    )
    target = torch.ones(len(asked), dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    draws = skill().draft(rules, target, norm=2.0, count=30, temperature=0.8, generator=generator)
    assert all(not broken for row in draws for broken in rules.violations(row))


def test_a_low_temperature_is_less_diverse(asked):
    spread = [float(drawn(asked, count=60, temperature=t)[..., 0].std(0).mean()) for t in (0.2, 1.0)]
    assert spread[0] < 0.8 * spread[1]


def test_rows_do_not_depend_on_the_exponent_beyond_those_learned(asked):
    torch.testing.assert_close(drawn(asked, norm=2.0, count=3), drawn(asked, norm=9.0, count=3), rtol=0, atol=0)


def test_the_same_generator_gives_the_same_draws(asked):
    torch.testing.assert_close(drawn(asked, seed=4, count=5), drawn(asked, seed=4, count=5), rtol=0, atol=0)


def test_saving_changes_nothing(tmp_path, asked):
    config, tensors = skill().to_parts()
    save_folder(tmp_path, "skill", config=config, tensors={f"skill.{name}": t for name, t in tensors.items()})
    saved = load_folder(tmp_path, "skill")
    again = DiCoFlexSkill.from_parts(saved.config, saved, SCHEMA)
    generator = torch.Generator().manual_seed(0)
    torch.testing.assert_close(again.draw(asked, 1, generator=generator), drawn(asked), rtol=0, atol=0)
    assert (again.masks == skill().masks).all()
    assert again.norms == skill().norms


@pytest.mark.parametrize(
    ("settings", "error", "sentence"),
    [
        ({"norm": 0.0}, ArgumentError, "norm must be above 0"),
        ({"count": 0}, ArgumentError, "count must be above 0"),
        ({"temperature": -1.0}, ArgumentError, "temperature must be above 0"),
        ({"labels": 7}, ArgumentError, r"labels must lie in 0\.\.1"),
        ({"numbers": torch.zeros(2, 3, dtype=torch.float64)}, ShapeError, r"numbers must have shape \(rows, 4\)"),
    ],
)
def test_errors_say_what_was_expected(settings, error, sentence):
    with pytest.raises(error, match=sentence):
        skill().draw(**({"numbers": table(2), "labels": 1} | settings))
