"""Where flows are computed: as asked, and with "auto" on a GPU only where rows repay it."""

import pytest
import torch

from counterflow.core.errors import ArgumentError
from counterflow.estimators.devices import place_for


def test_auto_takes_a_gpu_for_many_rows_only(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert place_for("auto", 10, work="explaining") == "cpu"
    assert place_for("auto", 10**6, work="explaining") == "cuda"
    assert place_for("auto", 10_000, work="training") == "cpu"
    assert place_for("cuda", 1, work="training") == "cuda"


def test_without_a_gpu_everything_is_done_on_the_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert place_for("auto", 10**6, work="explaining") == "cpu"
    with pytest.raises(ArgumentError, match="torch finds no GPU here: use 'auto' or 'cpu'"):
        place_for("cuda", 10, work="training")


def test_another_device_is_refused():
    with pytest.raises(ArgumentError, match="device must be 'auto', 'cpu' or 'cuda', got 'tpu'"):
        place_for("tpu", 10, work="training")
