"""Turns are taken in order, slow racers leave early, and one that fails does not stop the others."""

import time

import pytest

from benchmarks.timing import Failure, Local, Plan, Times, Turns, quartiles, take_turns


def test_all_take_their_turns_and_each_goes_first():
    calls = []
    racers = {name: Local(lambda name=name: calls.append(name)) for name in "abc"}
    turns = take_turns(racers, Plan(seconds=0.0, rounds=3))
    assert "".join(calls) == "aaa" + "bbb" + "ccc" + "abc" + "bca" + "cab"  # first call and warm-up, then three rounds
    assert turns.rounds == 3
    assert not turns.failures


def test_a_burst_is_as_many_calls_as_fit():
    plan = Plan(seconds=0.1)
    assert [plan.calls(pace) for pace in (0.5, 0.03, 0.001, 1e-9)] == [1, 3, 100, 500]


def test_slow_racers_have_few_turns():
    plan = Plan(rounds=9, least=3, slow=1.0, endless=15.0)
    assert [plan.turns(pace) for pace in (0.01, 1.5, 20.0)] == [9, 3, 1]
    assert Plan(rounds=2, least=3).turns(1.5) == 2


def test_a_racer_that_slows_the_race_leaves_it_and_the_others_go_on():
    plan = Plan(seconds=0.0, rounds=4, least=2, slow=0.005)
    turns = take_turns({"quick": Local(lambda: None), "slow": Local(lambda: time.sleep(0.01))}, plan)
    assert {name: len(times.rounds) for name, times in turns.times.items()} == {"quick": 4, "slow": 2}
    assert turns.times["slow"].median >= 0.01
    assert turns.rounds == 2


class Fails:
    """Works so often, and then no more."""

    def __init__(self, after):
        self.left = after

    def burst(self, calls):
        self.left -= 1
        if self.left < 0:
            raise Failure("is tired")
        return [1e-6] * calls


@pytest.mark.parametrize("after", [0, 2, 4])
def test_who_fails_is_named_and_the_others_go_on(after):
    turns = take_turns({"fails": Fails(after), "works": Fails(10**6)}, Plan(rounds=5))
    assert list(turns.times) == ["works"]
    assert len(turns.times["works"].rounds) == 5
    assert str(turns.failures["fails"]) == "is tired"


class Counted:
    """Bursts of one, two, ... milliseconds a call."""

    def burst(self, calls):
        return [0.001 * (1 + call) for call in range(calls)]


def test_a_round_counts_as_the_median_of_its_burst():
    turns = take_turns({"counted": Counted()}, Plan(seconds=0.005, rounds=2))
    assert turns.times["counted"] == Times(0.001, (0.003, 0.003), calls=5)


def test_medians_and_quartiles():
    assert Turns({"a": Times(9.0, (3.0, 1.0, 2.0))}).times["a"].median == 2.0
    assert quartiles([1.0, 2.0, 3.0]) == (1.5, 2.5)
    assert quartiles([4.0]) == (4.0, 4.0)
