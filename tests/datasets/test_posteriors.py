"""Reference posteriors in both forms in which they come."""

import bz2

import numpy as np
import pytest
import torch

from counterflow import datasets
from counterflow.core.errors import ArgumentError, DataError


@pytest.fixture
def arrays():
    stream = np.random.default_rng(0)
    return {
        "observation": stream.normal(size=(2, 8)).astype(np.float32),
        "observation_distractors": stream.normal(size=(2, 100)).astype(np.float32),
        "true_parameters": stream.normal(size=(2, 5)).astype(np.float32),
        "reference_posterior": stream.normal(size=(2, 30, 5)).astype(np.float32),
    }


def write_as_shipped(folder, arrays):
    for place in range(2):
        here = folder / "slcp" / "files" / f"num_observation_{place + 1}"
        here.mkdir(parents=True)
        for name, values in arrays.items():
            rows = np.atleast_2d(values[place])
            heading = ",".join(f"number_{column}" for column in range(rows.shape[1]))
            text = "\n".join([heading, *(",".join(map(repr, row)) for row in rows.tolist())]) + "\n"
            if name == "reference_posterior":
                (here / "reference_posterior_samples.csv.bz2").write_bytes(bz2.compress(text.encode()))
            else:
                (here / f"{name}.csv").write_text(text)


@pytest.mark.parametrize("form", ["gathered", "shipped"])
@pytest.mark.parametrize(("name", "seen"), [("slcp", "observation"), ("slcp_distractors", "observation_distractors")])
def test_both_forms_are_read(tmp_path, arrays, form, name, seen):
    if form == "gathered":
        np.savez(tmp_path / "slcp.npz", **arrays)
    else:
        write_as_shipped(tmp_path, arrays)
    found = datasets.reference_posterior(tmp_path, name, observation=2)
    assert found.name == name
    assert torch.equal(found.observation, torch.from_numpy(arrays[seen][1]))
    assert torch.equal(found.true_parameters, torch.from_numpy(arrays["true_parameters"][1]))
    assert torch.equal(found.draws, torch.from_numpy(arrays["reference_posterior"][1]))


@pytest.mark.parametrize("form", ["gathered", "shipped"])
@pytest.mark.parametrize("observation", [3, 0])
def test_an_observation_that_is_not_there_is_refused(tmp_path, arrays, form, observation):
    if form == "gathered":
        np.savez(tmp_path / "slcp.npz", **arrays)
    else:
        write_as_shipped(tmp_path, arrays)
    with pytest.raises(ArgumentError, match="observation must be"):
        datasets.reference_posterior(tmp_path, "slcp", observation=observation)


def test_what_cannot_be_read_is_said(tmp_path, arrays):
    with pytest.raises(DataError, match=r"must hold 'slcp.npz' or 'slcp/files'"):
        datasets.reference_posterior(tmp_path, "slcp")
    del arrays["true_parameters"]
    np.savez(tmp_path / "slcp.npz", **arrays)
    with pytest.raises(DataError, match=r"slcp.npz' cannot be read .*true_parameters"):
        datasets.reference_posterior(tmp_path, "slcp")
    (tmp_path / "slcp.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match=r"slcp.npz' cannot be read"):
        datasets.reference_posterior(tmp_path, "slcp")
