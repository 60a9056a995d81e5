import math

import pytest
import torch
from torch import nn

from counterflow.core.errors import ArgumentError, PersistenceError, ShapeError
from counterflow.core.outcomes import FitOutcome
from counterflow.training import TrainingSettings, optimise
from tests.training.helpers import assert_same_state, seeded, state


class Point(nn.Module):
    """One number to move about."""

    def __init__(self, start=0.0):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(float(start)))

    def forward(self):
        return self.at


def away_from(module, target):
    return (module() - target).square()


def settings(**changes):
    return TrainingSettings(**({"max_epochs": 10, "schedule": "constant", "progress": False} | changes))


def scripted(losses):
    """A held-out loss that follows a script, one value an epoch."""
    values = iter(losses)
    return lambda module: torch.tensor(next(values))


def test_a_list_of_batches_is_run_through_every_epoch():
    point = Point()
    report = optimise(point, away_from, [1.0, 3.0], settings=settings(max_epochs=400, learning_rate=0.05, patience=400))
    assert point.at.item() == pytest.approx(2.0, abs=0.06)
    assert report.outcome is FitOutcome.MAX_EPOCHS
    assert report.epochs == len(report.history) == 400


def test_steps_are_those_of_a_loop_by_hand_bit_by_bit():
    start = torch.randn(16, generator=seeded())  # a whole number of aligned parameters: the same kernels run
    net, twin = nn.Linear(16, 1, bias=False), nn.Linear(16, 1, bias=False)
    for module in (net, twin):
        module.weight.data = start[None].clone()
    data = torch.randn(12, 16, generator=seeded(1)).split(4)

    def loss(module, x):
        return module(x).square().mean()

    report = optimise(net, loss, data, settings=settings(max_epochs=7, schedule="cosine", learning_rate=0.1, clip=0.5))

    optimizer = torch.optim.Adam(twin.parameters(), lr=0.1, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=7)
    losses = []
    for _ in range(7):
        values = []
        for x in data:
            optimizer.zero_grad()
            value = loss(twin, x)
            value.backward()
            nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
            optimizer.step()
            values.append(value.detach().double())
        schedule.step()
        losses.append((sum(values) / 3).item())
    assert [record.train for record in report.history] == losses
    assert report.best_epoch == 7
    assert torch.equal(net.weight, twin.weight)


def test_weight_decay_is_adamws():
    point, twin = Point(2.0), Point(2.0)
    optimise(point, away_from, [0.0], settings=settings(max_epochs=1, learning_rate=0.1, weight_decay=0.5))
    optimizer = torch.optim.AdamW(twin.parameters(), lr=0.1, weight_decay=0.5)
    away_from(twin, 0.0).backward()
    optimizer.step()
    assert point.at.item() == pytest.approx(twin.at.item(), rel=1e-6)


def test_early_stopping_restores_the_best_weights():
    point, seen = Point(), []

    def validate(module):
        seen.append(module.at.item())
        return torch.tensor([5.0, 4.0, 4.5, 4.0, 4.1, 9.0][len(seen) - 1])

    report = optimise(point, away_from, [10.0], validate=validate, settings=settings(patience=3))
    assert report.outcome is FitOutcome.CONVERGED
    assert (report.epochs, report.best_epoch, report.best_validation) == (5, 2, 4.0)
    assert point.at.item() == seen[1] != seen[-1]
    assert [record.validation for record in report.history] == pytest.approx([5.0, 4.0, 4.5, 4.0, 4.1])


def test_without_held_out_rows_the_training_loss_decides():
    report = optimise(Point(), away_from, [10.0], settings=settings(max_epochs=3))
    assert all(math.isnan(record.validation) for record in report.history)
    assert report.best_validation == report.history[-1].train


def test_the_module_trains_in_training_mode_and_is_judged_and_left_in_evaluation_mode():
    point, modes = Point(), []

    def loss(module, target):
        modes.append(module.training)
        return away_from(module, target)

    def validate(module):
        modes.append(module.training)
        assert not torch.is_grad_enabled()
        return module().square()

    optimise(point.eval(), loss, [1.0], validate=validate, settings=settings(max_epochs=2))
    assert modes == [True, False, True, False]
    assert not point.training


