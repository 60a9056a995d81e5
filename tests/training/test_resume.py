import errno
import os
import time

import pytest
import torch

from counterflow import flows
from counterflow.core.errors import PersistenceError
from counterflow.core.outcomes import FitOutcome
from tests.training.helpers import CountingGaussian, assert_same_state, normal_rows, quick_fit, seeded, state


def dequantize(x, generator):
    return x + torch.rand(x.shape, generator=generator), torch.zeros(len(x))


def build(name):
    if name == "realnvp":
        return flows.realnvp(2, layers=2, hidden=(8,), generator=seeded(3))
    return CountingGaussian()


X = 3 + 2 * normal_rows(seed=9)


def losses(report):
    return [record[:4] for record in report.history]


def interrupt_at(epoch):
    def on_epoch(record):
        if record.epoch == epoch:
            raise KeyboardInterrupt

    return on_epoch


def interrupt_in_step(step):
    """An augmentation that lets Ctrl-C come in the middle of an epoch."""
    calls = []

    def augment(x, generator):
        calls.append(1)
        if len(calls) == step:
            raise KeyboardInterrupt
        return dequantize(x, generator)

    return augment


@pytest.mark.parametrize("schedule", ["cosine", "plateau"])
@pytest.mark.parametrize("name", ["realnvp", "counting"])
@pytest.mark.parametrize("epoch", [1, 4])
def test_an_interrupted_run_resumes_to_the_same_result_bit_by_bit(tmp_path, schedule, name, epoch):
    settings = {"max_epochs": 7, "patience": 3, "learning_rate": 0.05, "schedule": schedule, "augment": dequantize}
    whole = build(name)
    expected = quick_fit(whole, X, **settings)

    broken = build(name)
    with pytest.raises(KeyboardInterrupt) as caught:
        quick_fit(broken, X, checkpoint=tmp_path / "run", on_epoch=interrupt_at(epoch), **settings)
    assert f"after {epoch} finished epochs" in caught.value.__notes__[0]
    assert "The same call with resume=True goes on from" in caught.value.__notes__[0]

    resumed = build(name)
    report = quick_fit(resumed, X, checkpoint=tmp_path / "run", resume=True, **settings)
    assert_same_state(state(resumed), state(whole))
    assert losses(report) == losses(expected)
    assert (report.outcome, report.best_epoch) == (expected.outcome, expected.best_epoch)


@pytest.mark.parametrize("step", [2, 3, 20])
def test_an_interrupt_in_the_middle_of_an_epoch_costs_only_that_epoch(tmp_path, step):
    whole = build("counting")
    expected = quick_fit(whole, X, augment=dequantize)
    with pytest.raises(KeyboardInterrupt):
        quick_fit(build("counting"), X, augment=interrupt_in_step(step), checkpoint=tmp_path / "run")
    resumed = build("counting")
    report = quick_fit(resumed, X, augment=dequantize, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(resumed), state(whole))
    assert losses(report) == losses(expected)


def test_the_same_flow_and_a_spent_generator_may_resume(tmp_path):
    whole, broken, generator = build("counting"), build("counting"), seeded(1)
    quick_fit(whole, X)
    with pytest.raises(KeyboardInterrupt):
        quick_fit(broken, X, generator=generator, checkpoint=tmp_path / "run", on_epoch=interrupt_at(2))
    quick_fit(broken, X, generator=generator, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(broken), state(whole))


def test_a_run_that_diverged_before_the_interrupt_resumes_to_the_same_result(tmp_path):
    def held_out(epoch_of_trouble):
        seen = []

        class Troubled(CountingGaussian):
            def forward(self, x, context=None):
                if not self.training:
                    seen.append(1)
                    if len(seen) == epoch_of_trouble:
                        return super().forward(x) * torch.nan
                return super().forward(x)

        return Troubled()

    whole = held_out(2)
    expected = quick_fit(whole, X)
    with pytest.raises(KeyboardInterrupt):
        quick_fit(held_out(2), X, checkpoint=tmp_path / "run", on_epoch=interrupt_at(3))
    resumed = held_out(0)
    report = quick_fit(resumed, X, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(resumed), state(whole))
    assert [repr(loss) for loss in losses(report)] == [repr(loss) for loss in losses(expected)]  # NaN included


