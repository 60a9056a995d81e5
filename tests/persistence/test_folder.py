import errno
import json
import os
from pathlib import Path

import pytest
import torch

import counterflow
from counterflow.core.errors import ArgumentError, CounterflowError, PersistenceError
from counterflow.persistence import FORMAT, join_parts, load_folder, plain_data, save_folder

CONFIG = {"recipe": "nice", "hidden": [64, 64], "rate": 0.1, "names": {"größe": None}, "flag": True}
TENSORS = {
    "flow.weight": torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64),
    "flow.initialized": torch.tensor(True),
    "count": torch.tensor([3, 4]),
    "empty": torch.zeros(0, 2),
    "half": torch.tensor([0.5, float("nan")], dtype=torch.bfloat16),
}


@pytest.fixture
def saved(tmp_path):
    return save_folder(tmp_path / "object", "flow", config=CONFIG, tensors=TENSORS)


def content(folder):
    return {file.name: file.read_bytes() for file in Path(folder).iterdir()}


def only(folder, pattern):
    (file,) = Path(folder).glob(pattern)
    return file


def edit_manifest(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))


def test_load_gives_back_what_was_saved_bit_by_bit(saved):
    config, tensors = load_folder(saved, "flow")
    assert config == CONFIG
    assert set(tensors) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert tensors[name].shape == tensor.shape
        assert torch.equal(tensors[name].reshape(-1).view(torch.uint8), tensor.reshape(-1).view(torch.uint8))


def test_the_folder_holds_json_and_safetensors_only_and_the_manifest_says_who_wrote_it(saved):
    assert sorted(file.suffix for file in saved.iterdir()) == [".json", ".json", ".safetensors"]
    manifest = json.loads((saved / "manifest.json").read_text())
    assert (manifest["format"], manifest["kind"]) == (FORMAT, "flow")
    assert manifest["counterflow"] == counterflow.__version__


def test_the_same_object_gives_the_same_bytes(saved, tmp_path):
    again = save_folder(tmp_path / "again", "flow", config=CONFIG, tensors=TENSORS)
    assert content(again) == content(saved)


def test_loaded_tensors_have_memory_of_their_own(saved):
    first, second = load_folder(saved, "flow"), load_folder(saved, "flow")
    first.tensors["count"].add_(1)
    assert second.tensors["count"].tolist() == [3, 4]


def test_tensors_that_share_memory_or_are_transposed_are_saved(tmp_path):
    base = torch.arange(6.0).reshape(2, 3)
    save_folder(tmp_path, "x", config={}, tensors={"a": base, "b": base[0], "c": base.T})
    tensors = load_folder(tmp_path, "x").tensors
    assert torch.equal(tensors["b"], base[0])
    assert torch.equal(tensors["c"], base.T)


def test_parts_come_out_as_they_went_in(tmp_path):
    parts = {"flow": {"net.weight": torch.ones(2)}, "flow2": {"net.weight": torch.zeros(2)}}
    save_folder(tmp_path, "x", config={}, tensors=join_parts(parts))
    saved = load_folder(tmp_path, "x")
    assert saved.part("flow")["net.weight"].tolist() == [1.0, 1.0]
    assert set(saved.part("flow")) == {"net.weight"}
    assert saved.part("flow2")["net.weight"].tolist() == [0.0, 0.0]


