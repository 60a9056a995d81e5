"""What training is made of: cells and pairs, windows, posteriors, draws and the online filter."""

import itertools
from copy import deepcopy

import numpy as np
import pytest
import torch

from counterflow import flows
from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.hmm import (
    FlowMarkovModel,
    OnlineFilter,
    cooccurrence,
    draw,
    draw_path,
    find_starts,
    fit_cooccurrence,
    fit_expectation,
    fit_gradient,
    fit_pairs,
    fit_posteriors,
    hold_out,
    judge,
    smooth,
)
from counterflow.hmm._expectation import expect
from counterflow.hmm._gradient import WithLogits, _gathered, _pieces, _predicted, window_loss
from counterflow.hmm.cells import count_pairs, find_cells, followed
from counterflow.hmm.pairs import pick
from counterflow.training import TrainingSettings
from tests.hmm.plain import law

ONCE = TrainingSettings(max_epochs=40, learning_rate=5e-2, compile=False, progress=False)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def linear_model(states=2, features=1):
    return FlowMarkovModel([flows.linear(features) for _ in range(states)])


@pytest.fixture(scope="module")
def turns():
    """A thousand rows of two states that stay for ten steps on average: N(-1, .3) and N(1, .6)."""
    log_transition = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).log()
    states = draw_path(
        1000, log_start=torch.tensor([0.5, 0.5]).log(), log_transition=log_transition, generator=seeded(3)
    )
    noise = torch.randn(1000, 1, generator=seeded(4))
    return 2.0 * states.unsqueeze(1) - 1.0 + torch.where(states > 0, 0.6, 0.3).unsqueeze(1) * noise, states


def test_pairs_are_counted_within_sequences():
    generator = np.random.default_rng(0)
    labels, lengths, made = generator.integers(4, size=40), [5, 1, 20, 14], generator.random(40) > 0.2
    expected, row = np.zeros((4, 4)), 0
    for length in lengths:
        for t in range(row, row + length - 1):
            if made[t] and made[t + 1]:
                expected[labels[t], labels[t + 1]] += 1
        row += length
    pairs = followed(lengths, torch.from_numpy(made))
    assert count_pairs(torch.from_numpy(labels), pairs, cells=4).numpy() == pytest.approx(expected)


def test_cells_fill_the_range():
    x = torch.rand(500, 1, generator=seeded()).double()
    one = find_cells(x, 12, generator=seeded())
    assert one.log_volume.exp().sum().item() == pytest.approx((x.max() - x.min()).item())
    square = find_cells(torch.rand(4000, 2, generator=seeded()).double(), 9, generator=seeded())
    assert square.log_volume.exp().sum().item() == pytest.approx(1.0, abs=0.01)
    assert torch.equal(square.of(square.centers), torch.arange(9))


def test_the_likelihood_of_pairs_never_falls_and_finds_the_law():
    emission = torch.tensor([[0.5, 0.0], [0.4, 0.1], [0.1, 0.2], [0.0, 0.7]], dtype=torch.float64)
    joint = torch.tensor([[0.40, 0.05], [0.15, 0.40]], dtype=torch.float64)
    counts = emission @ joint @ emission.T
    shares = torch.rand(3, 4, 2, generator=seeded()).double()
    fits = torch.stack([fit_pairs(counts, shares, steps=steps).log_likelihood for steps in range(0, 40, 2)])
    assert bool((fits.diff(dim=0) >= -1e-12).all())
    found = fit_pairs(counts, shares, steps=4000)
    best = (counts * counts.clamp(min=1e-300).log()).sum()
    torch.testing.assert_close(found.log_likelihood.max(), best, atol=1e-5, rtol=0)


def test_of_equal_likelihoods_the_distinct_states_are_picked():
    counts = torch.outer(torch.full((4,), 0.25), torch.full((4,), 0.25)).double()
    mixed = torch.full((4, 2), 0.5).double() + 1e-3 * torch.rand(4, 2, generator=seeded()).double()
    apart = torch.tensor([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99], [0.01, 0.99]]).double()
    assert pick(fit_pairs(counts, torch.stack([mixed, apart]), steps=3), pairs=1000) == [1, 0]


