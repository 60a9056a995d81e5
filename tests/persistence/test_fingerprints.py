import hashlib
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from counterflow.core.errors import ArgumentError
from counterflow.persistence import fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Settings:
    weight: float
    names: tuple[str, ...]


@dataclass(frozen=True)
class OtherSettings:
    weight: float
    names: tuple[str, ...]


def test_a_string_hashes_as_its_json_after_its_length():
    text = b'"apple"'
    assert fingerprint("apple") == hashlib.sha256(len(text).to_bytes(8, "little") + text).hexdigest()


@given(PLAIN, PLAIN)
def test_fingerprints_are_equal_exactly_when_the_data_are(one, other):
    assert (fingerprint(one) == fingerprint(other)) == (repr(ordered(one)) == repr(ordered(other)))


def ordered(data):
    """Dictionaries by key, so that ``repr`` compares content: types and the sign of zero included."""
    if isinstance(data, dict):
        return {key: ordered(data[key]) for key in sorted(data)}
    return [ordered(item) for item in data] if isinstance(data, list) else data


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        (1, "1"),
        (["a", "b"], ["ab"]),
        ([["a"], "b"], ["a", ["b"]]),
        ({"a": {"b": 1}}, {"a": {}, "b": 1}),
        (np.zeros(2), np.zeros((1, 2))),
        (np.zeros(2), np.zeros(2, dtype=np.float32)),
        (np.zeros(2), np.array([0.0, 1e-300])),
        (b"a", "a"),
        (Settings(1.0, ("a",)), Settings(2.0, ("a",))),
        (Settings(1.0, ("a",)), OtherSettings(1.0, ("a",))),
    ],
)
def test_what_differs_in_type_shape_nesting_or_value_differs(one, other):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, 2), [1, 2]),
        (np.float64(0.5), 0.5),
        (np.arange(6.0).reshape(2, 3).T, np.arange(6.0).reshape(2, 3).T.copy()),
        (np.arange(3, dtype=">i8"), np.arange(3, dtype="<i8")),
        (np.array(["a", None], dtype=object), ["a", None]),
        (torch.tensor([[1.5, 2.0]]), np.array([[1.5, 2.0]], dtype=np.float32)),
        (torch.tensor([True, False]), np.array([True, False])),
        (torch.tensor(3), np.array(3)),
        (float("nan"), float("nan")),
    ],
)
def test_what_is_the_same_content_is_the_same(one, other):
    assert fingerprint(one) == fingerprint(other)


def test_bfloat16_tensors_have_a_fingerprint():
    assert fingerprint(torch.ones(2, dtype=torch.bfloat16)) != fingerprint(torch.ones(2, dtype=torch.float16))


def test_what_cannot_be_read_off_is_refused():
    with pytest.raises(ArgumentError, match=r"plain data, arrays and tensors, got set"):
        fingerprint({"a": {1, 2}})