def test_a_second_save_replaces_the_first_and_leaves_other_files_alone(saved):
    (saved / "notes.txt").write_text("mine")
    (saved / "config-of-mine.json").write_text("{}")
    save_folder(saved, "flow", config={"new": 1})
    assert load_folder(saved, "flow") == ({"new": 1}, {})
    assert len(list(saved.iterdir())) == 5
    assert (saved / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("failing_write", [1, 2, 3])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_whatever_write_fails_the_old_object_is_intact(saved, monkeypatch, failing_write, error):
    before = content(saved)
    fail_at(monkeypatch, failing_write, error)
    with pytest.raises((PersistenceError, KeyboardInterrupt)) as caught:
        save_folder(saved, "flow", config={"new": 1}, tensors={"new": torch.ones(1)})
    if isinstance(error, OSError):
        assert "No space left on device" in str(caught.value)
    assert content(saved) == before


@pytest.mark.parametrize("failing_write", [1, 2, 3])
def test_a_failed_first_save_leaves_no_folder(tmp_path, monkeypatch, failing_write):
    fail_at(monkeypatch, failing_write, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(PersistenceError, match="No space left"):
        save_folder(tmp_path / "object", "flow", config={})
    assert not (tmp_path / "object").exists()


def fail_at(monkeypatch, number, error):
    """Let the system refuse the ``number``-th rename: everything before it has been written."""
    rename, calls = os.replace, []

    def replace(*args):
        calls.append(args)
        if len(calls) == number:
            raise error
        rename(*args)

    monkeypatch.setattr(os, "replace", replace)


def test_saving_the_same_object_again_survives_a_full_disk(saved, monkeypatch):
    before = content(saved)
    fail_at(monkeypatch, 2, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(PersistenceError):
        save_folder(saved, "flow", config=CONFIG, tensors=TENSORS)
    assert content(saved) == before


def test_old_files_that_cannot_be_removed_do_no_harm(saved, monkeypatch):
    def refuse(self, missing_ok=False):
        if "config-" in self.name and not missing_ok:
            raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    save_folder(saved, "flow", config={"new": 1})
    assert load_folder(saved, "flow").config == {"new": 1}


class TestErrors:
    def test_there_is_no_folder(self, tmp_path):
        with pytest.raises(PersistenceError, match=r"There is no folder '.*nowhere'"):
            load_folder(tmp_path / "nowhere", "flow")

    def test_the_folder_is_somebody_elses(self, tmp_path):
        with pytest.raises(PersistenceError, match=r"is no folder saved by counterflow: it has no 'manifest\.json'"):
            load_folder(tmp_path, "flow")

    def test_the_path_is_a_file(self, tmp_path):
        (tmp_path / "file").write_text("text")
        with pytest.raises(PersistenceError, match="is no folder saved by counterflow"):
            load_folder(tmp_path / "file", "flow")
        with pytest.raises(PersistenceError, match=r"Could not make the folder '.*file': File exists"):
            save_folder(tmp_path / "file", "flow", config={})
        assert (tmp_path / "file").read_text() == "text"

    def test_it_holds_another_kind(self, saved):
        with pytest.raises(PersistenceError, match="holds a saved flow, expected a saved explainer"):
            load_folder(saved, "explainer")

    def test_it_is_older(self, saved):
        edit_manifest(saved, format=0, counterflow="0.0.1")
        with pytest.raises(
            PersistenceError, match=r"saved in format 0 by counterflow 0\.0\.1, .*: make and save it again"
        ):
            load_folder(saved, "flow")

    def test_it_is_newer(self, saved):
        edit_manifest(saved, format=FORMAT + 1, counterflow="9.0")
        with pytest.raises(PersistenceError, match=r"by counterflow 9\.0, .*: upgrade to that version"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize("pattern", ["config-*", "tensors-*"])
    def test_a_file_is_missing(self, saved, pattern):
        only(saved, pattern).unlink()
        with pytest.raises(PersistenceError, match=r"damaged: '.*' is missing"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize("pattern", ["config-*", "tensors-*"])
    @pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
    def test_a_file_was_changed_or_cut_short(self, saved, pattern, damage):
        file = only(saved, pattern)
        raw = file.read_bytes()
        file.write_bytes({"cut": raw[:-1], "flip": raw[:-2] + bytes([raw[-2] ^ 1]) + raw[-1:], "empty": b""}[damage])
        with pytest.raises(PersistenceError, match="was changed or cut short"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "\x00"])
    def test_the_manifest_is_not_whole(self, saved, text):
        (saved / "manifest.json").write_text(text)
        with pytest.raises(PersistenceError, match=r"damaged: 'manifest\.json' is not whole"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize("version", [None, "1", True])
    def test_the_manifest_names_no_format(self, saved, version):
        edit_manifest(saved, format=version)
        with pytest.raises(PersistenceError, match="names no format"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize("hashes", [None, {}, {"config": 1, "tensors": 2}])
    def test_the_manifest_does_not_name_its_files(self, saved, hashes):
        edit_manifest(saved, sha256=hashes)
        with pytest.raises(PersistenceError, match="does not name its files"):
            load_folder(saved, "flow")

    def test_a_forged_hash_fits_a_file_that_is_no_safetensors(self, saved):
        digest = "b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c"  # sha256 of "foo\n"
        (saved / f"tensors-{digest[:16]}.safetensors").write_text("foo\n")
        manifest = json.loads((saved / "manifest.json").read_text())
        edit_manifest(saved, sha256=manifest["sha256"] | {"tensors": digest})
        with pytest.raises(PersistenceError, match="its content cannot be read"):
            load_folder(saved, "flow")

    def test_a_file_cannot_be_read(self, saved):
        file = only(saved, "config-*")
        file.unlink()
        file.mkdir()
        with pytest.raises(PersistenceError, match=r"Could not read '.*config-.*': Is a directory"):
            load_folder(saved, "flow")

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({"a": torch.zeros(1)}, r"config\['a'\] must be plain data .* got Tensor: arrays belong in tensors"),
            ({"a": [1, {"b": float("nan")}]}, r"config\['a'\]\[1\]\['b'\] is nan, which JSON cannot hold"),
            ({"a": {1: "b"}}, r"config\['a'\] must have strings as keys, got 1 of type int"),
        ],
    )
    def test_config_is_not_plain_and_nothing_is_written(self, tmp_path, config, sentence):
        with pytest.raises(ArgumentError, match=sentence):
            save_folder(tmp_path / "object", "flow", config=config)
        assert not (tmp_path / "object").exists()

    def test_all_are_counterflow_errors_and_value_errors(self, tmp_path):
        with pytest.raises(CounterflowError):
            load_folder(tmp_path, "flow")
        with pytest.raises(ValueError, match="no folder saved"):
            load_folder(tmp_path, "flow")


def test_plain_data_gives_jsons_own_types():
    import numpy as np

    data = plain_data({"a": (np.int64(1), np.bool_(True)), "b": np.str_("c")})
    assert json.loads(json.dumps(data)) == data == {"a": [1, True], "b": "c"}
    assert type(data["a"][0]) is int
