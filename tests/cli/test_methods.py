"""``--method``: one that learns does so when fitting, and any other can be asked for afterwards."""

from dataclasses import dataclass

import pytest

from counterflow.counterfactuals import CounterfactualAnswer, DiCoFlex


@dataclass(frozen=True)
class Small(DiCoFlex):
    """DiCoFlex with a small flow and a short lesson."""

    draws: int = 8
    neighbors: int = 8
    questions: int = 400
    epochs: int = 1
    rehearsals: int = 0
    bins: int = 6
    hidden: tuple[int, ...] = (16,)
    width: int = 8


@pytest.fixture
def small(monkeypatch):
    """Give DiCoFlex's name to the small one."""
    from counterflow.estimators.methods import METHODS

    monkeypatch.setitem(METHODS, "dicoflex", Small)


@pytest.mark.parametrize("method", ["nearest", "growing_spheres"])
def test_any_method_can_be_asked_of_a_folder(run, folder, rows, method):
    ended = run("explain", folder, rows, "--desired", "yes", "--method", method, "--out", "cfs.json")
    assert ended.code == 0, ended.err
    assert CounterfactualAnswer.from_json("cfs.json").provenance["method"]["name"] == method


def test_a_method_that_learns_is_fitted_saved_and_asked(run, quick, small, table, rows):
    ended = run("fit", table, "--target", "loan", "--method", "dicoflex", "--out", "f")
    assert ended.code == 0, ended.err
    ended = run("explain", "f", rows, "--desired", "yes", "--count", 2, "--out", "cfs.json")
    assert ended.code == 0, ended.err
    answer = CounterfactualAnswer.from_json("cfs.json")
    assert answer.provenance["method"]["draws"] == 8
    assert answer.kept.all()
