import io
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

from counterflow import flows
from counterflow.core.errors import ArgumentError, DataError, ShapeError
from counterflow.core.outcomes import FitOutcome
from counterflow.core.random import derive_seed
from counterflow.nets import conditioners_in, run_conditioner
from counterflow.training import Batch, FitReport, JsonLinesLog, fit, negative_log_likelihood
from tests.training.helpers import DiagonalGaussian, assert_same_state, normal_rows, quick_fit, seeded, state

X = normal_rows() * torch.tensor([0.5, 2.0]) + torch.tensor([1.0, -3.0])
FULL_BATCH = {"validation": 0.0, "batch_size": 10_000, "max_epochs": 600, "patience": 600, "learning_rate": 0.05}


class TestMaximumLikelihood:
    def test_a_gaussian_gets_the_mean_and_deviation_of_the_sample(self):
        flow = DiagonalGaussian()
        report = quick_fit(flow, X, **FULL_BATCH)
        assert torch.allclose(flow.mean, X.mean(0), atol=1e-3)
        assert torch.allclose(flow.log_scale.exp(), X.std(0, correction=0), atol=1e-3)
        entropy = 0.5 * (2 * math.pi * math.e * X.var(0, correction=0)).log().sum().item()
        assert report.best_validation == pytest.approx(entropy, abs=1e-4)

    def test_a_linear_flow_gets_the_mean_and_covariance_of_the_sample(self):
        x = normal_rows(300, 3, seed=2) @ torch.tensor([[1.0, 0.5, 0.0], [0.0, 2.0, -1.0], [0.0, 0.0, 0.3]]) + 4
        flow = flows.linear(3, generator=seeded())
        quick_fit(flow, x, precision="float64", **FULL_BATCH)
        witness = torch.distributions.MultivariateNormal(x.mean(0), torch.cov(x.T, correction=0))
        assert torch.allclose(flow(x), witness.log_prob(x), atol=2e-3)

    def test_a_context_is_regressed_on(self):
        context = normal_rows(400, 1, seed=5)
        x = 2 - 3 * context + 0.1 * normal_rows(400, 1, seed=6)
        flow = DiagonalGaussian(1, context_features=1)
        quick_fit(flow, x, context=context, **FULL_BATCH)
        design = np.column_stack([np.ones(400), context.numpy()])
        intercept, slope = np.linalg.lstsq(design, x.numpy(), rcond=None)[0][:, 0]
        assert flow.mean.item() == pytest.approx(intercept, abs=2e-3)
        assert flow.slope.item() == pytest.approx(slope, abs=2e-3)

    def test_weights_count_as_repetitions(self):
        weights = torch.arange(200.0) % 3
        flow, twin = DiagonalGaussian(), DiagonalGaussian()
        report = quick_fit(flow, X, weights=10 * weights, **FULL_BATCH)
        expected = quick_fit(twin, X.repeat_interleave(weights.long(), 0), **FULL_BATCH)
        assert torch.allclose(flow.mean, twin.mean, atol=1e-3)
        assert torch.allclose(flow.log_scale, twin.log_scale, atol=1e-3)
        assert report.best_validation == pytest.approx(expected.best_validation, abs=1e-5)

    def test_dequantized_codes_give_a_uniform_density(self):
        codes = torch.randint(0, 4, (400, 1), generator=seeded())

        def dequantize(x, generator):
            return (x + torch.rand(x.shape, generator=generator)) / 4, -math.log(4)

        flow = DiagonalGaussian(1)
        quick_fit(flow, codes, augment=dequantize, **FULL_BATCH)
        assert flow.mean.item() == pytest.approx((codes.double().mean().item() + 0.5) / 4, abs=0.02)
        assert flow.log_scale.exp().item() == pytest.approx(math.sqrt(1 / 12), abs=0.02)


