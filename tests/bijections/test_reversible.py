"""Gradients that are computed again are the gradients, and memory does not grow with depth."""

import pytest
import torch

from counterflow import flows
from counterflow.bijections import Autoregressive, Chain
from counterflow.training import TrainingStep
from tests.laws.registry import SHAKE, draw


def shaken(name, layers, dtype=torch.float64):
    flow = flows.RECIPES[name](4, context_features=2, layers=layers, hidden=(8,)).to(dtype)
    with torch.no_grad():
        for i, parameter in enumerate(flow.parameters()):
            parameter.add_(SHAKE * draw(*parameter.shape, seed=i).to(dtype))
    return flow


def gradients(flow, x, context):
    inputs = [x, context, *flow.parameters()]
    return torch.autograd.grad(flow(x, context).mean(), inputs)


@pytest.mark.parametrize("name", ["nice", "realnvp", "spline_coupling", "maf"])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-11), (torch.float32, 1e-4)])
def test_gradients_are_those_of_plain_back_propagation(name, dtype, tolerance):
    flow = shaken(name, 12, dtype)
    x, context = draw(20, 4, seed=1).to(dtype).requires_grad_(), draw(20, 2, seed=2).to(dtype).requires_grad_()
    plain, value = gradients(flow, x, context), flow(x, context)
    assert flows.reversible(flow) is flow
    again = gradients(flow, x, context)
    torch.testing.assert_close(flow(x, context), value)
    for one, other in zip(plain, again, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance * float(one.abs().max()))


def test_frozen_parameters_get_none():
    flow = flows.reversible(shaken("realnvp", 3))
    parts = flow.bijection.parts
    parts[1].requires_grad_(False)
    flow(draw(5, 4), draw(5, 2)).sum().backward()
    assert all(p.grad is None for p in parts[1].parameters())
    assert all(p.grad is not None for p in parts[2].parameters())


def kept_bytes(flow, x):
    """The memory that waits for the way back, parameters not counted."""
    own, total, seen = {p.data_ptr() for p in flow.parameters()}, 0, set()

    def keep(tensor):
        nonlocal total
        if tensor.data_ptr() not in own | seen:
            seen.add(tensor.data_ptr())
            total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        value = flow(x)
    del value
    return total


@pytest.mark.parametrize("name", ["realnvp", "spline_coupling"])
def test_memory_does_not_grow_with_depth(name):
    x = torch.randn(64, 4)
    plain = [kept_bytes(flows.RECIPES[name](4, layers=layers), x) for layers in (5, 50)]
    kept = [kept_bytes(flows.reversible(flows.RECIPES[name](4, layers=layers)), x) for layers in (5, 50)]
    assert plain[1] > 8 * plain[0]
    assert kept[1] < 0.5 * plain[0]


def test_what_takes_long_to_undo_is_not_undone(monkeypatch):
    monkeypatch.setattr(Autoregressive, "to_data", lambda *_: pytest.fail("went feature by feature"))
    flow = flows.reversible(flows.maf(4, layers=4))
    flow(torch.randn(5, 4)).sum().backward()


def test_it_is_trained_eagerly(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda *_, **__: pytest.fail("compiled"))
    flow = flows.reversible(flows.realnvp(2, layers=2))
    step = TrainingStep(flow, lambda module, x: -module(x).mean(), compile=True)
    assert torch.isfinite(step(torch.randn(8, 2), 1e-3))


def test_a_chain_may_be_built_so():
    assert Chain([Autoregressive(2, flows.maf(2).bijection.parts[1].transformer)], reversible=True).reversible


def test_a_long_chain_compiles_to_the_same(run_unhooked):
    """Layers that are alike share their code (two kinds of couplings here, and the first layer of all)."""
    script = """
        import torch
        from counterflow import flows
        from tests.bijections.test_reversible import draw, shaken
        flow = shaken("realnvp", 18)
        x, context = draw(20, 4, seed=1), draw(20, 2, seed=2)
        compiled = torch.compile(flow, backend="aot_eager", fullgraph=True)
        for model in (compiled, flow):
            loss = -model(x, context).mean()
            results = [loss, *torch.autograd.grad(loss, list(flow.parameters()))]
            if model is compiled:
                first = results
        torch.testing.assert_close(first, results, rtol=1e-9, atol=1e-9)
        print("same")
    """
    assert run_unhooked(script, warnings="default") == "same"
