"""Simulations: the same for any number of workers, resumable, and with every failure counted."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import ArgumentError, ModelError, PersistenceError, ShapeError
from counterflow.inference import BoxUniform, Simulations, one_by_one, simulate
from tests.inference.simulators import fragile, noisy

PRIOR = BoxUniform([-2.0, -2.0], [2.0, 2.0])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_several_workers_give_what_one_gives():
    one, two = (
        simulate(noisy, PRIOR, count=300, batch_size=100, workers=workers, generator=seeded()) for workers in (1, 2)
    )
    assert torch.equal(one.theta, two.theta)
    assert torch.equal(one.x, two.x)
    assert not torch.equal(one.x[:100] - one.theta[:100], one.x[100:200] - one.theta[100:200])  # fresh noise


def test_an_interrupted_run_goes_on_to_the_same_end(tmp_path):
    calls = []

    def interrupted(theta, generator):
        calls.append(len(theta))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return noisy(theta, generator)

    with pytest.raises(KeyboardInterrupt):
        simulate(interrupted, PRIOR, count=500, batch_size=100, folder=tmp_path, generator=seeded())
    resumed = simulate(interrupted, PRIOR, count=500, batch_size=100, folder=tmp_path)
    whole = simulate(noisy, PRIOR, count=500, batch_size=100, generator=seeded())
    assert torch.equal(resumed.x, whole.x)
    assert calls == [100] * 6  # two were kept


def test_only_rows_that_raise_fail_and_they_are_counted():
    found = simulate(fragile, PRIOR, count=400, batch_size=100, generator=seeded())
    assert (found.theta[:, 0] <= 1).all()
    assert (found.failed[:, 0] > 1).all()
    assert len(found) + found.failures == 400
    assert found.reasons == {"ZeroDivisionError: too large": found.failures}
    assert "p(theta | the simulation succeeds)" in found.says


def test_what_is_not_finite_has_failed_unless_missing_values_are_allowed():
    def gappy(theta, generator):
        x = noisy(theta, generator)
        x[theta[:, 0] > 0, 0] = torch.nan
        x[theta[:, 1] > 1.5] = torch.nan
        x[theta[:, 1] < -1.5, 1] = torch.inf
        return x

    strict = simulate(gappy, PRIOR, count=400, generator=seeded())
    assert strict.x.isfinite().all()
    assert set(strict.reasons) == {"data not finite"}
    lenient = simulate(gappy, PRIOR, count=400, missing=True, generator=seeded())
    assert lenient.x.isnan().any()
    assert (lenient.failed[:, 1].abs() > 1.5).all()


def test_a_numpy_function_of_one_vector_becomes_a_simulator():
    simulator = one_by_one(lambda theta, rng: np.concatenate([theta, rng.normal(size=1)]))
    first, again = (simulate(simulator, PRIOR, count=20, generator=seeded(1)) for _ in range(2))
    assert torch.equal(first.x, again.x)
    assert torch.equal(first.x[:, :2], first.theta)
    assert first.x[:, 2].unique().numel() == 20


def test_rounds_join():
    first = simulate(fragile, PRIOR, count=100, generator=seeded(0))
    joined = first.join(simulate(fragile, PRIOR, count=100, generator=seeded(1)))
    assert len(joined) + joined.failures == 200
    assert joined.reasons.total() == joined.failures


def test_a_folder_of_another_run_is_refused(tmp_path):
    simulate(noisy, PRIOR, count=10, folder=tmp_path)
    with pytest.raises(PersistenceError, match="its count is 10, and 20"):
        simulate(noisy, PRIOR, count=20, folder=tmp_path)
    with pytest.raises(PersistenceError, match="its theta is"):
        simulate(noisy, BoxUniform([0.0], [1.0]), count=10, folder=tmp_path)


def always_fails(theta, generator):
    raise ValueError("no power")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: simulate(always_fails, PRIOR, count=5), ModelError, "all of 5 parameters.*no power"),
        (lambda: simulate(lambda t, g: t[:1], PRIOR, count=5), ShapeError, "one_by_one"),
        (
            lambda: simulate(lambda t, g: t, PRIOR, count=4, batch_size=2, workers=2),
            ArgumentError,
            "Define it in a module",
        ),
        (lambda: simulate(noisy, PRIOR, count=0), ArgumentError, "count must be"),
        (lambda: Simulations(torch.zeros(3, 1), torch.zeros(2, 1)), ShapeError, "as many rows"),
    ],
)
def test_what_cannot_be_simulated_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