def test_the_law_of_pairs_of_cells_is_a_sum_over_states():
    mass, joint = torch.rand(5, 3, generator=seeded()), torch.rand(3, 3, generator=seeded(1))
    expected = torch.zeros(5, 5)
    emission = mass / mass.sum(0)
    for i, j in itertools.product(range(3), repeat=2):
        expected += joint[i, j] * torch.outer(emission[:, i], emission[:, j])
    torch.testing.assert_close(cooccurrence(mass.log(), joint), expected)


def test_windows_add_up_to_the_whole_likelihood():
    model = FlowMarkovModel([flows.linear(1), flows.linear(1)], **law(2))
    model.flows[1].initialize(2 * torch.randn(500, 1, generator=seeded()))
    x, lengths = torch.randn(300, 1, generator=seeded()), [130, 20, 150]
    module = WithLogits(model)
    pieces = _pieces(lengths, 40, seeded())
    windows = _gathered(pieces, x, _predicted(model, x, lengths))
    assert sum(windows.lengths) == 300
    total = model.filter(x, lengths).log_predictive.mean()
    assert -window_loss(module, windows).item() == pytest.approx(total.item(), abs=1e-6)


@pytest.mark.parametrize("method", [fit_expectation, fit_gradient, fit_cooccurrence])
def test_every_way_of_training_finds_two_normal_laws(turns, method):
    x, states = turns
    series = hold_out(x, share=0.1, generator=seeded())
    (start,) = find_starts(x, 2, made=series.made, generator=seeded())
    model = linear_model()
    fit_posteriors(model, series, start=start, settings=ONCE, generator=seeded())
    begun = judge(model, series).item()
    method(model, series, settings=ONCE, generator=seeded())
    assert judge(model, series).item() < begun + 0.02
    low, high = sorted(model.flows, key=lambda flow: flow.sample(2000, generator=seeded()).mean().item())
    draws = [flow.sample(20_000, generator=seeded()) for flow in (low, high)]
    assert [each.mean().item() for each in draws] == pytest.approx([-1.0, 1.0], abs=0.12)
    assert [each.std().item() for each in draws] == pytest.approx([0.3, 0.6], abs=0.1)
    assert model.log_transition.exp().diagonal().tolist() == pytest.approx([0.9, 0.9], abs=0.05)
    path = model.decode(x)
    assert max((path == states).double().mean(), (path != states).double().mean()) > 0.97


def test_the_third_start_is_that_of_normal_laws(turns):
    """The posteriors are those of the law that made the series."""
    x, _ = turns
    normals = torch.distributions.Normal(torch.tensor([-1.0, 1.0]), torch.tensor([0.3, 0.6]))
    even = torch.tensor([0.5, 0.5], dtype=torch.float64).log()
    turn = torch.tensor([[0.9, 0.1], [0.1, 0.9]], dtype=torch.float64).log()
    known = smooth(normals.log_prob(x).double(), log_start=even, log_transition=turn).log_posterior.exp()
    start = find_starts(x, 2, made=torch.ones(1000, dtype=torch.bool), count=3, generator=seeded())[2]
    found = start.log_posterior.exp()
    assert min((found - known).abs().mean(), (found.flip(1) - known).abs().mean()) < 0.005
    assert (start.transitions / start.transitions.sum(1, keepdim=True)).diagonal().tolist() == pytest.approx(
        [0.9, 0.9], abs=0.03
    )


@pytest.mark.parametrize(("rows", "stretch", "longest"), [(1000, 50, 25), (1000, 10, 10), (40, 50, 1)])
def test_rows_are_held_out_in_stretches(rows, stretch, longest):
    held = hold_out(torch.zeros(rows, 1), share=0.1, stretch=stretch, generator=seeded(3)).held
    starts = [k for k in range(rows) if held[k] and (k == 0 or not held[k - 1])]
    assert held.sum().item() == pytest.approx(rows / 10, abs=longest)
    assert all(k % longest == 0 and held[k : k + longest].all() for k in starts)


def test_sharp_posteriors_are_powers(turns):
    x, _ = turns
    model, series = linear_model(), hold_out(x, share=0.0)
    model.set_law(torch.tensor([1.0, 2.0]), torch.tensor([[2.0, 1.0], [1.0, 3.0]]))
    known = model.smooth(x).log_posterior.exp()
    sharp = expect(deepcopy(model), series, pseudo_count=0.0, sharpness=3.0)
    torch.testing.assert_close(sharp, known**3 / (known**3).sum(1, keepdim=True))
    torch.testing.assert_close(expect(model, series, pseudo_count=0.0), known)