class TestHeldOutRows:
    def test_the_report_is_the_mean_log_density_of_the_held_out_rows_under_the_best_weights(self):
        flow = DiagonalGaussian()
        x, held = X[:150], X[150:]
        report = quick_fit(flow, x, validation=(held, None))
        assert report.best_validation == pytest.approx(-flow(held).mean().item(), rel=1e-6)

    def test_a_share_of_the_rows_is_held_out_by_the_seed(self):
        flow, generator = DiagonalGaussian(), seeded(1)
        report = quick_fit(flow, X, generator=generator, validation=0.25)
        seed = int(torch.randint(2**62, (), generator=seeded(1)))
        held = X[torch.randperm(200, generator=seeded(derive_seed(seed, "split")))[:50]]
        assert report.best_validation == pytest.approx(-flow(held).mean().item(), rel=1e-6)

    def test_held_out_weights_make_a_weighted_mean(self):
        flow, weights = DiagonalGaussian(), torch.arange(200.0)
        report = quick_fit(flow, X, weights=weights, validation=0.25)
        seed = int(torch.randint(2**62, (), generator=seeded(1)))
        rows = torch.randperm(200, generator=seeded(derive_seed(seed, "split")))[:50]
        expected = -(weights[rows] * flow(X[rows])).sum() / weights[rows].sum()
        assert report.best_validation == pytest.approx(expected.item(), rel=1e-5)

    def test_their_noise_is_drawn_once_and_that_of_the_others_every_time(self):
        drawn = []

        def augment(x, generator):
            noise = torch.rand(x.shape, generator=generator)
            drawn.append(len(x))
            return x + noise, torch.zeros(len(x))

        quick_fit(DiagonalGaussian(), X, validation=0.25, batch_size=50, max_epochs=4, augment=augment)
        assert drawn == [50] + 4 * [50, 50, 50]

    def test_two_rows_suffice(self):
        assert quick_fit(DiagonalGaussian(), X[:2]).epochs == 5


class TestReproducibility:
    def test_the_same_seed_gives_the_same_flow_and_another_one_another(self):
        runs = [DiagonalGaussian() for _ in range(3)]
        for flow, seed in zip(runs, (1, 1, 2), strict=True):
            quick_fit(flow, X, generator=seeded(seed))
        assert_same_state(state(runs[0]), state(runs[1]))
        assert not torch.equal(runs[0].mean, runs[2].mean)

    def test_global_randomness_is_left_alone(self):
        before = torch.get_rng_state()
        quick_fit(DiagonalGaussian(), X, generator=None)
        assert torch.equal(torch.get_rng_state(), before)

    def test_arrays_are_as_good_as_tensors(self):
        one, other = DiagonalGaussian(), DiagonalGaussian()
        quick_fit(one, X.double())
        quick_fit(other, X.double().numpy())
        assert_same_state(state(one), state(other))


class TestTheGuest:
    def test_the_flow_keeps_its_dtype_and_comes_back_in_evaluation_mode(self):
        flow = DiagonalGaussian()
        seen = []
        flow.register_forward_pre_hook(lambda module, inputs: seen.append((inputs[0].dtype, module.mean.dtype)))
        quick_fit(flow, X, precision="float64")
        assert set(seen) == {(torch.float64, torch.float64)}
        assert flow.mean.dtype == torch.float32
        assert not flow.training

    def test_its_parameters_are_the_same_objects_with_memory_of_their_own(self):
        flow = DiagonalGaussian()
        before = list(flow.parameters())
        quick_fit(flow, X)
        assert all(a is b for a, b in zip(flow.parameters(), before, strict=True))
        assert all(p.grad is None and p.requires_grad and p.is_contiguous() for p in flow.parameters())
        assert flow.mean.untyped_storage().nbytes() == 8

    def test_frozen_parameters_stay(self):
        flow = DiagonalGaussian()
        flow.log_scale.requires_grad_(False)
        quick_fit(flow, X)
        assert flow.log_scale.tolist() == [0.0, 0.0]
        assert flow.mean.abs().min() > 0

    def test_layers_that_start_from_data_see_it_first(self):
        flow = flows.realnvp(2, layers=2, hidden=(4,), generator=seeded())
        report = quick_fit(flow, X * 100 + 1000, max_epochs=1)
        untouched = flows.realnvp(2, layers=2, hidden=(4,), generator=seeded())
        assert report.best_validation < 20 < -untouched(X * 100 + 1000).mean()


