"""What races is equal: hmmlearn's inner functions are a witness of ours."""

import pytest
import torch

hmmlearn = pytest.importorskip("hmmlearn", reason="hmmlearn is not installed: it comes with the extra bench")

from benchmarks.hmm import _hmmlearn, _ours  # noqa: E402


def test_both_give_the_same():
    generator = torch.Generator().manual_seed(0)
    density = torch.randn(500, 3, generator=generator, dtype=torch.float64)
    start, transition = (
        torch.rand(shape, generator=generator, dtype=torch.float64).log().log_softmax(-1) for shape in ((3,), (3, 3))
    )
    ours, theirs = _ours(density, start, transition), _hmmlearn(density, start, transition)
    filtered, smoothed = ours["filter"](), ours["E-step"]()
    assert filtered.log_predictive.sum().item() == pytest.approx(theirs["hmmlearn filter"]()[0])
    assert filtered.log_predictive.sum().item() == pytest.approx(theirs["hmmlearn filter, scaled"]()[0])
    both, pairs = theirs["hmmlearn E-step"]()
    torch.testing.assert_close(smoothed.log_posterior.exp(), torch.from_numpy(both).softmax(1))
    torch.testing.assert_close(smoothed.transitions, torch.from_numpy(pairs).exp())
    assert ours["Viterbi"]().tolist() == theirs["hmmlearn Viterbi"]()[1].tolist()
