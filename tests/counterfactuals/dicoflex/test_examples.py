"""The questions of the training and their answers: near, of the class, with what is locked put back."""

import pytest
import torch

from counterflow.core.errors import DataError
from counterflow.counterfactuals.dicoflex.examples import changeable, collect_examples, draw_masks, fixed_columns
from counterflow.counterfactuals.dicoflex.neighbors import Neighbors
from counterflow.counterfactuals.dicoflex.pools import steadiness, steady_rows
from counterflow.tables import Constraints, Rules
from tests.counterfactuals.dicoflex.made import SCHEMA, decide, table
from tests.counterfactuals.toys import mixed_numbers, mixed_schema

SCALE = torch.tensor([1.5, 2.9, 1.0, 1.0], dtype=torch.float64)


def collected(**settings):
    numbers = table(600)
    labels = decide(numbers)
    pools = [numbers[labels == label] for label in range(2)]
    settings = {
        "norms": (2.0, 0.5),
        "count": 200,
        "neighbors": 5,
        "generator": torch.Generator().manual_seed(0),
    } | settings
    return collect_examples(SCHEMA, numbers, labels, pools=pools, scale=SCALE, decide=decide, **settings), pools


def real(examples):
    """The answers that count, with the question of each."""
    question, place = torch.nonzero(
        torch.arange(examples.answers.shape[1]) < examples.count.unsqueeze(1), as_tuple=True
    )
    return question, examples.answers[question, place]


def test_every_answer_is_of_the_class_and_keeps_what_is_locked():
    examples, _ = collected()
    question, answers = real(examples)
    assert (decide(answers) == examples.target[question]).all()
    assert (decide(examples.factuals) != examples.target).all()
    locked = examples.locked[question]
    assert (answers[locked] == examples.factuals[question][locked]).all()
    assert examples.locked[:, 3].all()  # protected by the schema


def test_unlocked_answers_are_the_nearest_rows_by_brute_force():
    examples, pools = collected(masks=lambda rows: torch.zeros(rows, 4, dtype=torch.bool))
    for k in range(0, len(examples), 23):
        row, target, norm = examples.factuals[k : k + 1], int(examples.target[k]), float(examples.norm[k])
        pool = pools[target]
        gap = torch.cat(((row[:, :2] - pool[:, :2]).abs() / SCALE[:2], (row[:, 2:] != pool[:, 2:]).double()), 1)
        distance = (gap**norm * torch.tensor([1.0, 1.0, 1.0, 1000.0])).sum(1)
        nearest = pool[distance.topk(5, largest=False).indices].clone()
        nearest[:, 3] = row[0, 3]
        assert {tuple(a) for a in examples.answers[k, : examples.count[k]].tolist()} <= {
            tuple(a) for a in nearest.tolist()
        }


def test_classes_and_norms_are_asked_equally_often():
    examples, _ = collected(count=400)
    for target in (0, 1):
        for norm in (2.0, 0.5):
            assert ((examples.target == target) & (examples.norm == norm)).sum() in range(70, 101)


def test_one_answer_is_one_of_those_that_count():
    examples, _ = collected()
    question, answers = real(examples)
    drawn = examples.one_answer(torch.Generator().manual_seed(1))
    known = {(q, *a) for q, a in zip(question.tolist(), answers.tolist(), strict=True)}
    assert all((q, *a) in known for q, a in enumerate(drawn.tolist()))


def test_nothing_to_learn_from_is_said():
    numbers = table(60)
    with pytest.raises(DataError, match="no row of the table has a neighbor"):
        collect_examples(
            SCHEMA,
            numbers,
            torch.zeros(60, dtype=torch.long),
            pools=[numbers, numbers[:0]],
            scale=SCALE,
            decide=decide,
            norms=(2.0,),
            count=10,
            neighbors=3,
            generator=torch.Generator().manual_seed(0),
        )


def test_masks_are_often_empty_and_of_every_size():
    sizes = draw_masks(4000, 8, generator=torch.Generator().manual_seed(0)).sum(1)
    assert 0.4 < (sizes == 0).double().mean() < 0.55
    assert set(sizes.tolist()) == set(range(9))


def test_what_may_change_is_what_some_legal_row_changes():
    """Against brute force: many proposals, projected, show which entries can move at all."""
    schema, numbers = mixed_schema(), torch.from_numpy(mixed_numbers(60))
    rules = Rules.compile(schema, Constraints(immutable=["label"], increase_only=["level"]), numbers)
    proposals = torch.from_numpy(mixed_numbers(3000, seed=1)).unsqueeze(1).expand(-1, 60, -1)
    moved = rules.changed(rules.project(proposals)).any(0)
    torch.testing.assert_close(changeable(rules), moved)
    assert fixed_columns(schema, numbers)[:, 1].eq(numbers[:, 1] == -9).all()  # a code that stays


def test_steady_rows_are_those_far_from_the_boundary():
    numbers = table(800)
    labels = decide(numbers)
    kept = steady_rows(
        numbers, labels, 1, most=500, share=0.5, decide=decide, generator=torch.Generator().manual_seed(0)
    )
    own = numbers[labels == 1]
    score = lambda rows: (rows[:, 0] - 0.3 * (rows[:, 1] - 4.5) + (rows[:, 2] == 0)).mean()  # noqa: E731
    assert len(kept) == min(500, len(own)) // 2
    assert score(kept) > score(own) + 0.3
    assert (decide(kept) == 1).all()


def test_steadiness_is_certain_where_nothing_can_change_the_decision():
    rows = table(50)
    always = lambda numbers: torch.ones(len(numbers), dtype=torch.long)  # noqa: E731
    share = steadiness(rows, 1, others=rows, decide=always, generator=torch.Generator().manual_seed(0))
    assert (share == 1).all()


def test_neighbors_of_a_locked_question_agree_on_what_is_locked():
    """With a >> 1 a row that agrees on the locked columns always comes first."""
    numbers = table(600)
    rows, pool = numbers[:50], numbers[50:]
    locked = torch.tensor([[False, True, True, False]]).expand(50, -1)
    _, place = Neighbors(SCHEMA, pool, scale=SCALE).find(rows, locked=locked, norm=1.0, count=1)
    agrees = (pool[None, :, 1:3] == rows[:, None, 1:3]).all(-1)
    assert agrees.any(1).double().mean() > 0.9
    best = (pool[place[:, 0], 1:3] == rows[:, 1:3]).all(1)
    assert (best == agrees.any(1)).all()
