"""Our flow inside of sbi's own training, if sbi is installed; and the sentence if it is not."""

import copy
import importlib.util

import pytest
import torch

from counterflow.core.errors import ArgumentError, MissingExtra
from counterflow.inference import FlowMatchingHead, SplineHead, sbi_builder

WITH_SBI = importlib.util.find_spec("sbi") is not None
pytestmark = pytest.mark.filterwarnings("ignore:Maximum number of epochs")
needs_sbi = pytest.mark.skipif(not WITH_SBI, reason="needs sbi: pip install 'counterflow[sbi]'")
HEAD = SplineHead(layers=2, hidden=(32,), bins=4)


def simulated():
    generator = torch.Generator().manual_seed(0)
    theta = 2 * torch.rand(2000, 2, generator=generator) - 1
    return theta, theta + 0.3 * torch.randn(theta.shape, generator=generator)


@needs_sbi
def test_npe_trains_samples_and_scores_with_our_flow():
    from sbi.inference import NPE
    from sbi.utils import BoxUniform

    theta, x = simulated()
    prior = BoxUniform(-torch.ones(2), torch.ones(2))
    builder = sbi_builder(head=HEAD, prior=prior)
    inference = NPE(prior, density_estimator=builder, show_progress_bars=False)
    estimator = inference.append_simulations(theta, x).train(max_num_epochs=10)
    posterior = inference.build_posterior(estimator)
    observed = torch.tensor([[0.2, 0.9]])
    draws = posterior.sample((3000,), x=observed, show_progress_bars=False)
    assert draws.shape == (3000, 2)
    assert (draws.abs() <= 1).all()
    assert abs(draws[:, 0].mean() - 0.2) < 0.06
    assert abs(draws[:, 0].std() - 0.3) < 0.06
    log_prob = posterior.log_prob(draws[:50], x=observed)
    own = estimator.log_prob(draws[:50].unsqueeze(1), condition=observed)[:, 0]
    torch.testing.assert_close(log_prob, own, atol=0.05, rtol=0)  # nothing leaks, so sbi corrects nothing


@needs_sbi
def test_nle_trains_with_our_flow():
    from sbi.inference import NLE
    from sbi.utils import BoxUniform

    theta, x = simulated()
    builder = sbi_builder(estimates="likelihood", head=HEAD)
    inference = NLE(BoxUniform(-torch.ones(2), torch.ones(2)), density_estimator=builder, show_progress_bars=False)
    estimator = inference.append_simulations(theta, x).train(max_num_epochs=10)
    found = estimator.log_prob(torch.tensor([[[0.1, 0.1]]]), condition=torch.tensor([[0.1, 0.1]]))
    exact = 2 * torch.distributions.Normal(0.0, 0.3).log_prob(torch.tensor(0.0))
    assert abs(found.item() - exact) < 0.2


@needs_sbi
def test_the_estimator_keeps_the_shapes_and_copies_of_sbi():
    theta, x = simulated()
    estimator = sbi_builder(head=HEAD)(theta, x)
    assert estimator.log_prob(theta[:6].view(3, 2, 2), condition=x[:2]).shape == (3, 2)
    assert estimator.sample(torch.Size((4, 5)), x[:3]).shape == (4, 5, 3, 2)
    assert estimator.loss(theta[:7], x[:7]).shape == (7,)
    again = copy.deepcopy(estimator)
    again.load_state_dict(estimator.state_dict())
    assert torch.equal(again.loss(theta, x), estimator.loss(theta, x))


@pytest.mark.skipif(WITH_SBI, reason="sbi is installed")
def test_without_sbi_the_extra_is_named():
    with pytest.raises(MissingExtra, match=r"counterflow\[sbi\]"):
        sbi_builder()


@pytest.mark.parametrize(
    ("settings", "words"), [({"estimates": "ratio"}, "got 'ratio'"), ({"head": FlowMatchingHead()}, "flow matching")]
)
def test_what_cannot_be_is_refused(settings, words):
    with pytest.raises(ArgumentError, match=words):
        sbi_builder(**settings)
