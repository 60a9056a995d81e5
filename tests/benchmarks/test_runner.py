"""The runner from end to end, with tiny flows and tables; nothing here depends on how fast the machine is."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks.cases import FAMILIES, OPERATIONS, Size
from benchmarks.engine import record, run_engine
from benchmarks.libraries import OURS, find_libraries
from benchmarks.machine import describe_machine
from benchmarks.page import best_peer, make_page, verdict, write_page
from benchmarks.results_folder import latest, write_result
from benchmarks.tables import TableSettings, run_tables
from benchmarks.timing import Plan, Times, Turns, quartiles, take_turns

QUICK = Plan(seconds=0.0, least=3)

pytestmark = pytest.mark.filterwarnings("ignore:Inputs to the softmax are not scaled down")


@pytest.fixture(scope="module")
def engine():
    libraries = find_libraries((OURS, "zuko"))
    return run_engine(sizes={"tiny": Size(4, 8, 1, 16)}, libraries=libraries, plan=QUICK, tell=lambda _: None)


class Explainer:
    """Stands for an explainer, whose learning takes too long for a test of the runner."""

    def __init__(self, model, *, schema, random_state):
        self.classes, self.schema = model.classes, schema

    def fit(self, features, labels):
        assert len(features) == len(labels)
        return self

    def explain(self, rows, desired):
        assert desired in self.classes
        asked = np.arange(len(rows)) > 0  # as if the first row were approved as it is
        return SimpleNamespace(answered=asked, valid=asked, plausible=asked & (np.arange(len(rows)) > 1))


@pytest.fixture(scope="module")
def tables():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("benchmarks.tables.CounterfactualExplainer", Explainer)
        settings = TableSettings(encoded=50, fitted=200, explained=5, repeats=2)
        return run_tables(settings=settings, plan=QUICK, tell=lambda _: None)


def test_every_operation_of_every_family_is_measured(engine):
    measured = {(row["family"], row["operation"]) for row in engine["rows"]}
    assert measured == {(family, operation) for family in FAMILIES for operation in OPERATIONS}
    for row in engine["rows"]:
        assert row["rounds"] == 3
        assert all(times["median_ms"] > 0 and times["first_ms"] > 0 for times in row["times"].values())


def test_ratios_are_those_of_the_medians(engine):
    for row in engine["rows"]:
        for peer, ratio in row["ratios"].items():
            medians = row["times"][peer]["median_ms"] / row["times"][OURS]["median_ms"]
            assert ratio["of_medians"] == pytest.approx(medians, abs=0.01 * medians + 0.001)


def test_figures_are_written_read_and_shown(engine, tables, tmp_path):
    machine = describe_machine()
    write_result("engine", engine, machine=machine, folder=tmp_path)
    write_result("tables", tables, machine=machine, folder=tmp_path)
    assert latest("engine", tmp_path)["rows"] == json.loads(json.dumps(engine["rows"]))
    page = write_page(tmp_path / "speed.md", tmp_path).read_text(encoding="utf-8")
    assert machine["processor"] in page
    for row in engine["rows"]:
        assert f"| {row['family']} | tiny† | {row['times'][OURS]['median_ms']:.2f} |" in page
    assert f"{tables['explaining']['rows_per_second']:,.1f}" in page


def test_tables_count_what_was_explained(tables):
    explaining = tables["explaining"]
    assert (explaining["explained"], explaining["valid_share"], explaining["plausible_share"]) == (4, 1.0, 0.75)
    assert explaining["rows_per_second"] > 0
    assert all(rate["rows_per_second"] > 0 for rate in tables["rates"].values())


def test_the_page_says_when_there_is_nothing():
    assert "Nothing has been measured" in make_page(None, None)


def made_row(ours: float, peers: dict[str, float]) -> dict:
    turns = Turns({name: Times(1.0, (seconds,) * 3) for name, seconds in {OURS: ours, **peers}.items()})
    return {"family": "MAF", "size": "A", "operation": "sample", **record(turns)}


def test_a_loss_is_called_a_loss():
    lost, won, even = (
        made_row(2.0, {"a": 3.0, "b": 1.0}),
        made_row(1.0, {"a": 3.0, "b": 2.0}),
        made_row(1.0, {"a": 1.1, "b": 1.01}),
    )
    assert [verdict(row) for row in (lost, won, even)] == ["slower", "faster", "even"]
    assert best_peer(lost) == "b"
    settings = {"bins": 8, "bound": 5.0, "dtype": "float32"}
    result = {
        "date": "2000-01-01", "machine": describe_machine(), "settings": settings, "sizes": {}, "libraries": {},
        "parameters": [{"family": "MAF", "size": "A", "counts": {OURS: 1, "a": 1, "b": 1}}], "rows": [lost, won, even],
    }  # fmt: skip
    page = make_page(result, None)
    assert "faster in 1, even in 1 and slower in 1 of 3. Slower: MAF A sample (0.50)." in page


def test_all_take_their_turns_and_each_goes_first():
    calls = []
    turns = take_turns({name: lambda name=name: calls.append(name) for name in "abc"}, Plan(seconds=1.0, most=3))
    assert "".join(calls) == "abc" + "abc" + "abc" + "bca" + "cab"  # first calls, warm-up, three rounds
    assert turns.rounds == 3


@pytest.mark.parametrize(("pace", "rounds"), [(1e-6, 200), (0.1, 40), (2.0, 5), (14.0, 5), (60.0, 2)])
def test_slow_comparisons_have_few_rounds(pace, rounds):
    assert Plan(seconds=4.0, least=5, most=200, endless=15.0).rounds(pace) == rounds


def test_a_slow_call_is_timed_as_slow():
    turns = take_turns({OURS: lambda: time.sleep(0.002), "slow": lambda: time.sleep(0.02)}, Plan(seconds=0.0, least=3))
    assert turns.times["slow"].median >= 0.02
    assert turns.ratio("slow", OURS) > 1
    assert len(turns.round_ratios("slow", OURS)) == 3
    assert quartiles([1.0, 2.0, 3.0]) == (1.5, 2.5)


def test_the_command_writes_results_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "SIZES", {"A": Size(2, 4, 1, 4)})
    options = [
        "--families",
        "RealNVP",
        "--operations",
        "log_prob",
        "--libraries",
        OURS,
        "--seconds",
        "0",
        "--sizes",
        "A",
    ]
    command.main(["engine", *options, "--results", str(tmp_path)])
    command.main(["table", "--results", str(tmp_path), "--page", str(tmp_path / "speed.md")])
    assert "No peer is installed here" in (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "RealNVP A" in capsys.readouterr().out


@pytest.mark.parametrize(("option", "name"), [("--families", "GLOW"), ("--operations", "dance"), ("--sizes", "Z")])
def test_an_unknown_name_is_refused(option, name):
    with pytest.raises(ValueError, match=name):
        command.main(["engine", option, name])
