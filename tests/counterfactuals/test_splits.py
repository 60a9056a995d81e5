"""Who learns from which rows: nobody judges with rows it was trained on."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from counterflow.core.errors import DataError
from counterflow.counterfactuals.splits import CROSS_FITTED_BELOW, assign_roles


def labels_of(counts, seed=0):
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(seed).permutation(labels)


counts = st.lists(st.integers(20, 400), min_size=1, max_size=4)
sizes = st.one_of(counts, counts.map(lambda few: [*few, 5000]))


@settings(max_examples=40)
@given(sizes, st.integers(0, 2**63 - 1))
def test_roles_are_disjoint_and_complete(counts, seed):
    labels = labels_of(counts)
    roles = assign_roles(labels, seed=seed)
    search, witness = set(roles.search.tolist()), set(roles.witness.tolist())
    of_search, of_witness = set(roles.search_calibration.tolist()), set(roles.witness_calibration.tolist())
    assert not search & witness
    assert not search & of_search
    assert not witness & of_witness
    assert search | witness | of_search | of_witness == set(range(len(labels)))
    for part in (roles.search, roles.witness, roles.search_calibration, roles.witness_calibration):
        assert len(set(part.tolist())) == len(part)


@settings(max_examples=40)
@given(sizes, st.integers(0, 1000))
def test_every_part_has_its_share_of_every_class(counts, seed):
    labels = labels_of(counts)
    roles = assign_roles(labels, seed=seed)
    shares = (0.5, 0.5) if len(labels) < CROSS_FITTED_BELOW else (0.4, 0.4)
    for label, count in enumerate(counts):
        for part, share in zip((roles.search, roles.witness), shares, strict=True):
            assert abs((labels[part] == label).sum() - share * count) <= 1
        assert (labels[roles.search_calibration] == label).any()
        assert (labels[roles.witness_calibration] == label).any()


@pytest.mark.parametrize(("rows", "crossed"), [(CROSS_FITTED_BELOW - 1, True), (CROSS_FITTED_BELOW, False)])
def test_small_tables_are_cross_fitted(rows, crossed):
    roles = assign_roles(labels_of([rows - 100, 100]), seed=0)
    assert roles.cross_fitted is crossed
    if crossed:
        np.testing.assert_array_equal(roles.search_calibration, roles.witness)
        np.testing.assert_array_equal(roles.witness_calibration, roles.search)
    else:
        np.testing.assert_array_equal(roles.search_calibration, roles.witness_calibration)
        assert len(roles.search) == len(roles.witness) == 2000
        assert len(roles.search_calibration) == 1000
    sizes = roles.sizes()
    assert sizes["search_training"] == len(roles.search)
    assert sizes["witness_training"] == len(roles.witness)
    assert sizes["search_calibration"] == len(roles.search_calibration)
    assert sizes["witness_calibration"] == len(roles.witness_calibration)
    assert sizes["cross_fitted"] is crossed


def test_the_seed_decides_everything():
    labels = labels_of([200, 100])
    first, again, other = (assign_roles(labels, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.search, again.search)
    np.testing.assert_array_equal(first.witness, again.witness)
    assert set(first.search.tolist()) != set(other.search.tolist())


def test_parts_do_not_come_class_by_class():
    """Training takes its validation share from the rows' order, and examinations take the first rows."""
    labels = np.repeat([0, 1], 300)
    for part in (assign_roles(labels, seed=0).search, assign_roles(labels, seed=0).witness):
        assert 0.3 < labels[part][:100].mean() < 0.7


def test_a_class_of_too_few_rows_is_refused():
    with pytest.raises(DataError, match=r"class number 1 has 19 rows; a density of each class needs at least 20\."):
        assign_roles(labels_of([100, 19]), seed=0)
