"""The style of the whole repository. (`make lint` checks the types: pyright fetches itself, and tests stay at home.)"""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "command",
    [["check", "--quiet", "--output-format=concise", "."], ["format", "--check", "--quiet", "."]],
    ids=lambda c: c[0],
)
def test_ruff_has_nothing_to_say(repository, command):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command],
        cwd=repository,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"run `make lint` or `.venv/bin/ruff format .`:\n{(done.stdout + done.stderr)[:2000]}"


def test_ruff_can_object(tmp_path, repository):
    (tmp_path / "bad.py").write_text("import os\n", encoding="utf-8")
    command = [sys.executable, "-m", "ruff", "check", "--config", str(repository / "pyproject.toml"), str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 1
