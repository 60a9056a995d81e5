import copy

import pytest
import torch
from torch import nn

from counterflow.core.errors import ArgumentError
from counterflow.training.weights import Weights
from tests.training.helpers import assert_same_state, seeded, state


def small_net():
    net = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))
    for parameter in net.parameters():
        nn.init.normal_(parameter, generator=seeded(parameter.numel()))
    return net


def test_one_vector_moves_all_parameters():
    net = small_net()
    before = state(net)
    weights = Weights(net)
    assert_same_state(state(net), before)
    with torch.no_grad():
        weights.vector.mul_(2.0)
    assert_same_state(state(net), {name: 2 * value for name, value in before.items()})


def test_the_gathered_gradient_has_the_norm_and_the_adam_step_of_the_separate_ones():
    net, twin = small_net(), small_net()
    x = torch.randn(7, 3, generator=seeded())
    weights = Weights(net)
    optimizer = torch.optim.Adam([weights.vector], lr=0.1, foreach=False)
    reference = torch.optim.Adam(twin.parameters(), lr=0.1, foreach=False)
    for _ in range(3):
        net(x).square().mean().backward()
        weights.gather_gradient()
        optimizer.step()
        reference.zero_grad()
        twin(x).square().mean().backward()
        norm = nn.utils.get_total_norm([p.grad for p in twin.parameters()])
        reference.step()
        assert torch.allclose(torch.linalg.vector_norm(weights.gradient), norm, rtol=1e-6)
    assert all(
        torch.allclose(a, b, rtol=1e-5, atol=1e-7) for a, b in zip(net.parameters(), twin.parameters(), strict=True)
    )
    assert all(parameter.grad is None for parameter in net.parameters())


def test_a_parameter_without_a_part_in_the_loss_stays():
    net = nn.ModuleDict({"used": nn.Linear(1, 1), "idle": nn.Linear(1, 1)})
    before = state(net)
    weights = Weights(net)
    net["used"](torch.ones(1, 1)).sum().backward()
    weights.gather_gradient()
    torch.optim.Adam([weights.vector], lr=0.1).step()
    assert torch.equal(net["idle"].weight, before["idle.weight"])
    assert not torch.equal(net["used"].weight, before["used.weight"])


def test_snapshot_and_restore_cover_parameters_and_saved_buffers():
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weights = Weights(net)
    before, snapshot = state(net), weights.snapshot()
    net(torch.randn(9, 2, generator=seeded()))
    with torch.no_grad():
        weights.vector.add_(1.0)
    assert not torch.equal(net[1].running_mean, before["1.running_mean"])
    weights.restore(snapshot)
    assert_same_state(state(net), before)


def test_release_gives_every_parameter_its_own_memory():
    net = small_net()
    before = state(net)
    parameters = list(net.parameters())
    weights = Weights(net)
    weights.release()
    with torch.no_grad():
        weights.vector.zero_()
    assert_same_state(state(net), before)
    assert all(a is b for a, b in zip(net.parameters(), parameters, strict=True))
    storages = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    assert len(storages) == len(parameters)
    assert copy.deepcopy(net)(torch.ones(1, 3)).equal(net(torch.ones(1, 3)))


def test_a_shared_parameter_stays_shared():
    net = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
    net[1].weight = net[0].weight
    weights = Weights(net)
    with torch.no_grad():
        weights.vector.fill_(3.0)
    weights.release()
    assert net[1].weight is net[0].weight
    assert net[0].weight.tolist() == [[3.0, 3.0], [3.0, 3.0]]


def test_a_frozen_module_is_refused():
    with pytest.raises(ArgumentError, match="must have parameters to train, got none"):
        Weights(nn.Linear(1, 1).requires_grad_(False))


def test_mixed_dtypes_are_refused():
    net = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).double())
    with pytest.raises(ArgumentError, match=r"one dtype and device, got torch\.float32 on cpu, torch\.float64 on cpu"):
        Weights(net)
