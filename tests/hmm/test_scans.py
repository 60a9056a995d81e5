"""Scans in blocks against sums over all paths, plain loops and automatic differentiation."""

import math

import pytest
import torch

from counterflow.core.errors import DataError, ShapeError
from counterflow.hmm import forward_filter, log_likelihood, log_space, scaled, smooth, viterbi
from counterflow.hmm.blocks import Law, cut, join, leveled
from tests.hmm.plain import chance, enumerate_paths, law, step_by_step

SHORT = [4, 1, 6]


def densities(rows, states, *, seed=1, spread=2.0):
    generator = torch.Generator().manual_seed(seed)
    return spread * torch.randn(rows, states, generator=generator, dtype=torch.float64)


@pytest.fixture(params=[False, True], ids=["all transitions", "some impossible"])
def laws(request):
    return law(3, zeros=request.param)


def test_the_forward_algorithm_sums_over_all_paths(laws):
    density = densities(sum(SHORT), 3)
    found = forward_filter(density, **laws, lengths=SHORT)
    for part, known in zip(density.split(SHORT), found.log_predictive.split(SHORT), strict=True):
        torch.testing.assert_close(known.sum(), enumerate_paths(part, **laws)[1].logsumexp(0))


def test_posteriors_are_shares_of_all_paths(laws):
    density = densities(sum(SHORT), 3)
    found = smooth(density, **laws, lengths=SHORT)
    starts, transitions = torch.zeros(3).double(), torch.zeros(3, 3).double()
    for part, known in zip(density.split(SHORT), found.log_posterior.exp().split(SHORT), strict=True):
        paths, chances = enumerate_paths(part, **laws)
        shares = chances.softmax(0)
        for t in range(len(part)):
            torch.testing.assert_close(known[t], torch.zeros(3).double().index_add(0, paths[:, t], shares))
            if t:
                transitions.view(-1).index_add_(0, 3 * paths[:, t - 1] + paths[:, t], shares)
        starts.index_add_(0, paths[:, 0], shares)
    torch.testing.assert_close(found.starts, starts)
    torch.testing.assert_close(found.transitions, transitions)


def test_viterbi_finds_the_best_of_all_paths(laws):
    density = densities(sum(SHORT), 3)
    found = viterbi(density, **laws, lengths=SHORT)
    for part, path in zip(density.split(SHORT), found.split(SHORT), strict=True):
        paths, chances = enumerate_paths(part, **laws)
        assert path.tolist() == paths[chances.argmax()].tolist()


@pytest.mark.parametrize("lengths", [[1003], [1, 500, 2, 499, 1], [17] * 59])
def test_blocks_are_a_plain_loop(laws, lengths):
    density = densities(1003, 3)
    found = forward_filter(density, **laws, lengths=lengths)
    posterior, predictive = step_by_step(density, lengths, **laws)
    torch.testing.assert_close(found.log_predictive, predictive)
    torch.testing.assert_close(found.log_posterior, posterior)


def test_gradients_are_those_of_automatic_differentiation(laws):
    density = densities(60, 3).requires_grad_()
    inputs = [density, *(value.clone().requires_grad_() for value in laws.values())]
    ours = log_likelihood(density, log_start=inputs[1], log_transition=inputs[2], lengths=[25, 1, 34])
    gradients = torch.autograd.grad(3 * ours, inputs)
    loop = step_by_step(density, [25, 1, 34], log_start=inputs[1], log_transition=inputs[2])[1].sum()
    for mine, theirs, value in zip(gradients, torch.autograd.grad(3 * loop, inputs), inputs, strict=True):
        torch.testing.assert_close(mine, torch.where(value > -math.inf, theirs, 0.0))


def test_a_long_viterbi_path_is_as_likely_as_that_of_a_plain_loop():
    density, laws = densities(900, 4, spread=1.0), law(4)
    best = laws["log_start"] + density[0]
    for row in density[1:]:
        best = (best.unsqueeze(1) + laws["log_transition"]).amax(0) + row
    torch.testing.assert_close(chance(viterbi(density, **laws).tolist(), density, **laws), best.max())