class TestDivergence:
    def test_a_loss_that_is_no_number_is_undone_at_a_lower_learning_rate(self):
        held_out = scripted([3.0, 2.0, math.nan, 1.0, math.inf, 0.5])
        report = optimise(Point(), away_from, [10.0], validate=held_out, settings=settings(max_epochs=6))
        rates = [record.learning_rate for record in report.history]
        assert rates == pytest.approx([1e-3, 1e-3, 1e-3, 2e-4, 2e-4, 4e-5])
        assert (report.outcome, report.best_validation) == (FitOutcome.MAX_EPOCHS, 0.5)

    def test_weights_and_moments_start_again_from_the_best(self):
        point, after = Point(), []
        targets = iter([1.0, math.nan, 1.0])
        optimise(
            point,
            away_from,
            lambda generator: [next(targets)],
            settings=settings(max_epochs=3, learning_rate=0.1),
            on_epoch=lambda record: after.append(point.at.item()),
        )
        assert after[0] == after[1] == pytest.approx(0.1)
        assert after[2] - after[1] == pytest.approx(0.02)  # a first step of Adam is as long as its learning rate

    def test_the_fourth_time_ends_the_run_with_the_last_good_weights(self):
        point, seen = Point(), []
        script = [2.0, math.nan, math.nan, math.nan, 1.0, math.nan, 0.0]

        def validate(module):
            seen.append(module.at.item())
            return torch.tensor(script[len(seen) - 1])

        report = optimise(point, away_from, [10.0], validate=validate, settings=settings())
        assert (report.outcome, report.epochs, report.best_epoch) == (FitOutcome.DIVERGED, 6, 5)
        assert point.at.item() == seen[4]

    def test_a_loss_that_never_was_a_number_leaves_the_first_weights(self):
        point = Point(1.5)
        report = optimise(point, away_from, [math.nan], settings=settings())
        assert report.outcome is FitOutcome.DIVERGED
        assert (report.epochs, report.best_epoch, point.at.item()) == (4, 0, 1.5)
        assert math.isnan(report.best_validation)

    def test_an_explosion_is_undone_but_a_high_start_is_none(self):
        targets = iter([1e4, 1.0, 2.0, 1e4, 1.0])
        point = Point()
        report = optimise(point, away_from, lambda generator: [next(targets)], settings=settings(max_epochs=5))
        rates = [record.learning_rate for record in report.history]
        assert rates == pytest.approx([1e-3] * 4 + [2e-4])

    def test_a_long_epoch_is_broken_off_once_the_loss_is_no_number(self):
        dealt = []

        def deal(generator):
            for _ in range(2000):
                dealt.append(1)
                yield math.nan

        optimise(Point(), away_from, deal, settings=settings())
        assert len(dealt) == 4 * 256


class TestEnds:
    def test_a_callback_stops_the_run(self):
        report = optimise(
            Point(), away_from, [1.0], settings=settings(), on_epoch=lambda record: False if record.epoch == 4 else None
        )
        assert (report.outcome, report.epochs) == (FitOutcome.INTERRUPTED, 4)

    def test_the_time_limit_ends_a_run_in_the_middle_of_an_epoch(self):
        def endless(generator):
            while True:
                yield 1.0

        point = Point()
        report = optimise(point, away_from, endless, settings=settings(time_limit=0.05))
        assert (report.outcome, report.epochs, report.best_epoch) == (FitOutcome.OUT_OF_TIME, 1, 1)
        assert 0 < point.at.item() <= 1.1
        assert report.seconds < 5

    def test_on_ctrl_c_the_best_weights_come_back_and_the_interrupt_goes_on(self):
        point, seen = Point(), []

        def validate(module):
            seen.append(module.at.item())
            if len(seen) == 4:
                raise KeyboardInterrupt
            return torch.tensor([3.0, 1.0, 2.0][len(seen) - 1])

        with pytest.raises(KeyboardInterrupt) as caught:
            optimise(point, away_from, [10.0], validate=validate, settings=settings())
        assert caught.value.__notes__ == [
            "Training was interrupted after 3 finished epochs; the module has its best weights so far."
        ]
        assert point.at.item() == seen[1]
        assert not point.training

    def test_an_error_of_the_loss_passes_through_and_leaves_the_module_whole(self):
        net = nn.Linear(2, 1)
        before = state(net)

        def loss(module, batch):
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            optimise(net, loss, [1], settings=settings())
        assert_same_state(state(net), before)
        assert len({parameter.untyped_storage().data_ptr() for parameter in net.parameters()}) == 2


class TestErrors:
    def test_no_batches(self):
        with pytest.raises(ArgumentError, match="must give at least one batch every epoch, got none"):
            optimise(Point(), away_from, [], settings=settings())

    def test_an_iterator_that_is_spent_after_one_epoch(self):
        with pytest.raises(ArgumentError, match="got none: pass a list or a function"):
            optimise(Point(), away_from, iter([1.0]), settings=settings())

    def test_a_loss_that_is_no_scalar(self):
        with pytest.raises(ShapeError, match=r"loss must return a scalar, got shape \(3,\): take the mean"):
            optimise(Point(), lambda module, batch: module() * torch.ones(3), [1], settings=settings())

    def test_resume_without_a_checkpoint(self):
        with pytest.raises(ArgumentError, match="resume=True needs the folder of a checkpoint"):
            optimise(Point(), away_from, [1.0], settings=settings(), resume=True)

    def test_a_module_without_parameters(self):
        with pytest.raises(ArgumentError, match="must have parameters to train"):
            optimise(nn.Identity(), away_from, [1.0], settings=settings())

    def test_a_checkpoint_with_other_shapes(self, tmp_path):
        optimise(Point(), away_from, [1.0], settings=settings(), checkpoint=tmp_path / "run")
        with pytest.raises(PersistenceError, match="is of another run"):
            optimise(nn.Linear(1, 1), away_from, [1.0], settings=settings(), checkpoint=tmp_path / "run", resume=True)
