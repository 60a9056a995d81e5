import errno
import os
import stat
from pathlib import Path

import pytest

from counterflow.core.errors import PersistenceError
from counterflow.persistence import atomic_path, atomic_write


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_text_is_written_as_utf8_and_bytes_as_they_are(tmp_path):
    assert atomic_write(tmp_path / "text", "größer").read_bytes() == "größer".encode()
    assert atomic_write(tmp_path / "bytes", b"\x00\xff").read_bytes() == b"\x00\xff"


def test_a_second_write_replaces_the_first(tmp_path):
    atomic_write(tmp_path / "file", "old")
    atomic_write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch, call):
    atomic_write(tmp_path / "file", "old")

    def refuse(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(PersistenceError, match=r"Could not write '.*file': No space left on device\. What was there"):
        atomic_write(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


def test_an_interrupted_writer_leaves_the_old_content_and_nothing_else(tmp_path):
    atomic_write(tmp_path / "table.csv", "old")

    def write_until_interrupted():
        with atomic_path(tmp_path / "table.csv") as aside:
            aside.write_text("half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_until_interrupted()
    assert (tmp_path / "table.csv").read_text() == "old"
    assert names(tmp_path) == ["table.csv"]


def test_the_lent_path_lies_beside_the_target_and_has_its_suffix(tmp_path):
    with atomic_path(tmp_path / "table.csv.gz") as aside:
        assert aside.parent == tmp_path
        assert aside.suffix == ".gz"
        aside.write_text("rows")
    assert (tmp_path / "table.csv.gz").read_text() == "rows"


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(PersistenceError, match=r"nowhere/file': No such file or directory"):
        atomic_write(tmp_path / "nowhere" / "file", "text")


def test_the_file_gets_the_rights_that_any_new_file_gets(tmp_path):
    plain = Path(tmp_path / "plain")
    plain.write_text("text")
    written = atomic_write(tmp_path / "written", "text")
    assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
