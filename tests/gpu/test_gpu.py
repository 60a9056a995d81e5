"""On an NVIDIA GPU everything computes what it computes on the CPU; skipped where there is none."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from counterflow import CounterfactualExplainer, flows
from counterflow.core.graphs import Recorded, Recording
from counterflow.training import fit
from tests.laws.registry import FLOWS

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")

NOT_RECORDED = (
    "continuous",
    "gaussianization",
    "residual",
    "circular_spline",
    "unconstrained_monotone",
    "bernstein",
    "sum_of_squares",
)
"""The first three ask after each step whether to go on, the others bring constants from the CPU."""


def moved(*tensors):
    return tuple(None if tensor is None else tensor.cuda() for tensor in tensors)


@pytest.mark.parametrize("name", FLOWS)
class TestEveryFlow:
    def test_it_computes_what_it_computes_on_the_cpu(self, name):
        flow, (x, context) = FLOWS[name].make(), FLOWS[name].data()
        with torch.no_grad():
            expected = (flow(x, context), *flow.to_latent(x, context))
            flow.cuda()
            x, context = moved(x, context)
            found = (flow(x, context), *flow.to_latent(x, context))
            torch.testing.assert_close([value.cpu() for value in found], list(expected), rtol=1e-7, atol=1e-7)
            back, _ = flow.to_data(found[1], context)
        torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-5)

    def test_samples_are_made_there(self, name):
        flow, context = FLOWS[name].make().cuda(), moved(FLOWS[name].data()[1])[0]
        drawn, log_prob = flow.sample_and_log_prob(5, context, generator=torch.Generator("cuda").manual_seed(0))
        assert drawn.device.type == "cuda"
        torch.testing.assert_close(flow(drawn, context), log_prob, rtol=1e-6, atol=1e-6)

    def test_recorded_it_is_the_same_and_follows_new_points(self, name):
        flow, (x, context) = FLOWS[name].make().cuda(), moved(*FLOWS[name].data())
        with torch.no_grad():
            fast = Recorded(lambda point, condition: flow(point, condition))
            back = Recorded(lambda point, condition: flow.to_data(point, condition))
            for points in (x, 0.5 * x, x[:7]):
                conditions = context if context is None or context.ndim < 2 else context[: len(points)]
                torch.testing.assert_close(fast(points, conditions), flow(points, conditions))
                z, _ = flow.to_latent(points, conditions)
                torch.testing.assert_close(back(z, conditions), flow.to_data(z, conditions))
        if not name.startswith(NOT_RECORDED):
            assert fast._recordings, "log_prob was not recorded"
            if flow.bijection.one_pass_to_data or name.startswith(("maf", "spline_autoregressive")):
                assert back._recordings, "to_data was not recorded"


def test_a_recording_has_inputs_and_outputs_of_its_own():
    x = torch.ones(3, device="cuda")
    double = Recording(lambda value: 2 * value, (x,))
    first = double(x)
    second = double(5 * x)
    assert first.tolist() == [2.0] * 3
    assert second.tolist() == [10.0] * 3


def test_what_waits_for_the_gpu_is_computed_as_it_is():
    asks = Recorded(lambda x: x + 1 if bool((x > 0).all()) else x - 1)
    assert asks(torch.ones(2, device="cuda")).tolist() == [2.0, 2.0]
    assert asks(-torch.ones(2, device="cuda")).tolist() == [-2.0, -2.0]
    assert not asks._recordings


STEPS = """
    import sys, torch
    from counterflow import flows
    from counterflow.core.graphs import Recording
    from counterflow.training import Batch, TrainingStep, negative_log_likelihood
    batches = [torch.randn(64, 3, generator=torch.Generator().manual_seed(i)).double().cuda() for i in range(6)]
    def run(**settings):
        generator = torch.Generator().manual_seed(0)
        flow = getattr(flows, sys.argv[1])(3, layers=2, hidden=(16, 16), generator=generator).double().cuda()
        step = TrainingStep(flow, negative_log_likelihood, clip=0.5, weight_decay=0.1, **settings)
        losses = [step(Batch(x), 0.01) for x in batches]
        if settings:
            assert isinstance(step._whole._on_batch, Recording), step._whole
        step.close()
        return torch.stack(losses), [p.detach() for p in flow.parameters()]
    torch.testing.assert_close(run(), run(compile=True, trusted=True), rtol=1e-8, atol=1e-8)
    print("same")
"""


@pytest.mark.parametrize("name", ["realnvp", "spline_autoregressive"])
def test_a_recorded_training_step_is_the_eager_one(run_unhooked, name):
    assert run_unhooked(STEPS, name, warnings="default") == "same"


@pytest.mark.parametrize("precision", ["float32", "mixed"])
def test_training_there_ends_where_it_ends_on_the_cpu(precision):
    x = torch.randn(2000, 2, generator=torch.Generator().manual_seed(0))
    x = torch.stack((x[:, 0], x[:, 0].square() + 0.3 * x[:, 1]), 1)
    best = {}
    for device in ("cpu", "cuda"):
        flow = flows.spline_coupling(2, layers=3, hidden=(32, 32), generator=torch.Generator().manual_seed(1))
        how = {"device": device, "precision": "float32" if device == "cpu" else precision}
        generator = torch.Generator().manual_seed(2)
        report = fit(flow, x, max_epochs=20, compile=False, generator=generator, progress=False, **how)
        best[device] = report.best_validation
        assert next(flow.parameters()).device.type == "cpu"
    assert best["cuda"] == pytest.approx(best["cpu"], abs=0.05)


def test_an_explainer_learns_and_explains_there():
    x = np.random.default_rng(0).normal(size=(800, 3))
    model = LogisticRegression().fit(x, x.sum(axis=1) > 0)
    explainer = CounterfactualExplainer(model, random_state=0, device="cuda").fit(x)
    there = explainer.explain(x[:50], desired=True)
    here = CounterfactualExplainer.explain(explainer.set_params(device="cpu"), x[:50], desired=True)
    assert next(explainer.background_.search.parameters()).device.type == "cpu"
    np.testing.assert_allclose(there.log_density, here.log_density, rtol=1e-5, atol=1e-3)
    assert there.valid[there.answered].mean() == here.valid[here.answered].mean() == 1.0