@pytest.mark.parametrize("spread", [3.0, 2000.0])
def test_scaled_products_are_logarithms(spread):
    """Also where densities differ by more than the smallest double."""
    blocks, known = cut(leveled(densities(400, 3, spread=spread))[0], [150, 250]), Law(*law(3).values())
    assert scaled.suits(blocks, known)
    found = []
    for algebra in (scaled, log_space):
        products = algebra.products(blocks, known)
        posterior, predictive = algebra.forward(blocks, known, algebra.entries(products))
        after = algebra.backward(blocks, known, algebra.exits(products))
        before = torch.cat((posterior[-1:].roll(1, -1), posterior[:-1]))
        counts = algebra.count(blocks, known, before, blocks.log_density + after)
        smoothed = join((posterior + after).log_softmax(1), 400).exp()
        found.append((join(posterior, 400), join(predictive, 400), smoothed, counts))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


def test_a_missing_observation_is_summed_over():
    density, laws = densities(5, 3), law(3)
    density[2] = 0.0
    _, chances = enumerate_paths(density, **laws)
    torch.testing.assert_close(forward_filter(density, **laws).log_predictive.sum(), chances.logsumexp(0))
    assert abs(forward_filter(density, **laws).log_predictive[2]) < 1e-12


def test_an_observation_far_from_all_states_takes_nothing_from_the_others(laws):
    """Of huge log-densities that are alike under all states, sums would keep nothing but their rounding."""
    density = densities(300, 3)
    far = density.clone()
    far[::45] -= 2.0**90
    assert torch.equal(far[45], torch.full((3,), -(2.0**90)).double())
    even = torch.where((far < -1e20), 0.0, density)
    assert torch.equal(viterbi(far, **laws), viterbi(even, **laws))
    for ours, theirs in zip(smooth(far, **laws)[::2], smooth(even, **laws)[::2], strict=True):
        torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(forward_filter(far, **laws)[0], forward_filter(even, **laws)[0])


def test_what_is_impossible_is_said_and_ends_with_its_sequence(laws):
    density = densities(300, 3)
    density[140] = -math.inf
    found = forward_filter(density, **laws, lengths=[130, 70, 100])
    impossible = torch.zeros(300, dtype=torch.bool)
    impossible[140:200] = True
    assert torch.equal(found.log_predictive == -math.inf, impossible)
    assert not found.log_predictive.isnan().any()
    smoothed = smooth(density, **laws, lengths=[130, 70, 100])
    assert torch.equal(
        smoothed.log_posterior.exp().sum(1) < 0.5, (torch.arange(300) >= 130) & (torch.arange(300) < 200)
    )
    assert smoothed.transitions.sum().item() == pytest.approx(129 + 99)


def test_a_million_observations_of_a_chain_without_memory():
    """Where every row of the transition matrix is the law of starts, the likelihood has a closed form."""
    generator = torch.Generator().manual_seed(0)
    density = torch.randn(1_000_000, 2, generator=generator, dtype=torch.float64)
    start = torch.tensor([0.3, 0.7], dtype=torch.float64).log()
    found = forward_filter(density, log_start=start, log_transition=start.expand(2, 2))
    torch.testing.assert_close(found.log_predictive, (start + density).logsumexp(1))


@pytest.mark.parametrize(
    ("lengths", "message"),
    [([3, 3], "add up to the 7 rows of X, got a sum of 6"), ([7, 0], "at least 1")],
)
def test_lengths_must_be_those_of_the_rows(lengths, message):
    with pytest.raises(DataError, match=message):
        viterbi(densities(7, 3), **law(3), lengths=lengths)


def test_there_must_be_rows():
    with pytest.raises(ShapeError, match="must have rows and states"):
        cut(torch.zeros(0, 3), None)
