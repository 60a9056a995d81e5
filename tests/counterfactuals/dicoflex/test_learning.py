"""Training by maximum likelihood: a known conditional law is found again, and what goes wrong is said."""

from dataclasses import replace

import pytest
import torch

from counterflow.core.errors import TrainingError
from counterflow.counterfactuals.dicoflex.drafter import Drafter
from counterflow.counterfactuals.dicoflex.examples import Examples
from counterflow.counterfactuals.dicoflex.learning import Schooling, train_drafter
from counterflow.counterfactuals.dicoflex.options import Options
from counterflow.counterfactuals.dicoflex.rehearsal import rehearse
from counterflow.tables import Column, Schema
from tests.counterfactuals.dicoflex.made import SCHEMA, SMALL, decide, lesson, skill, table

LABELS = Schema(
    (Column("color", "categorical", categories=("red", "green", "blue")), Column("size", "integer", lower=0, upper=3))
)
STAY = 0.3


def known_law(rows, generator):
    """The color stays with chance 0.3, else moves on by one; the size follows the new color, and a lock keeps both."""
    before = torch.randint(0, 3, (rows, 2), generator=generator).double()
    locked = torch.rand(rows, 1, generator=generator) < 0.5
    stays = torch.rand(rows, generator=generator) < STAY
    color = torch.where(stays, before[:, 0], (before[:, 0] + 1) % 3)
    after = torch.where(locked, before, torch.stack((color, color + 1), 1))
    target, norm = torch.zeros(rows, dtype=torch.long), torch.ones(rows, dtype=torch.float64)
    count = torch.ones(rows, dtype=torch.long)
    return Examples(before, target, locked.expand(-1, 2), norm, after.unsqueeze(1), count)


@pytest.fixture(scope="module")
def learned():
    generator = torch.Generator().manual_seed(0)
    examples = known_law(9000, generator)
    rows = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0)).double()
    drafter = Drafter(Options.measure(LABELS, rows, bins=8), 1, hidden=(32, 32), width=24, generator=generator)
    report = train_drafter(drafter, examples, schooling=Schooling(epochs=8, learning_rate=5e-3), seed=0)
    return drafter, report


def draws_of(drafter, row, *, locked, count=8000):
    factual = torch.tensor([row], dtype=torch.float64)
    target = torch.zeros(1, dtype=torch.long)
    context = drafter.context(factual, target, locked=torch.tensor([[locked, locked]]), norm=1.0)
    generator = torch.Generator().manual_seed(3)
    points = drafter.points(context, allowed=None, count=count, temperature=1.0, generator=generator)
    return drafter.options.decode(points, factual)[:, 0]


@pytest.mark.parametrize("color", [0.0, 1.0, 2.0])
def test_a_known_conditional_is_found_again(learned, color):
    drafter, _ = learned
    found = draws_of(drafter, [color, 0.0], locked=False)
    assert (found[:, 0] == color).double().mean().item() == pytest.approx(STAY, abs=0.06)
    assert (found[:, 0] == (color + 1) % 3).double().mean().item() == pytest.approx(1 - STAY, abs=0.06)
    assert (found[:, 1] == found[:, 0] + 1).double().mean() > 0.97


def test_the_mask_is_a_condition(learned):
    drafter, _ = learned
    found = draws_of(drafter, [1.0, 3.0], locked=True)
    assert (found == torch.tensor([1.0, 3.0])).all(1).double().mean() > 0.98


def test_the_held_out_loss_reaches_the_entropy_of_the_law(learned):
    """Half of the questions have one answer, the others the entropy of a biased coin."""
    _, report = learned
    chance = torch.tensor([STAY, 1 - STAY])
    entropy = -0.5 * float((chance * chance.log()).sum())
    assert report.best_validation == pytest.approx(entropy, abs=0.07)  # 450 held-out questions: an error of 0.02


def test_a_flow_that_cannot_be_trained_is_an_error():
    examples = known_law(200, torch.Generator().manual_seed(0))
    rows = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0)).double()
    drafter = Drafter(Options.measure(LABELS, rows, bins=4), 1, hidden=(8,), width=8)
    drafter.flow.bijection.heads.weight.data.fill_(torch.nan)
    with pytest.raises(TrainingError, match="DiCoFlex could not be trained"):
        train_drafter(drafter, examples, schooling=Schooling(epochs=6), seed=0)


def test_rehearsal_keeps_neighbors_and_adds_valid_draws():
    numbers = table(300, seed=4)
    factuals = numbers[decide(numbers) == 0][:60]
    target = torch.ones(len(factuals), dtype=torch.long)
    answers = numbers[decide(numbers) == 1][:60].unsqueeze(1)[: len(factuals)]
    locked = torch.zeros(factuals.shape, dtype=torch.bool)
    locked[:, 3] = True
    one = torch.ones(len(factuals), dtype=torch.long)
    examples = Examples(factuals, target, locked, one.double(), answers, one)
    more, share = rehearse(
        skill().drafter, examples, decide=decide, count=6, generator=torch.Generator().manual_seed(0)
    )
    assert 0.5 < share < 1
    assert (more.answers[:, 0] == answers[:, 0]).all()
    known = torch.arange(more.answers.shape[1]) < more.count.unsqueeze(1)
    assert (decide(more.answers[known]) == 1).all()
    assert (more.answers[..., 3][known] == factuals[:, None, 3].expand_as(known)[known])[1:].double().mean() > 0.8
    assert more.count.double().mean() > 2


def test_the_same_seed_gives_the_same_flow():
    def weights():
        examples = known_law(300, torch.Generator().manual_seed(0))
        rows = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0)).double()
        generator = torch.Generator().manual_seed(1)
        drafter = Drafter(Options.measure(LABELS, rows, bins=4), 1, hidden=(8,), width=8, generator=generator)
        train_drafter(drafter, examples, schooling=Schooling(epochs=2), seed=5)
        return torch.cat([value.flatten().double() for value in drafter.state_dict().values()])

    torch.testing.assert_close(weights(), weights(), rtol=0, atol=0, equal_nan=True)


def test_the_schema_of_the_examples_is_that_of_the_flow():
    assert skill().schema == SCHEMA


def test_an_interrupted_lesson_goes_on_to_the_same_flow(tmp_path):
    hasty = replace(SMALL, questions=600, epochs=2, rehearsals=1)
    whole = hasty.learn(lesson(400)).to_parts()[1]
    stopped = []

    def stop(sentence):
        stopped.append(sentence)
        if "turn 2" in sentence:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hasty.learn(replace(lesson(400, checkpoint=tmp_path), tell=stop))
    assert len(stopped) == 3
    again = hasty.learn(lesson(400, checkpoint=tmp_path, resume=True)).to_parts()[1]
    for name, tensor in whole.items():
        torch.testing.assert_close(again[name], tensor, rtol=0, atol=0, equal_nan=True)
