"""Ctrl-C during fit leaves a checkpoint, and ``--resume`` ends where an uninterrupted run does, bit by bit."""

import pytest

from counterflow.counterfactuals import background
from counterflow.persistence import load_folder
from counterflow.training import fit as real_fit


class Interruption:
    """Press Ctrl-C after some epochs of the flow of this number."""

    def __init__(self, flow: int, epoch: int) -> None:
        self.flow, self.epoch, self.flows, self.epochs = flow, epoch, 0, []

    def __call__(self, *arguments, **settings):
        number, self.flows = self.flows, self.flows + 1
        self.epochs.append(0)

        def count(record):
            self.epochs[number] += 1
            if (number, self.epochs[number]) == (self.flow, self.epoch):
                raise KeyboardInterrupt

        return real_fit(*arguments, on_epoch=count, **settings)


@pytest.fixture
def command(table):
    return ("fit", table, "--target", "loan", "--protected", "sex", "--out", "folder")


@pytest.mark.parametrize("flow", [0, 2])
def test_an_interrupted_fit_goes_on_to_the_same_result(run, quick, command, folder, monkeypatch, tmp_path, flow):
    monkeypatch.setattr(background, "fit", Interruption(flow, epoch=3))
    ended = run(*command)
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == (
        "counterflow: interrupted. The same command with --resume goes on from here, to the same result."
    )
    assert [path.name for path in (tmp_path / "folder").iterdir()] == ["fit-checkpoint"]

    again = Interruption(-1, epoch=0)
    monkeypatch.setattr(background, "fit", again)
    assert run(*command, "--resume").code == 0
    assert again.epochs[:flow] == [0] * flow  # what was finished is not done again
    assert again.epochs[flow] <= 4
    whole, resumed = load_folder(folder, "explainer"), load_folder(tmp_path / "folder", "explainer")
    assert resumed.config == whole.config
    assert resumed.tensors.keys() == whole.tensors.keys()
    assert all(resumed.tensors[name].equal(tensor) for name, tensor in whole.tensors.items())
    assert not (tmp_path / "folder" / "fit-checkpoint").exists()


def test_without_resume_it_starts_afresh(run, quick, command, monkeypatch):
    monkeypatch.setattr(background, "fit", Interruption(1, epoch=3))
    run(*command)
    again = Interruption(-1, epoch=0)
    monkeypatch.setattr(background, "fit", again)
    assert run(*command).code == 0
    assert again.epochs[0] > 0


def test_a_checkpoint_of_another_run_is_refused(run, quick, command, monkeypatch):
    monkeypatch.setattr(background, "fit", Interruption(0, epoch=3))
    run(*command)
    monkeypatch.setattr(background, "fit", real_fit)
    ended = run(*command, "--seed", 5, "--resume")
    assert ended.code == 2
    assert "of another run: leave out --resume" in ended.err.splitlines()[-1]


def test_nothing_to_resume_is_said(run, quick, command):
    ended = run(*command, "--resume")
    assert ended.code == 0
    assert "holds nothing to resume" in ended.err
