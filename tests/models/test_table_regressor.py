"""Our own regressor against the closed form of ridge regression on the same features."""

import numpy as np
import pytest
import torch

from counterflow.core.errors import DataError
from counterflow.models import TableRegressor, adapt, own_parts, restore_own
from counterflow.tables import TableCodec
from tests.models.test_table_classifier import SCHEMA, design, table


def values_of(frame):
    score = frame["income"] / 3 + 40 * (frame["accounts"] == -9) - 30 * (frame["home"] == "own")
    return (score + np.random.default_rng(3).normal(size=len(frame))).tolist()


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_equals_the_closed_form(penalty):
    frame, fresh = table(), table(60, seed=9)
    y = np.array(values_of(frame))
    phi = design(frame, frame)
    centered = phi - phi.mean(0)
    weight = np.linalg.solve(centered.T @ centered + penalty * np.eye(phi.shape[1]), centered.T @ (y - y.mean()))
    expected = y.mean() + (design(fresh, frame) - phi.mean(0)) @ weight
    model = TableRegressor.fit(SCHEMA, frame, y.tolist(), penalty=penalty)
    np.testing.assert_allclose(model.predict(fresh), expected, rtol=1e-9)


def test_parts_round_trip_bit_for_bit():
    frame = table()
    model = TableRegressor.fit(SCHEMA, frame, values_of(frame))
    again = restore_own(*own_parts(model))
    assert isinstance(again, TableRegressor)
    np.testing.assert_array_equal(again.predict(frame), model.predict(frame))


def test_adapted_it_is_its_own_formula():
    frame = table()
    model = TableRegressor.fit(SCHEMA, frame, values_of(frame))
    adapted = adapt(model, SCHEMA, like=frame)
    assert adapted.regression
    assert adapted.differentiable
    numbers = torch.from_numpy(TableCodec(SCHEMA).to_numbers(frame))
    np.testing.assert_allclose(adapted.logits(numbers)[:, 0].numpy(), model.predict(frame), rtol=1e-12)


@pytest.mark.parametrize("wrong", ["much", None, float("inf")])
def test_what_is_no_number_is_refused(wrong):
    frame = table(30)
    with pytest.raises(DataError, match=r"numbers to predict"):
        TableRegressor.fit(SCHEMA, frame, [*values_of(frame)[:-1], wrong])
