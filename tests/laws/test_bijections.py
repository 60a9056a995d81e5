"""What must hold for every invertible map: the registry names them, this file names the laws."""

import math

import pytest
import torch
from torch import Tensor

import counterflow.bijections
from counterflow.bijections import AbstractBijection
from tests.laws.registry import ALL, BIJECTIONS

every = pytest.mark.parametrize("case", ALL.values(), ids=ALL)


def holding(law: str) -> pytest.MarkDecorator:
    """Every entry that is not exempt from a law (the registry holds the reasons)."""
    names = [name for name, case in ALL.items() if law not in case.exempt]
    return pytest.mark.parametrize("case", [ALL[name] for name in names], ids=names)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def measured_log_det(function, x: Tensor) -> Tensor:
    size = math.prod(x.shape[1:])
    rows = [torch.func.jacrev(function)(point, i).reshape(size, size) for i, point in enumerate(x)]
    return torch.linalg.slogdet(torch.stack(rows)).logabsdet.detach()


def row(context: Tensor | None, i: int) -> Tensor | None:
    return None if context is None else context[i]


def test_every_class_is_registered():
    seen = {type(module) for case in BIJECTIONS.values() for module in case.make().modules()}
    classes = {getattr(counterflow.bijections, name) for name in counterflow.bijections.__all__}
    maps = {c for c in classes if isinstance(c, type) and issubclass(c, AbstractBijection)}
    assert {c for c in maps if not c.__name__.startswith("Abstract")} <= seen


@every
def test_round_trip_from_data(case):
    module, (x, context) = case.make(), case.data()
    z, log_det = module.to_latent(x, context)
    back, log_det_back = module.to_data(z, context)
    close(back, x, case.round_trip)
    close(log_det_back, -log_det, case.round_trip * 10)


@every
def test_round_trip_from_latent(case):
    module, (x, context) = case.make(), case.data()
    z = module.to_latent(x, context)[0].detach()
    again = module.to_latent(module.to_data(z, context)[0], context)[0]
    close(again, z, case.round_trip)


@every
def test_log_det_to_latent_is_that_of_the_jacobian(case):
    module, (x, context) = case.make(), case.data()
    log_det = module.to_latent(x, context)[1]
    assert log_det.shape == (len(x),)
    close(log_det, measured_log_det(lambda p, i: module.to_latent(p, row(context, i))[0], x), case.log_det)


@every
def test_log_det_to_data_is_that_of_the_jacobian(case):
    module, (x, context) = case.make(), case.data()
    z = module.to_latent(x, context)[0].detach()
    log_det = module.to_data(z, context)[1]
    close(log_det, measured_log_det(lambda p, i: module.to_data(p, row(context, i))[0], z), case.log_det)


@every
def test_batch_is_a_loop_over_rows(case):
    module, (x, context) = case.make(), case.data()
    for direction in (module.to_latent, module.to_data):
        start = x if direction == module.to_latent else module.to_latent(x, context)[0]
        value, log_det = direction(start, context)
        for i in range(len(x)):
            one, one_log_det = direction(start[i], row(context, i))
            close(one, value[i], 1e-9)
            close(one_log_det, log_det[i], 1e-9)


@every
def test_leading_dimensions_broadcast(case):
    module, (x, context) = case.make(), case.data()
    event = x.shape[1:]
    block = x.reshape(3, 4, *event)
    shared = None if context is None else context[:4]
    full = None if context is None else shared.expand(3, 4, -1)
    for direction in (module.to_latent, module.to_data):
        start = block if direction == module.to_latent else module.to_latent(block, full)[0]
        value, log_det = direction(start, shared)
        expected, expected_log_det = direction(start.flatten(0, 1), None if full is None else full.flatten(0, 1))
        close(value.flatten(0, 1), expected, 1e-9)
        close(log_det.flatten(), expected_log_det, 1e-9)


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.context_features])
def test_one_point_meets_many_contexts(name):
    case = ALL[name]
    module, (x, context) = case.make(), case.data()
    for direction in (module.to_latent, module.to_data):
        value, log_det = direction(x[0], context)
        expected, expected_log_det = direction(x[:1].expand_as(x), context)
        close(value, expected, 1e-12)
        close(log_det, expected_log_det, 1e-12)


@pytest.mark.parametrize("name", [name for name, case in ALL.items() if case.context_features])
def test_the_context_matters(name):
    case = ALL[name]
    module, (x, context) = case.make(), case.data()
    moved = module.to_latent(x, context + 1)[0]
    assert not torch.allclose(moved, module.to_latent(x, context)[0], atol=1e-6)


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_follows_the_input(case, dtype):
    module, (x, context) = case.make(dtype=dtype), case.data()
    x, context = x.to(dtype), None if context is None else context.to(dtype)
    z, log_det = module.to_latent(x, context)
    back, log_det_back = module.to_data(z, context)
    assert {t.dtype for t in (z, log_det, back, log_det_back)} == {dtype}


@every
def test_device_follows_the_input(case):
    """On the meta device every tensor made elsewhere, such as zeros on the CPU, is an error."""
    module, (x, context) = case.make().to("meta"), case.data()
    x, context = x.to("meta"), None if context is None else context.to("meta")
    z, log_det = module.to_latent(x, context)
    back, log_det_back = module.to_data(z, context)
    assert {t.device.type for t in (z, log_det, back, log_det_back)} == {"meta"}


@every
def test_state_dict_carries_everything(case):
    module, (x, context) = case.make(seed=0), case.data()
    other = case.make(seed=7)
    other.load_state_dict(module.state_dict())
    for found, expected in zip(other.to_latent(x, context), module.to_latent(x, context), strict=True):
        assert torch.equal(found, expected)


@every
def test_vmap(case):
    module, (x, context) = case.make(), case.data()
    for direction in (module.to_latent, module.to_data):
        start = x if direction == module.to_latent else module.to_latent(x, context)[0]
        arguments = (start,) if context is None else (start, context)
        value, log_det = torch.func.vmap(direction)(*arguments)
        expected, expected_log_det = direction(*arguments)
        close(value, expected, 1e-9)
        close(log_det, expected_log_det, 1e-9)


@holding("extremes")
@pytest.mark.parametrize("scale", [0.0, 1e3, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradients_are_finite_for_extreme_inputs(case, scale, dtype):
    module, (x, context) = case.make(dtype=dtype), case.data()
    x = (scale * x.sign()).to(dtype).requires_grad_()
    context = None if context is None else context.to(dtype)
    for direction in (module.to_latent, module.to_data):
        value, log_det = direction(x, context)
        assert torch.isfinite(value).all()
        assert torch.isfinite(log_det).all()
        learned = [p for p in module.parameters() if p.requires_grad]
        for gradient in torch.autograd.grad(value.sum() + log_det.sum(), [x, *learned], materialize_grads=True):
            assert torch.isfinite(gradient).all()


@holding("parameters")
def test_every_parameter_gets_a_gradient_in_both_directions(case):
    module, (x, context) = case.make(), case.data()
    learned = list(module.parameters())
    assert learned
    for direction in (module.to_latent, module.to_data):
        start = x if direction == module.to_latent else module.to_latent(x, context)[0].detach()
        value, log_det = direction(start, context)
        gradients = torch.autograd.grad((value.square().sum() + log_det.sum()), learned)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert all((gradient != 0).any() for gradient in gradients)


@every
def test_repr_names_the_class(case):
    module = case.make()
    assert repr(module).startswith(type(module).__name__ + "(")
    assert "object at 0x" not in repr(module)
