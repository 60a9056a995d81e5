"""A table explained piece by piece: the same answers as at once, all or nothing."""

from unittest import mock

import numpy as np
import pandas as pd
import pytest

from counterflow import PPCEF, Constraints
from counterflow.core.errors import ArgumentError, DataError
from counterflow.core.outcomes import RowStatus
from counterflow.estimators import explain_stream
from counterflow.estimators.streaming import STREAM_COLUMNS
from tests.counterfactuals.made import APPROVED, loan_explainer, refused_rows, variant

ROWS = 11


@pytest.fixture(scope="module")
def explainer():
    return variant(loan_explainer(), PPCEF(max_steps=6, starts=1))


@pytest.fixture(scope="module")
def frame():
    return refused_rows(ROWS)


@pytest.fixture
def path(tmp_path, frame):
    frame.to_parquet(tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


@pytest.mark.parametrize("batch_rows", [4, 100])
def test_pieces_give_the_answers_of_the_whole(explainer, frame, path, tmp_path, batch_rows):
    settings = {"count": 2, "constraints": Constraints(immutable=["age"]), "min_plausibility": 0.2}
    counts = explain_stream(
        explainer, path, desired=APPROVED, out=tmp_path / "out.parquet", batch_rows=batch_rows, **settings
    )
    answer = explainer.explain(frame, APPROVED, **settings)
    found = pd.read_parquet(tmp_path / "out.parquet")
    assert list(found.columns) == [*frame.columns, *STREAM_COLUMNS]
    pd.testing.assert_frame_equal(found[list(frame.columns)], answer.frame.reset_index(drop=True))
    assert found["cf_factual"].tolist() == answer.index.factual.tolist()
    assert found["cf_rank"].tolist() == answer.index.rank.tolist()
    assert found["cf_status"].tolist() == [status.value for status in answer.status]
    for name in ("valid", "plausible", "witness", "kept"):
        assert found[f"cf_{name}"].tolist() == getattr(answer, name).tolist()
    np.testing.assert_allclose(found["cf_distance"], answer.distance)
    assert sum(counts.values()) == 2 * ROWS
    assert all(isinstance(status, RowStatus) for status in counts)


def test_nothing_is_written_when_a_piece_fails(explainer, frame, tmp_path):
    wrong = frame.assign(housing=["own"] * (ROWS - 1) + ["castle"])
    wrong.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match="castle"):
        explain_stream(
            explainer, tmp_path / "rows.parquet", desired=APPROVED, out=tmp_path / "out.parquet", batch_rows=4
        )
    assert [file.name for file in tmp_path.iterdir()] == ["rows.parquet"]


def test_a_bar_counts_rows(explainer, path, tmp_path):
    with mock.patch("tqdm.auto.tqdm") as bar:
        explain_stream(explainer, path, desired=APPROVED, out=tmp_path / "out.parquet", batch_rows=4, progress=True)
    assert bar.call_args.kwargs["total"] == ROWS
    updates = bar.return_value.__enter__.return_value.update.call_args_list
    assert [call.args[0] for call in updates] == [4, 4, 3]


def test_mistakes_are_told_before_anything_is_explained(explainer, frame, path, tmp_path):
    with pytest.raises(ArgumentError, match="must be the path of a .parquet file"):
        explain_stream(explainer, path, desired=APPROVED, out=tmp_path / "out.csv")
    with pytest.raises(ArgumentError, match="batch_rows"):
        explain_stream(explainer, path, desired=APPROVED, out=tmp_path / "out.parquet", batch_rows=0)
    frame.assign(cf_valid=True).to_parquet(tmp_path / "taken.parquet")
    with pytest.raises(DataError, match="'cf_valid', which the answers need"):
        explain_stream(explainer, tmp_path / "taken.parquet", desired=APPROVED, out=tmp_path / "out.parquet")
    frame[:0].to_parquet(tmp_path / "empty.parquet")
    with pytest.raises(DataError, match="holds no rows"):
        explain_stream(explainer, tmp_path / "empty.parquet", desired=APPROVED, out=tmp_path / "out.parquet")
