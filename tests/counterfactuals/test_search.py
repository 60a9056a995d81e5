"""The search on convex problems whose answers are known, row by row and together."""

import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.counterfactuals.objectives import Terms
from counterflow.counterfactuals.search import Box, Deadline, SearchSettings, search

CAREFUL = SearchSettings(
    weight=3.0, learning_rate=0.1, max_steps=800, patience=40, halvings=9, tolerance=1e-5, smoothing=1.0
)
CALM = -1.0


def wide(start, reach=10.0):
    return Box(torch.full_like(start, -reach), torch.full_like(start, reach))


def euclidean(x, origin):
    squares = (x - origin).square().sum(1)
    return torch.where(squares > 0, squares.clamp(min=1e-300), 1e-300).sqrt()


class HalfSpace:
    """The nearest point to an origin with a . x >= b."""

    def __init__(self, origin, normal, offset):
        self.origin, self.normal, self.offset = origin, normal, offset

    def __call__(self, x, rows):
        gap = self.offset[rows] - (self.normal[rows] * x).sum(1)
        return Terms(euclidean(x, self.origin[rows]), gap, torch.full((1, len(x)), CALM, dtype=x.dtype))

    def solution(self):
        missing = (self.offset - (self.normal * self.origin).sum(1)).clamp(min=0)
        return self.origin + (missing / self.normal.square().sum(1))[:, None] * self.normal


