"""Training rows are known again, bit for bit, and not kept."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from counterflow.counterfactuals.copies import RowHashes

entries = st.one_of(st.sampled_from([0.0, -0.0, 1.0, -9.0, np.nan, np.inf]), st.floats(-3, 3))
tables = arrays(np.float64, (7, 3), elements=entries)


def key(row):
    return tuple("nan" if np.isnan(value) else value + 0.0 for value in row)


@given(tables, tables)
def test_membership_against_a_set_of_tuples(known, asked):
    hashes = RowHashes.of(torch.from_numpy(known))
    both = np.concatenate([asked, known])
    expected = [key(row) in {key(row) for row in known} for row in both]
    assert hashes.contains(torch.from_numpy(both)).tolist() == expected


def test_the_last_bit_counts():
    row = torch.tensor([[0.1, 2.0]], dtype=torch.float64)
    near = torch.nextafter(row, torch.full_like(row, 9.0))
    hashes = RowHashes.of(row)
    assert hashes.contains(row).tolist() == [True]
    assert hashes.contains(torch.stack((near[0], row[0].flip(0)))).tolist() == [False, False]


def test_zero_with_a_sign_is_zero():
    assert RowHashes.of(torch.tensor([[-0.0, 1.0]])).contains(torch.tensor([[0.0, 1.0]])).all()


def test_strided_rows_are_read_in_their_order():
    rows = torch.arange(12, dtype=torch.float64).reshape(3, 4)
    assert RowHashes.of(rows).contains(rows.T.contiguous().T).all()
    assert not RowHashes.of(rows[:, :3]).contains(rows[:, 1:]).any()


def test_hashes_are_sorted_distinct_and_no_rows():
    rows = torch.tensor([[1.0, 2.0], [1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
    hashes = RowHashes.of(rows).hashes
    assert hashes.shape == (2,)
    assert hashes.dtype == torch.int64
    assert (hashes[1:] > hashes[:-1]).all()
    assert RowHashes.of(rows.flip(0)).hashes.equal(hashes)
