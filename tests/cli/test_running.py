"""Exit codes, sentences, and how quickly help comes."""

import subprocess
import sys

import pytest

from counterflow import __version__
from counterflow.cli import running


def test_version(run):
    assert run("--version") == (0, f"counterflow {__version__}\n", "")


def test_help_names_every_command(run):
    ended = run("--help")
    assert ended.code == 0
    assert [name for name in ("demo", "fit", "explain", "evaluate", "density", "replay") if name not in ended.out] == []


@pytest.mark.parametrize("command", [["fit"], ["explain"], ["evaluate"], ["replay"], ["demo"], ["density", "fit"],
                                     ["density", "score"], ["density", "sample"]])  # fmt: skip
def test_every_command_explains_itself(run, command):
    ended = run(*command, "--help")
    assert ended.code == 0
    assert ended.out.count("\n") > 5


def test_help_needs_none_of_the_heavy_libraries():
    script = (
        "import sys\nfrom counterflow.cli import main\nmain(['--help'])\n"
        "print([name for name in ('torch', 'numpy.random', 'sklearn', 'pandas', 'matplotlib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    heavy = done.stdout.splitlines()[-1]
    assert [name for name in ("torch", "sklearn", "pandas", "matplotlib") if name in heavy] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fot"], "No such command 'fot'"),
        (["fit"], "Missing argument 'TABLE'"),
        (["fit", "x.csv", "--out", "f"], "Missing option '--target'"),
        (["demo", "--outt", "x"], "No such option: --outt"),
    ],
)
def test_a_wrong_command_is_one_sentence(run, arguments, words):
    ended = run(*arguments)
    assert ended.code == 2
    assert words.lower() in ended.err.lower()
    assert ended.err.count("\n") == 1


def test_debug_shows_the_traceback_and_nothing_else_does(run):
    ended = run("fit", "gone.csv", "--target", "loan", "--out", "f")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    debugged = run("--debug", "fit", "gone.csv", "--target", "loan", "--out", "f")
    assert debugged.code == 2
    assert "Traceback" in debugged.err
    assert ended.err in debugged.err


def test_a_fault_of_our_own_is_called_one(run, monkeypatch):
    monkeypatch.setattr(running, "_run", lambda arguments: {}["gone"])
    ended = run("demo")
    assert ended.code == 3
    assert ended.err == (
        "counterflow: this is a fault of counterflow, not of your input: KeyError: 'gone' "
        "(add --debug for the traceback)\n"
    )


def test_ctrl_c_is_one_line(run, monkeypatch, folder, rows):
    from counterflow.estimators import CounterfactualExplainer

    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(CounterfactualExplainer, "explain", interrupted)
    ended = run("explain", folder, rows, "--desired", "yes", "--out", "a.csv")
    assert ended.code == 130
    assert ended.err.splitlines()[-1] == "counterflow: interrupted."


def test_the_installed_script_ends_with_the_same_code(tmp_path):
    command = [sys.executable, "-c", "import sys; from counterflow.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "fit", "gone.csv", "--target", "x", "--out", "f"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("counterflow: there is no file 'gone.csv'")
    assert list(tmp_path.iterdir()) == []
