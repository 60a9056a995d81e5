"""From draws to answers: duplicates, the shortlist, the best and the most different, each against a loop."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.counterfactuals.dicoflex import DiCoFlex
from counterflow.counterfactuals.dicoflex.finding import (
    first_of_its_kind,
    pick_answers,
    shortlist,
    without_needless,
)
from tests.counterfactuals.toys import LinearModel, plain_numbers, plain_schema, toy_density, toy_task


def made_task(rows=30, **settings):
    schema, numbers = plain_schema(2), plain_numbers(300)
    density = toy_density(schema, numbers)
    return toy_task(schema, numbers[:rows] - 1.0, LinearModel([1.0, 1.0], 0.5), density=density, **settings)


def made_draws(task, count=40, seed=0):
    noise = torch.randn(count, *task.factuals.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return task.factuals + 1.2 * noise


def test_duplicates_are_found_as_by_a_set():
    draws = torch.from_numpy(np.random.default_rng(0).integers(0, 3, (30, 5, 2)).astype(float))
    draws[3, 0, 1] = draws[7, 0, 1] = float("nan")
    new = first_of_its_kind(draws)
    for row in range(5):
        seen = set()
        for draw in range(30):
            key = str(draws[draw, row].tolist())
            assert bool(new[draw, row]) == (key not in seen)
            seen.add(key)


def test_the_shortlist_has_the_nearest_valid_draws_first():
    task, most = made_task(), 6
    draws = made_draws(task)
    places = shortlist(task, draws, most=most)
    for row in range(len(task.factuals)):
        valid = draws[:, row].sum(1) > 0.5
        distance = (((draws[:, row] - task.factuals[row]) / task.scale) ** 2).sum(1).sqrt()
        expected = distance.masked_fill(~valid, torch.inf).argsort()[: min(most, int(valid.sum()))]
        assert places[: len(expected), row].tolist() == expected.tolist()


def test_the_first_answer_is_the_best_by_quality():
    task = made_task()
    draws = made_draws(task)
    best = pick_answers(task, draws, count=1, most=len(draws))[0]
    for row in range(len(task.factuals)):
        some = task.of_rows(torch.full((len(draws),), row))
        quality = some.quality(draws[:, row], aim=task.min_plausibility)
        order = np.lexsort((quality.cost.numpy(), quality.tier.numpy()))
        assert best[row].tolist() == draws[order[0], row].tolist()


def test_further_answers_differ_and_the_second_is_the_farthest_of_the_good_ones():
    task = made_task()
    draws = made_draws(task)
    found = pick_answers(task, draws, count=3, most=12)
    assert found.shape == (3, 30, 2)
    places = shortlist(task, draws, most=12)
    for row in range(30):
        assert len({tuple(answer) for answer in found[:, row].tolist()}) == 3
        close = draws[places[:, row], row]
        tier = task.of_rows(torch.full((12,), row)).quality(close, aim=task.min_plausibility).tier
        gap = ((close - found[0, row]) / task.scale).abs().clamp(max=3.0).sum(1)
        good = tier < 2 if bool(((tier < 2) & (gap > 0)).any()) else tier < 3
        if bool((good & (gap > 0)).any()):
            assert found[1, row].tolist() == close[gap.masked_fill(~good, -1.0).argmax()].tolist()


def test_needless_changes_are_undone_and_answers_stay_different():
    """A model of the first column alone needs no change of the second."""
    schema, numbers = plain_schema(2), plain_numbers(300)
    density = toy_density(schema, numbers)
    task = toy_task(schema, numbers[:20] * 0.3 - 0.6, LinearModel([1.0, 0.0], 0.2), density=density)
    answers = pick_answers(task, made_draws(task, 60), count=2, most=20)
    valid = answers[0, :, 0] > 0.2
    trimmed = without_needless(task, answers)
    assert valid.all()
    assert (trimmed[0, :, 0] > 0.2).all()
    assert (trimmed[0, :, 1] == task.factuals[:, 1]).double().mean() > 0.8
    assert (answers[0, :, 1] != task.factuals[:, 1]).all()
    assert (trimmed[0] != trimmed[1]).any(1).all()
    before, after = (task.quality(rows, aim=task.min_plausibility).tier for rows in (answers[0], trimmed[0]))
    assert (after <= before).all()


def test_a_row_that_nothing_changes_stays():
    task = made_task(constraints={"immutable": ["x0", "x1"]})
    draws = task.factuals.expand(5, -1, -1)
    torch.testing.assert_close(pick_answers(task, draws, count=2, most=4), draws[:2], rtol=0, atol=0)


def test_dicoflex_without_a_skill_says_so():
    with pytest.raises(ArgumentError, match="got a task without it"):
        DiCoFlex().find(made_task())


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"draws": 0}, "draws must be at least 1"),
        ({"steady": 1.5}, r"steady must lie in \(0, 1\]"),
        ({"norms": ()}, "norms must be numbers above 0"),
        ({"norms": (2.0, 0.0)}, "norms must be numbers above 0"),
        ({"neighbors": 0}, "neighbors must be at least 1"),
    ],
)
def test_settings_are_checked(settings, sentence):
    with pytest.raises(ArgumentError, match=sentence):
        DiCoFlex(**settings)
