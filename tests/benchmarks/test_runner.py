"""The runner from end to end, with tiny flows and tables; nothing here depends on how fast the machine is."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import __main__ as command
from benchmarks import growth
from benchmarks.cases import FAMILIES, OPERATIONS, Case, Size
from benchmarks.ceilings import worked
from benchmarks.engine import run_engine
from benchmarks.libraries import CONTESTANTS, OURS
from benchmarks.machine import describe_machine
from benchmarks.page import make_page, write_page
from benchmarks.race import Field, race
from benchmarks.results_folder import latest, write_result
from benchmarks.tables import TableSettings, run_tables
from benchmarks.timing import Plan

QUICK = Plan(seconds=0.0, rounds=3)
MACHINE = describe_machine(threads=1)


@pytest.fixture(scope="module")
def engine():
    contestants = (OURS[0], "zuko")
    return run_engine(sizes={"tiny": Size(4, 8, 1, 16)}, contestants=contestants, plan=QUICK, tell=lambda _: None)


@pytest.fixture(scope="module")
def grown():
    sweep = growth.Sweep(
        "layers", "layers", (1, 2, 3), Size(4, 8, 0, 16), ("RealNVP",), ("train step",), (OURS[0],), limit=1e9
    )
    return growth.run_sweeps([sweep], plan=QUICK, tell=lambda _: None)


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
        assert list(row["times"]) == [OURS[0], "zuko"]
        assert row["missing"] == {}
        assert len(set(row["parameters"].values())) == 1
        for figures in row["times"].values():
            assert len(figures["rounds_ms"]) == 3
            assert figures["median_ms"] == sorted(figures["rounds_ms"])[1] > 0
            assert figures["first_s"] > 0
            assert figures["peak_mb"] >= figures["rest_mb"] > 0


def test_contestants_tell_their_versions(engine):
    assert set(engine["contestants"]) == {OURS[0], "zuko"}
    assert all(about["version"] for about in engine["contestants"].values())
    assert engine["contestants"][OURS[0]]["ours"]
    assert engine["absent"] == {}


def test_growth_is_measured_from_small_to_large(grown):
    rows = grown["sweeps"]["layers"]["rows"]
    assert [row["size"] for row in rows] == ["1", "2", "3"]
    assert [row["parameters"][OURS[0]] / rows[0]["parameters"][OURS[0]] for row in rows] == [1, 2, 3]


def test_what_is_compiled_is_prepared_side_by_side_and_called_first_once(monkeypatch):
    monkeypatch.setitem(CONTESTANTS, OURS[0], replace(CONTESTANTS[OURS[0]], way="eager"))
    monkeypatch.setitem(CONTESTANTS, OURS[1], replace(CONTESTANTS[OURS[0]], name=OURS[1]))
    case = Case("MAF", "tiny", Size(4, 8, 1, 16))
    with Field(OURS[:2], threads=1, tell=lambda _: None) as field:
        monkeypatch.setitem(CONTESTANTS, OURS[1], replace(CONTESTANTS[OURS[1]], way="compiled"))
        field.prepare([case], ("log_prob",), plan=QUICK, at_once=2)
        prepared = field.entrant(OURS[1], case, QUICK)
        first = prepared._first["log_prob"]
        rows = race(field, case, ("log_prob",), plan=QUICK, tell=lambda _: None)
        assert field.entrant(OURS[1], case, QUICK) is prepared  # it lasts
        assert field.entrant(OURS[0], case, QUICK) is not field.entrant(OURS[0], case, QUICK)
    assert rows[0]["times"][OURS[1]]["first_s"] == round(first[0], 4)
    assert prepared._first == {}


def test_without_a_gpu_nothing_is_measured_on_one(monkeypatch, capsys):
    monkeypatch.setattr(command.torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(command.torch, "set_num_threads", lambda count: None)
    command.main(["gpu", "--threads", "1"])
    assert "needs an NVIDIA GPU" in capsys.readouterr().out


def test_products_of_matrices_are_counted():
    work = worked(Case("RealNVP", "small", Size(4, 64, 1, 256)))
    products = 2 * 256 * (2 * 64 + 64 * 64 + 64 * 4)  # a net of two hidden layers from 2 to 4 numbers, for 256 rows
    assert work["log_prob"] == work["sample"] == round(products / 1e9, 4)
    assert work["train step"] > 2 * work["log_prob"]


def test_who_was_slow_at_a_small_size_is_left_out_of_larger_ones():
    row = {"family": "MAF", "operation": "sample", "size": "8", "times": {"a": {"median_ms": 3000.0}}}
    too_slow = growth._too_slow
    assert too_slow([row], "a", "MAF", "sample", limit=2.0) == "left out: 3.0 s a call at 8 already"
    assert too_slow([row], "a", "MAF", "sample", limit=4.0) is None
    assert too_slow([row], "a", "MAF", "log_prob", limit=2.0) is None
    assert too_slow([row], "b", "MAF", "sample", limit=2.0) == "left out: see 8"


def test_figures_are_written_read_and_shown(engine, grown, tables, tmp_path):
    for kind, figures in {"engine": engine, "growth": grown, "memory": grown, "tables": tables}.items():
        write_result(kind, figures, machine=MACHINE, folder=tmp_path)
    assert latest("engine", tmp_path)["rows"] == json.loads(json.dumps(engine["rows"]))
    page = write_page(tmp_path / "speed.md", tmp_path).read_text(encoding="utf-8")
    assert MACHINE["processor"] in page
    for row in engine["rows"]:
        assert f"| {row['family']} | tiny | {row['times'][OURS[0]]['median_ms']:.2f}† |" in page
    for row in grown["sweeps"]["layers"]["rows"]:
        assert f"{row['times'][OURS[0]]['first_s']:.3g}" in page
    assert f"{tables['explaining']['rows_per_second']:,.1f}" in page


def test_tables_count_what_was_explained(tables):
    explaining = tables["explaining"]
    assert (explaining["explained"], explaining["valid_share"], explaining["plausible_share"]) == (4, 1.0, 0.75)
    assert explaining["rows_per_second"] > 0
    assert all(rate["rows_per_second"] > 0 for rate in tables["rates"].values())


def test_the_page_says_when_there_is_nothing():
    assert "Nothing has been measured" in make_page({})


def test_the_command_writes_results_and_page(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(command, "SIZES", {"A": Size(2, 4, 1, 4)})
    monkeypatch.setattr(command.torch, "set_num_threads", lambda count: None)
    options = "--families RealNVP --operations log_prob --seconds 0 --rounds 2 --threads 1 --sizes A --contestants"
    command.main(["engine", *options.split(), OURS[0], "--results", str(tmp_path)])
    command.main(["table", "--results", str(tmp_path), "--page", str(tmp_path / "speed.md")])
    assert "no peer took part" in (tmp_path / "speed.md").read_text(encoding="utf-8")
    assert "RealNVP A" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "name"),
    [("--families", "GLOW"), ("--operations", "dance"), ("--sizes", "Z"), ("--contestants", "nobody")],
)
def test_an_unknown_name_is_refused(option, name):
    with pytest.raises(ValueError, match=name):
        command.main(["engine", "--threads", "1", option, name])