def test_resume_starts_afresh_where_there_is_no_checkpoint(tmp_path):
    one, other = build("counting"), build("counting")
    quick_fit(one, X)
    quick_fit(other, X, checkpoint=tmp_path / "none yet", resume=True)
    assert_same_state(state(one), state(other))


def test_a_finished_run_is_not_run_again(tmp_path):
    first, second, epochs = build("counting"), build("counting"), []
    expected = quick_fit(first, X, checkpoint=tmp_path / "run")
    report = quick_fit(second, X, checkpoint=tmp_path / "run", resume=True, on_epoch=epochs.append)
    assert not epochs
    assert report == expected
    assert_same_state(state(first), state(second))


def test_without_resume_a_checkpoint_is_replaced(tmp_path):
    quick_fit(build("counting"), X, checkpoint=tmp_path / "run")
    report = quick_fit(build("realnvp"), X[:50], checkpoint=tmp_path / "run", max_epochs=2)
    assert report.epochs == 2


def test_a_constant_schedule_may_be_continued_for_more_epochs(tmp_path):
    whole, longer = build("counting"), build("counting")
    expected = quick_fit(whole, X, schedule="constant", max_epochs=6)
    report = quick_fit(longer, X, schedule="constant", max_epochs=2, checkpoint=tmp_path / "run")
    assert report.outcome is FitOutcome.MAX_EPOCHS
    report = quick_fit(longer, X, schedule="constant", max_epochs=6, checkpoint=tmp_path / "run", resume=True)
    assert losses(report) == losses(expected)
    assert_same_state(state(longer), state(whole))


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": 0.5},
        {"max_epochs": 9},
        {"batch_size": 31},
        {"validation": 0.2},
        {"weights": torch.ones(200)},
        {"augment": dequantize},
        {"precision": "float64"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_of_another_run_is_refused(tmp_path, change):
    quick_fit(build("counting"), X, checkpoint=tmp_path / "run")
    with pytest.raises(PersistenceError, match="is of another run: its data, module or settings differ"):
        quick_fit(build("counting"), X, checkpoint=tmp_path / "run", resume=True, **change)
    with pytest.raises(PersistenceError, match="is of another run"):
        quick_fit(build("counting"), X + 1, checkpoint=tmp_path / "run", resume=True)


def test_a_damaged_checkpoint_is_refused_and_the_flow_is_whole(tmp_path):
    quick_fit(build("counting"), X, checkpoint=tmp_path / "run")
    (file,) = (tmp_path / "run").glob("tensors-*")
    file.write_bytes(file.read_bytes()[:-9])
    flow = build("counting")
    before = state(flow)
    with pytest.raises(PersistenceError, match="was changed or cut short"):
        quick_fit(flow, X, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(flow), before)


def test_a_full_disk_leaves_the_former_checkpoint_and_the_best_weights(tmp_path, monkeypatch):
    whole = build("counting")
    quick_fit(whole, X)
    with pytest.raises(KeyboardInterrupt):
        quick_fit(build("counting"), X, checkpoint=tmp_path / "run", on_epoch=interrupt_at(2))

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    full = build("counting")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(PersistenceError, match="No space left on device"):
            quick_fit(full, X, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(full), state(whole))
    resumed = build("counting")
    quick_fit(resumed, X, checkpoint=tmp_path / "run", resume=True)
    assert_same_state(state(resumed), state(whole))


@pytest.mark.parametrize("step", [3, 11])
def test_an_epoch_that_time_cut_short_is_done_again(tmp_path, step):
    calls = []

    def slow_at_a_step(x, generator):
        calls.append(1)
        if len(calls) == step:
            time.sleep(1.0)
        return dequantize(x, generator)

    whole = build("counting")
    expected = quick_fit(whole, X, augment=dequantize)
    cut = quick_fit(build("counting"), X, augment=slow_at_a_step, checkpoint=tmp_path / "run", time_limit=0.9)
    assert cut.outcome is FitOutcome.OUT_OF_TIME
    assert cut.epochs < expected.epochs
    resumed = build("counting")
    report = quick_fit(resumed, X, augment=dequantize, checkpoint=tmp_path / "run", resume=True)
    assert losses(report) == losses(expected)
    assert_same_state(state(resumed), state(whole))