class TestErrors:
    @pytest.mark.parametrize("bad", [math.nan, math.inf])
    def test_a_number_is_not_finite(self, bad):
        x = X.clone()
        x[17, 1] = bad
        with pytest.raises(ArgumentError, match=rf"x must be finite, got {bad} at \(17, 1\)"):
            quick_fit(DiagonalGaussian(), x)
        with pytest.raises(ArgumentError, match=rf"context must be finite, got {bad} at \(17, 1\)"):
            quick_fit(DiagonalGaussian(context_features=2), X, context=x)

    @pytest.mark.parametrize("rows", [0, 1])
    def test_there_are_fewer_than_two_rows(self, rows):
        with pytest.raises(DataError, match=f"x must have at least 2 rows, got {rows}"):
            quick_fit(DiagonalGaussian(), X[:rows])

    def test_context_and_weights_have_other_lengths(self):
        with pytest.raises(ShapeError, match=r"context must have one entry for each of the 200 rows .*\(199, 1\)"):
            quick_fit(DiagonalGaussian(context_features=1), X, context=torch.zeros(199, 1))
        with pytest.raises(ShapeError, match=r"weights must have one entry for each of the 200 rows .*\(3,\)"):
            quick_fit(DiagonalGaussian(), X, weights=torch.ones(3))
        with pytest.raises(ShapeError, match=r"weights must have shape \(rows,\), got \(200, 1\)"):
            quick_fit(DiagonalGaussian(), X, weights=torch.ones(200, 1))

    @pytest.mark.parametrize("weights", [-torch.ones(200), torch.zeros(200)])
    def test_weights_are_negative_or_all_zero(self, weights):
        with pytest.raises(DataError, match="weights must be at least 0 and not all 0"):
            quick_fit(DiagonalGaussian(), X, weights=weights)

    @pytest.mark.parametrize("share", [-0.1, 1.0, 7.0, math.nan])
    def test_the_share_is_none(self, share):
        with pytest.raises(ArgumentError, match=r"validation must be a share in \[0, 1\)"):
            quick_fit(DiagonalGaussian(), X, validation=share)

    def test_the_share_leaves_no_rows(self):
        with pytest.raises(DataError, match=r"validation=0\.9 of 2 rows leaves none to train on"):
            quick_fit(DiagonalGaussian(), X[:2], validation=0.9)

    def test_held_out_rows_of_ones_own_do_not_fit(self):
        with pytest.raises(ShapeError, match=r"of the shapes \(\(2,\), None\), got \(\(3,\), None\)"):
            quick_fit(DiagonalGaussian(), X, validation=(torch.zeros(5, 3), None))
        with pytest.raises(ShapeError, match=r"of the shapes \(\(2,\), None\), got \(\(2,\), \(1,\)\)"):
            quick_fit(DiagonalGaussian(), X, validation=(torch.zeros(5, 2), torch.zeros(5, 1)))
        with pytest.raises(DataError, match="validation must have at least one row, got none"):
            quick_fit(DiagonalGaussian(), X, validation=(torch.zeros(0, 2), None))
        with pytest.raises(ArgumentError, match=r"validation x must be finite, got nan at \(0, 0\)"):
            quick_fit(DiagonalGaussian(), X, validation=(torch.full((5, 2), math.nan), None))

    def test_the_flow_does_not_give_one_number_per_row(self):
        class Wide(DiagonalGaussian):
            def forward(self, x, context=None):
                return super().forward(x)[:, None]

        with pytest.raises(ShapeError, match=r"one log-density per row, shape \(\d+,\), got \(\d+, 1\)"):
            quick_fit(Wide(), X)

    def test_the_batch_size_is_no_count(self):
        with pytest.raises(ArgumentError, match="batch_size must be a whole number of at least 1, got 0"):
            quick_fit(DiagonalGaussian(), X, batch_size=0)

    @pytest.mark.parametrize("device", ["cdua", "cuda:99", "meta:x"])
    def test_there_is_no_such_device(self, device):
        with pytest.raises(
            ArgumentError, match=f"device must be 'auto' or a device that torch finds here, got {device!r}"
        ):
            quick_fit(DiagonalGaussian(), X, device=device)

    def test_a_choice_is_unknown(self, run_unhooked):
        script = """
            import torch
            from counterflow.training import fit
            for change in ({"schedule": "linear"}, {"compile": "maybe"}, {"precision": "bfloat16"}):
                try:
                    fit(torch.nn.Linear(1, 1), torch.zeros(5, 1), **change)
                except ValueError as error:
                    print(error)
        """
        assert run_unhooked(script).splitlines() == [
            "schedule must be one of 'cosine', 'plateau', 'constant', got 'linear'. Choose one of these.",
            "compile must be one of True, False, 'auto', got 'maybe'. Choose one of these.",
            "precision must be one of 'float32', 'float64', 'mixed', got 'bfloat16'. Choose one of these.",
        ]