def random_half_spaces(rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    return HalfSpace(draw(rows, 3), draw(rows, 3) + 0.3, draw(rows) + 1)


def test_the_nearest_point_of_a_half_space():
    problem = random_half_spaces(40)
    found = search(problem, problem.origin, wide(problem.origin), settings=CAREFUL)
    assert found.feasible.all()
    length, least = (euclidean(x, problem.origin) for x in (found.x, problem.solution()))
    assert (problem(found.x, torch.arange(40)).validity <= 0).all()
    assert (length >= least - 1e-9).all()
    assert (length <= least + 1e-3).all()


def test_usual_settings_come_close_to_it():
    """What a search of real rows uses, the gaps' running mean and few steps: always feasible, some way too far."""
    problem = random_half_spaces(40)
    found = search(problem, problem.origin, wide(problem.origin), settings=SearchSettings(max_steps=120))
    length, least = (euclidean(x, problem.origin) for x in (found.x, problem.solution()))
    needed = least > 0.3
    assert found.feasible.all()
    assert (length / least)[needed].median() < 1.4
    assert (length - least).max() < 1.0


def test_the_nearest_point_of_a_ball():
    """Outside a ball of radius 1 the nearest point lies on the ray to its center; inside it is the start."""
    start = torch.tensor([[4.0, 0.0], [0.0, -3.0], [0.2, 0.1], [3.0, 3.0]], dtype=torch.float64)

    def ball(x, rows):
        gap = x.square().sum(1) - 1
        return Terms(euclidean(x, start[rows]), gap, torch.full((2, len(x)), CALM, dtype=x.dtype))

    found = search(ball, start, wide(start), settings=CAREFUL)
    expected = start / start.norm(dim=1, keepdim=True).clamp(min=1.0)
    assert found.feasible.all()
    torch.testing.assert_close(found.x, expected, atol=1e-3, rtol=0)
    assert torch.equal(found.x[2], start[2])


def test_two_constraints_meet_in_a_corner():
    """The validity hinge asks x >= 1, the two flows y >= 2 and y >= 1: the nearest point is (1, 2)."""

    def corner(x, rows):
        shortfall = torch.stack((2 - x[:, 1], 1 - x[:, 1]))
        return Terms(x.abs().sum(1), 1 - x[:, 0], shortfall)

    start = torch.zeros(1, 2, dtype=torch.float64)
    found = search(corner, start, wide(start), settings=CAREFUL)
    assert found.feasible.all()
    torch.testing.assert_close(found.x, torch.tensor([[1.0, 2.0]], dtype=torch.float64), atol=1e-3, rtol=0)


def test_the_box_is_never_left_and_its_corner_is_the_least_violating_point():
    seen = []

    def far(x, rows):
        seen.append(x.detach().clone())
        return Terms(x.abs().sum(1), 10 - x.sum(1), torch.full((1, len(x)), CALM, dtype=x.dtype))

    start = torch.zeros(1, 2, dtype=torch.float64)
    box = Box(torch.tensor([[-1.0, 0.0]], dtype=torch.float64), torch.tensor([[2.0, 0.5]], dtype=torch.float64))
    found = search(far, start, box, settings=SearchSettings(max_steps=100, weight=5.0))
    assert not found.feasible.any()
    torch.testing.assert_close(found.x, box.upper)
    assert all(((x >= box.lower) & (x <= box.upper)).all() for x in seen)


def test_a_start_outside_the_box_is_clamped_and_pinned_columns_stay():
    start = torch.tensor([[9.0, 3.0]], dtype=torch.float64)
    box = Box(torch.tensor([[-1.0, 3.0]], dtype=torch.float64), torch.tensor([[2.0, 3.0]], dtype=torch.float64))

    def problem(x, rows):
        return Terms(x.abs().sum(1), x.sum(1) - 3.5, torch.full((1, len(x)), CALM, dtype=x.dtype))

    found = search(problem, start, box, settings=SearchSettings())
    assert found.x[0, 1] == 3.0
    assert -1 <= found.x[0, 0] <= 0.5


def test_validity_comes_first_among_infeasible_points():
    """Validity and density exclude each other: the point kept is valid, and as dense as that allows."""

    def torn(x, rows):
        return Terms(x.abs().sum(1), 1 - x[:, 0], 0.2 * (x[:, 0] + 1)[None])

    start = torch.zeros(1, 1, dtype=torch.float64)
    found = search(torn, start, wide(start), settings=CAREFUL)
    assert not found.feasible.any()
    assert found.x.item() == pytest.approx(1.0, abs=0.02)


@settings(max_examples=6)
@given(st.integers(0, 10**6), st.sampled_from([0.05, 0.3]))
def test_a_row_alone_is_the_same_among_many(seed, rate):
    problem = random_half_spaces(7, seed)
    setting = SearchSettings(learning_rate=rate, max_steps=60)
    together = search(problem, problem.origin, wide(problem.origin), settings=setting)
    for row in range(0, 7, 2):
        one = HalfSpace(*(part[row : row + 1] for part in (problem.origin, problem.normal, problem.offset)))
        alone = search(one, one.origin, wide(one.origin), settings=setting)
        torch.testing.assert_close(alone.x[0], together.x[row], rtol=0, atol=1e-12)
        assert alone.feasible[0] == together.feasible[row]
        assert alone.steps[0] == together.steps[row]


def test_rows_leave_on_their_own_and_are_not_asked_again():
    """An easy row leaves long before a hard one, and from then on the problem no longer sees it."""
    asked = []

    def problem(x, rows):
        asked.append(rows.tolist())
        goal = torch.tensor([0.0, 8.0], dtype=x.dtype)[rows]
        return Terms(x.abs().sum(1), goal - x[:, 0], torch.full((1, len(x)), CALM, dtype=x.dtype))

    start = torch.zeros(2, 1, dtype=torch.float64)
    found = search(problem, start, wide(start), settings=SearchSettings(learning_rate=0.05, max_steps=400))
    assert found.steps[0] < found.steps[1] <= 400
    assert asked[0] == [0, 1]
    assert asked[-1] == [1]
    assert len(asked) == found.steps[1]
    assert sum(0 in rows for rows in asked) == found.steps[0]
    assert found.feasible.all()


def test_infeasible_rows_use_every_step():
    start = torch.zeros(1, 1, dtype=torch.float64)

    def hopeless(x, rows):
        return Terms(x.abs().sum(1), torch.ones(len(x), dtype=x.dtype) + 0 * x[:, 0], torch.ones(1, len(x)).to(x))

    found = search(hopeless, start, wide(start), settings=SearchSettings(max_steps=37, patience=2, halvings=1))
    assert found.steps.tolist() == [37]


def test_no_time_means_the_start():
    start = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    problem = HalfSpace(start, torch.ones(1, 2, dtype=torch.float64), torch.tensor([99.0], dtype=torch.float64))
    found = search(problem, start, wide(start), settings=SearchSettings(), deadline=Deadline(0.0))
    assert torch.equal(found.x, start)
    assert not found.feasible.any()


def test_the_deadline_stops_a_long_search(monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    calls = []
    start = torch.zeros(1, 1, dtype=torch.float64)

    def problem(x, rows):
        calls.append(1)
        return Terms(x.abs().sum(1), 50 - x[:, 0], torch.full((1, len(x)), CALM, dtype=x.dtype))

    search(problem, start, wide(start), settings=SearchSettings(max_steps=1000), deadline=Deadline(10.0))
    assert len(calls) == 9  # the clock ticks once for the start and once a step; 10 ticks on, it is over


def test_no_rows_are_no_trouble():
    start = torch.zeros(0, 3, dtype=torch.float64)
    found = search(random_half_spaces(1), start, wide(start), settings=SearchSettings())
    assert found.x.shape == (0, 3)
    assert found.feasible.shape == (0,)


def test_a_noisy_gap_counts_by_its_running_mean():
    """Draws of a gap of mean 1 - x and spread 1 are often negative at x = 0.2; the answer must not be fooled by one."""
    rows, noise = 64, 1.0
    generator = torch.Generator().manual_seed(0)

    def noisy(x, index):
        draw = noise * torch.randn(1, generator=generator, dtype=x.dtype)
        return Terms(x.abs().sum(1), 1 - x[:, 0] + draw, torch.full((1, len(x)), CALM, dtype=x.dtype))

    start = torch.zeros(rows, 1, dtype=torch.float64) + torch.linspace(0, 0.4, rows, dtype=torch.float64)[:, None]
    smooth = SearchSettings(learning_rate=0.05, max_steps=80, smoothing=0.1, weight=20.0)
    generator.manual_seed(0)
    calm = search(noisy, start, wide(start), settings=smooth)
    generator.manual_seed(0)
    hasty = search(
        noisy, start, wide(start), settings=SearchSettings(learning_rate=0.05, max_steps=80, smoothing=1.0, weight=20.0)
    )
    assert calm.x.mean() > hasty.x.mean() + 0.1


def test_nan_is_never_taken_for_an_answer():
    """A problem that is undefined beyond x = 0.5 still ends with a point where it was defined."""
    start = torch.zeros(1, 1, dtype=torch.float64)

    def partly(x, rows):
        value = torch.where(x[:, 0] > 0.5, torch.nan, 1 - x[:, 0])
        return Terms(x.abs().sum(1), value, torch.full((1, len(x)), CALM, dtype=x.dtype))

    found = search(partly, start, wide(start), settings=SearchSettings(max_steps=50))
    assert not found.feasible.any()
    assert found.x.isfinite().all()
    assert found.x.item() <= 0.5


@pytest.mark.parametrize("distances", [(3.0, 1.0, 2.0), (1.0, 3.0, 2.0), (3.0, 2.0, 1.0)])
def test_of_the_feasible_points_visited_the_nearest_is_kept(distances):
    visited = []

    def staged(x, rows):
        visited.append(x.detach().clone())
        length = distances[min(len(visited), 3) - 1]
        return Terms(length + (0 * x + x - x.detach()).sum(1), 0 * x[:, 0] - 1, -torch.ones(1, 1).to(x))

    start = torch.zeros(1, 1, dtype=torch.float64)
    found = search(staged, start, wide(start), settings=SearchSettings(max_steps=3))
    assert found.feasible.all()
    assert torch.equal(found.x, visited[distances.index(1.0)])
