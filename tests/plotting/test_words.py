"""Words for statuses."""

from counterflow import RowStatus
from counterflow.plotting.words import SHORT


def test_every_status_has_words_of_its_own():
    assert set(SHORT) == set(RowStatus)
    assert len(set(SHORT.values())) == len(SHORT)