def test_a_model_keeps_its_law_in_double_precision(turns):
    x, _ = turns
    model = linear_model()
    assert model.float().filter(x).log_predictive.dtype == torch.float64


def test_states_that_differ_in_spread_alone_are_found_by_how_they_stay():
    states = torch.arange(1200).div(60, rounding_mode="floor") % 2
    x = torch.where(states > 0, 1.5, 0.5).unsqueeze(1) * torch.randn(1200, 1, generator=seeded(5))
    starts = find_starts(x, 2, made=torch.ones(1200, dtype=torch.bool), count=2, generator=seeded())
    found = starts[1].log_posterior.argmax(1)
    assert max((found == states).double().mean(), (found != states).double().mean()) > 0.85
    assert (starts[1].transitions / starts[1].transitions.sum(1, keepdim=True)).diagonal().min() > 0.9


def test_held_out_rows_teach_nothing(turns):
    x, _ = turns
    series = hold_out(x, share=0.1, generator=seeded())
    changed = hold_out(torch.where(series.held.unsqueeze(1), 50.0, x), share=0.1, generator=seeded())
    found = []
    for each in (series, changed):
        (start,) = find_starts(each.x, 2, made=each.made, generator=seeded())
        model = linear_model()
        one = TrainingSettings(max_epochs=1, compile=False, progress=False)
        fit_posteriors(model, each, start=start, settings=one, generator=seeded())
        found.append(model)
    assert torch.equal(found[0].log_transition, found[1].log_transition)


def test_a_path_has_the_frequencies_of_its_chain():
    laws = law(3)
    path = draw_path(200_000, **laws, generator=seeded())
    counts = count_pairs(path, torch.arange(len(path) - 1), cells=3)
    frequencies = counts / counts.sum(1, keepdim=True)
    torch.testing.assert_close(frequencies, laws["log_transition"].exp(), atol=0.01, rtol=0)
    firsts = torch.stack([draw_path(1, **laws, generator=seeded(seed))[0] for seed in range(500)])
    torch.testing.assert_close(
        torch.bincount(firsts, minlength=3) / 500, laws["log_start"].exp().float(), atol=0.07, rtol=0
    )


def test_draws_come_from_the_flow_of_their_state():
    model = linear_model()
    model.flows[1].initialize(10 + torch.randn(500, 1, generator=seeded()))
    drawn = draw(model, 2000, generator=seeded())
    assert drawn.x[drawn.states == 1].mean().item() == pytest.approx(10.0, abs=0.2)
    assert drawn.x[drawn.states == 0].mean().item() == pytest.approx(0.0, abs=0.2)


def test_one_observation_at_a_time_is_all_at_once():
    model = FlowMarkovModel([flows.linear(1), flows.linear(1)], **law(2)).double()
    model.flows[1].initialize(torch.randn(500, 1, generator=seeded(), dtype=torch.float64) / 2 + 1)
    x = torch.randn(20, 1, generator=seeded(), dtype=torch.float64)
    x[7] = torch.nan
    whole, online = model.filter(x), OnlineFilter(model)
    steps = [online.update(row) for row in x]
    torch.testing.assert_close(torch.stack([step.log_posterior for step in steps]), whole.log_posterior)
    torch.testing.assert_close(torch.stack([step.log_predictive for step in steps]), whole.log_predictive)
    ahead = torch.linalg.matrix_power(model.log_transition.exp(), 3)
    torch.testing.assert_close(online.ahead(3).exp(), steps[-1].log_posterior.exp() @ ahead)
    online.reset()
    torch.testing.assert_close(online.ahead().exp(), model.log_start.exp())
    with pytest.raises(ShapeError, match="x must have shape"):
        online.update(torch.zeros(2, dtype=torch.float64))


def test_a_model_needs_unconditional_flows_of_one_length():
    with pytest.raises(ArgumentError, match="one unconditional flow or more"):
        FlowMarkovModel([flows.linear(1, context_features=1)])
    with pytest.raises(ShapeError, match="must share the shape"):
        FlowMarkovModel([flows.linear(1), flows.linear(2)])
