"""Peers are asked the same as we are: the same architecture, and densities and samples of the same shapes."""

import math

import pytest
import torch

from benchmarks.cases import BINS, FAMILIES, SIZES, Size, make_rows
from benchmarks.engine import check_model
from benchmarks.libraries import MODULES, OURS, find_libraries
from benchmarks.libraries.model import TorchModel

SMALL = Size(features=4, hidden=16, layers=2, batch=50)
LIBRARIES = find_libraries()

pytestmark = pytest.mark.filterwarnings("ignore:Inputs to the softmax are not scaled down")


def parameters_by_hand(family: str, size: Size) -> int:
    """Two hidden layers for each conditioner; 2 numbers for an affine map of a feature, 3 bins - 1 for a spline."""
    inputs = size.features // 2 if family in ("RealNVP", "NSF-C") else size.features
    outputs = inputs * (3 * BINS - 1 if family.startswith("NSF") else 2)
    widths = (inputs, size.hidden, size.hidden, outputs)
    return size.layers * sum((a + 1) * b for a, b in zip(widths[:-1], widths[1:], strict=True))


@pytest.fixture(autouse=True)
def _same_draws():
    """Peers draw weights and samples from torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", MODULES)
class TestEachLibrary:
    @pytest.fixture
    def model(self, name, family):
        if name not in LIBRARIES:
            pytest.skip(f"{name} is not installed")
        return LIBRARIES[name].builders[family](SMALL)

    def test_the_architecture_is_that_of_all(self, model, family):
        assert model.parameters == parameters_by_hand(family, SMALL)

    def test_densities_and_samples_are_finite(self, model):
        check_model(model, make_rows(SMALL))

    def test_steps_make_the_rows_likelier(self, model):
        x = make_rows(SMALL)
        before = model.log_prob(x).mean()
        for _ in range(30):
            model.train_step(x)
        assert model.log_prob(x).mean() > before + 0.05

    def test_the_density_is_that_of_the_samples(self, model):
        """With p the density and q a Gaussian like the samples, the mean of q/p over samples of p is 1."""
        x = make_rows(SMALL)
        for _ in range(30):
            model.train_step(x)
        samples = model.sample(4_000)
        assert samples.dtype == torch.float32
        q = torch.distributions.MultivariateNormal(samples.mean(0), samples.T.cov() / 4)
        weights = (q.log_prob(samples) - model.log_prob(samples)).exp()
        spread = weights.std().item() / math.sqrt(len(weights))
        assert spread < 0.1
        assert weights.mean().item() == pytest.approx(1.0, abs=5 * spread)


def test_our_library_is_always_there():
    assert list(find_libraries(("zuko",)))[0] == OURS
    assert list(find_libraries(())) == [OURS]


def test_rows_are_standardized_and_the_same_each_time():
    x = make_rows(SIZES["A"])
    assert x.shape == (256, 8)
    torch.testing.assert_close(x.std(0), torch.ones(8))
    assert torch.equal(x, make_rows(SIZES["A"]))


class Broken(TorchModel):
    """A model whose densities are not finite."""

    def log_prob(self, x):
        return torch.full(x.shape[:1], torch.nan)


def test_a_model_that_computes_nonsense_is_refused():
    module = torch.nn.Linear(4, 1)
    broken = Broken(module, module, lambda count: torch.zeros(count, 4))
    with pytest.raises(RuntimeError, match="finite numbers"):
        check_model(broken, make_rows(SMALL))
