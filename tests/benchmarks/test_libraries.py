"""Peers are asked the same as we are: the same architecture, and densities and samples of the same shapes.

What stands on PyTorch is tested in this process, with nothing compiled, as that takes long: each run of the benchmarks
checks that what is compiled gives finite results. flowjax is tested in the worker that runs it.
"""

import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from benchmarks.cases import BINS, FAMILIES, OPERATIONS, SIZES, Size, make_rows
from benchmarks.host import Worker
from benchmarks.libraries import CONTESTANTS, OURS, load_library, unable
from benchmarks.libraries.library import check_model
from benchmarks.libraries.on_torch import EagerModel, TorchFlow
from benchmarks.timing import Failure

SMALL = Size(features=4, hidden=16, layers=3, batch=50)
ON_TORCH = [name for name, contestant in CONTESTANTS.items() if contestant.python is None]

pytestmark = pytest.mark.filterwarnings("ignore:Inputs to the softmax are not scaled down")


def parameters_by_hand(family: str, size: Size) -> int:
    """Two hidden layers for each conditioner; 2 numbers for an affine map of a feature, 3 bins - 1 for a spline."""
    inputs = size.features // 2 if family in ("RealNVP", "NSF-C") else size.features
    outputs = inputs * (3 * BINS - 1 if family.startswith("NSF") else 2)
    widths = (inputs, size.hidden, size.hidden, outputs)
    return size.layers * sum((a + 1) * b for a, b in zip(widths[:-1], widths[1:], strict=True))


def check_density(samples, log_prob):
    """With p the density and q a Gaussian like the samples, the mean of q/p over samples of p is 1."""
    samples = np.asarray(samples, float)
    q = multivariate_normal(samples.mean(0), np.cov(samples.T) / 4)
    weights = np.exp(q.logpdf(samples) - np.asarray(log_prob, float))
    spread = weights.std() / math.sqrt(len(weights))
    assert spread < 0.1
    assert weights.mean() == pytest.approx(1.0, abs=5 * spread)


def takes_part(name: str, family: str) -> bool:
    return unable(CONTESTANTS[name], family, "log_prob") is None


@pytest.fixture(autouse=True)
def _same_draws():
    """Peers draw weights and samples from torch's own generator."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield


@pytest.mark.parametrize(("name", "family"), [(n, f) for n in ON_TORCH for f in FAMILIES if takes_part(n, f)])
class TestEachOnTorch:
    @pytest.fixture
    def model(self, name, family, tmp_path, monkeypatch):
        library = name.partition(" (")[0]
        if find_spec(library) is None:
            pytest.skip(f"{library} is not installed: `make bench` installs it")
        monkeypatch.setattr(torch, "compile", lambda function, **_: function)
        for folder in ("BENCH_COMPILER", "TORCHINDUCTOR_CACHE_DIR"):
            monkeypatch.setenv(folder, str(tmp_path))
        return load_library(CONTESTANTS[name]).build(family, SMALL, way=CONTESTANTS[name].way)

    def test_the_architecture_is_that_of_all(self, model, family):
        assert model.parameters == parameters_by_hand(family, SMALL)

    def test_densities_and_samples_are_finite(self, model):
        check_model(model, model.take(make_rows(SMALL)))

    def test_steps_make_the_rows_likelier_and_the_density_is_that_of_the_samples(self, model):
        x = model.take(make_rows(SMALL))
        before = model.log_prob(x).mean()
        for _ in range(30):
            model.train_step(x)
        assert model.log_prob(x).mean() > before + 0.05
        samples = model.sample(4_000)
        check_density(samples, model.log_prob(samples))


class TestFlowjax:
    @pytest.fixture
    def worker(self, tmp_path, monkeypatch):
        monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
        try:
            with Worker(CONTESTANTS["flowjax"], threads=1, shared=tmp_path) as worker:
                yield worker
        except Failure as failure:
            if "is not here" in str(failure) or "is not installed" in str(failure):
                pytest.skip(f"flowjax {failure}")
            raise

    def test_it_builds_and_trains_what_the_others_do(self, worker):
        for family in FAMILIES:
            built = worker.ask("build", family=family, size=vars(SMALL))
            assert built["parameters"] == parameters_by_hand(family, SMALL)
            if family == "RealNVP":
                self.steps_make_the_rows_likelier(worker)
            if family == "NSF-C":
                self.the_density_is_that_of_the_samples(worker)
            worker.ask("close")

    def steps_make_the_rows_likelier(self, worker):
        rows = make_rows(SMALL).tolist()
        before = np.mean(worker.ask("density", rows=rows)["log_prob"])
        worker.ask("burst", operation="train step", calls=30)
        assert np.mean(worker.ask("density", rows=rows)["log_prob"]) > before + 0.05
        worker.ask("check")

    def the_density_is_that_of_the_samples(self, worker):
        samples = worker.ask("draw", count=3_000)["samples"]
        check_density(samples, worker.ask("density", rows=samples)["log_prob"])


def test_contestants_have_names_of_their_own_and_ours_come_first():
    assert list(CONTESTANTS)[: len(OURS)] == list(OURS)
    assert len({(contestant.module, contestant.way) for contestant in CONTESTANTS.values()}) == len(CONTESTANTS)


def test_who_lacks_a_family_does_not_take_part_in_it():
    assert unable(CONTESTANTS["FrEIA"], "RealNVP", "sample") is None
    assert unable(CONTESTANTS["FrEIA"], "MAF", "sample") == "has no MAF"
    assert [unable(CONTESTANTS["zuko"], family, name) for family in FAMILIES for name in OPERATIONS] == [None] * 12


def test_rows_are_standardized_and_the_same_each_time():
    x = make_rows(SIZES["A"])
    assert x.shape == (256, 8)
    assert x.dtype == np.float32
    np.testing.assert_allclose(x.std(0), 1.0, rtol=1e-5)
    np.testing.assert_array_equal(x, make_rows(SIZES["A"]))


def test_a_model_that_computes_nonsense_is_refused():
    module = torch.nn.Linear(4, 1)
    broken = EagerModel(TorchFlow(module, lambda x: x[:, 0] * torch.nan, lambda count: torch.zeros(count, 4)))
    with pytest.raises(RuntimeError, match="finite numbers"):
        check_model(broken, broken.take(make_rows(SMALL)))