class TestReportsAndLoggers:
    def test_the_history_has_a_record_for_each_epoch(self):
        records = []
        report = quick_fit(DiagonalGaussian(), X, on_epoch=records.append)
        assert isinstance(report, FitReport)
        assert list(report.history) == records
        assert [record.epoch for record in records] == [1, 2, 3, 4, 5]
        assert report.best_validation == min(record.validation for record in records)
        assert report.seconds == pytest.approx(sum(record.seconds for record in records))
        assert records[2].learning_rate == pytest.approx(1e-3 * (1 + math.cos(math.pi * 2 / 5)) / 2)

    def test_a_log_of_json_lines_goes_on_where_it_was(self, tmp_path):
        for _ in range(2):
            quick_fit(DiagonalGaussian(), X, max_epochs=2, validation=0.0, on_epoch=JsonLinesLog(tmp_path / "log"))
        lines = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == [1, 2, 1, 2]
        assert lines[0]["validation"] is None
        assert lines[1]["train"] < lines[0]["train"]

    def test_the_bar_stays_away_where_nobody_looks(self, capfd):
        fit(DiagonalGaussian(), X, max_epochs=2, progress=True)
        assert capfd.readouterr() == ("", "")

    def test_the_bar_shows_on_a_terminal_after_two_seconds(self, monkeypatch):
        import tqdm.auto

        shown, real = io.StringIO(), tqdm.auto.tqdm

        def on_terminal(**settings):
            assert settings["delay"] == 2.0
            assert settings["disable"] is None
            return real(**(settings | {"delay": 0, "disable": False, "file": shown, "mininterval": 0}))

        monkeypatch.setattr(tqdm.auto, "tqdm", on_terminal)
        fit(DiagonalGaussian(), X, max_epochs=3, progress=True)
        assert "3/3" in shown.getvalue()
        assert "validation=" in shown.getvalue()

    def test_the_likelihood_of_a_batch_is_in_nats(self):
        batch = Batch(torch.zeros(4, 2), weights=torch.tensor([0.0, 0.0, 2.0, 2.0]), log_weight=torch.full((4,), 0.25))
        value = negative_log_likelihood(DiagonalGaussian(), batch)
        assert value.item() == pytest.approx(math.log(2 * math.pi) - 0.25)


def test_the_time_limit_is_kept():
    report = quick_fit(DiagonalGaussian(), X, max_epochs=10**6, patience=10**6, time_limit=0.1)
    assert report.outcome is FitOutcome.OUT_OF_TIME
    assert 0.05 < report.seconds < 5


def test_any_module_with_a_log_density_can_be_fitted():
    class Exponential(nn.Module):
        def __init__(self):
            super().__init__()
            self.log_rate = nn.Parameter(torch.zeros(()))

        def forward(self, x, context=None):
            return (self.log_rate - self.log_rate.exp() * x).sum(-1)

    x = torch.empty(500, 1).exponential_(2.5, generator=seeded())
    flow = Exponential()
    quick_fit(flow, x, **FULL_BATCH)
    assert flow.log_rate.exp().item() == pytest.approx(1 / x.mean().item(), rel=1e-3)


class TestMixedPrecision:
    def test_conditioners_alone_are_rounded(self):
        """The map has bfloat16's parameters; its log-determinant is theirs to the last digit."""
        flow, x = flows.realnvp(4, layers=1, hidden=(64,)), normal_rows(50, 4)
        quick_fit(flow, x)
        layer = flow.bijection.parts[-1]
        exact = layer.net(x[:, :2])
        with conditioners_in(flow, torch.bfloat16), torch.no_grad():
            z, log_det = layer.to_latent(x)
            rounded = run_conditioner(layer.net, x[:, :2], None)
        assert torch.equal(rounded, rounded.bfloat16().float())
        assert 0 < (rounded - exact).abs().max() < 0.05
        assert torch.equal(log_det, layer.transformer.to_latent(x[:, 2:], rounded)[1])
        assert z.dtype == log_det.dtype == torch.float32

    def test_it_learns_as_well_and_is_over_afterwards(self):
        x = normal_rows(2000, 2) @ torch.tensor([[1.0, 0.9], [0.0, 0.4]])
        reached = []
        for precision in ("float32", "mixed"):
            flow = flows.maf(2, layers=2, hidden=(16,), generator=seeded())
            reached.append(quick_fit(flow, x, precision=precision, max_epochs=10, compile=False).best_validation)
            assert all(getattr(part, "low_precision", None) is None for part in flow.modules())
        assert reached[0] == pytest.approx(reached[1], abs=0.02)
        assert reached[0] != reached[1]
