"""The line between the benchmarks and the process of a contestant: requests, answers, and what goes wrong."""

import json
import os
import signal
import time
from argparse import Namespace
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import worker as worker_module
from benchmarks.cases import Case, Size
from benchmarks.host import Worker
from benchmarks.libraries import CONTESTANTS, OURS
from benchmarks.race import Entrant
from benchmarks.resident import measure_memory, resident_mb
from benchmarks.timing import Failure, Plan

SMALL = Size(features=4, hidden=16, layers=2, batch=50)
BUILD = {"family": "RealNVP", "size": vars(SMALL)}


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    with Worker(CONTESTANTS[OURS[0]], threads=1, shared=tmp_path_factory.mktemp("shared")) as worker:
        yield worker


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    if not listed.exists():
        pytest.skip("this system does not list the children of a process")
    return [int(child) for child in listed.read_text().split()]


def end_process(pid: int) -> None:
    """Kill a process, and wait until it is gone: one that is dying may still read a few bytes of the next request."""
    os.kill(pid, signal.SIGKILL)
    until = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.01)


def test_a_worker_says_who_it_is(worker):
    assert (worker.about["library"], worker.about["way"]) == ("counterflow", "eager")


def test_bursts_are_timed_call_by_call(worker):
    assert worker.ask("build", **BUILD)["parameters"] > 0
    for operation in ("train step", "log_prob", "sample"):
        seconds = worker.ask("burst", operation=operation, calls=3)["seconds"]
        assert len(seconds) == 3
        assert min(seconds) > 0
    assert worker.ask("check") == {"id": worker._asked}
    worker.ask("close")


def test_each_flow_begins_in_a_process_of_its_own(worker):
    found = []
    for _ in range(2):
        worker.ask("build", **BUILD)
        found.append(children(worker._process.pid))
        worker.ask("close")
    assert len(found[0]) == len(found[1]) == 1
    assert found[0] != found[1]
    until = time.monotonic() + 60
    while children(worker._process.pid) and time.monotonic() < until:
        time.sleep(0.01)
    assert children(worker._process.pid) == []


def test_an_error_is_an_answer_and_the_flow_goes_on(worker):
    worker.ask("build", **BUILD)
    with pytest.raises(Failure, match="KeyError") as caught:
        worker.ask("burst", operation="dance", calls=1)
    assert not caught.value.gone
    assert worker.ask("draw", count=2)["samples"]
    worker.ask("close")


def test_a_flow_that_cannot_be_built_is_gone(worker):
    with pytest.raises(Failure, match="KeyError") as caught:
        worker.ask("build", family="GLOW", size=vars(SMALL))
    assert caught.value.gone
    with pytest.raises(Failure, match="build something before"):
        worker.ask("check")


def test_a_flow_whose_process_died_is_gone_and_the_next_is_built(worker):
    entrant = Entrant(worker, Case("RealNVP", "small", SMALL), Plan())
    entrant.ask("check")
    end_process(children(worker._process.pid)[0])
    with pytest.raises(Failure, match="ended with code -9") as caught:
        entrant.ask("check")
    assert caught.value.gone
    entrant.ask("check")
    entrant.close()


def test_who_takes_too_long_is_ended_and_started_again(worker):
    entrant = Entrant(worker, Case("RealNVP", "small", SMALL), Plan(patience=30.0))
    entrant.ask("check")
    with pytest.raises(Failure, match="not done after 0 s") as caught:
        worker.ask("burst", operation="train step", calls=10**6, patience=0.05)
    assert caught.value.gone
    entrant._built = False
    entrant.ask("check")
    entrant.close()


def test_an_interpreter_that_is_not_here_is_a_reason(tmp_path):
    nowhere = replace(CONTESTANTS[OURS[0]], python=tmp_path / "python")
    with pytest.raises(Failure, match="is not here: `make bench` makes it"):
        Worker(nowhere, threads=1, shared=tmp_path)


def test_an_interpreter_that_does_not_start_is_a_reason(tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho no such thing >&2\nexit 3\n")
    python.chmod(0o755)
    with pytest.raises(Failure, match="the process ended: no such thing"):
        Worker(replace(CONTESTANTS[OURS[0]], python=python), threads=1, shared=tmp_path)


class Paper:
    """Takes down what is announced."""

    def __init__(self):
        self.lines = []

    def announce(self, content):
        self.lines.append(json.dumps(content))


def test_a_library_that_is_not_installed_is_a_reason(monkeypatch):
    paper = Paper()
    monkeypatch.setattr(worker_module, "Wire", lambda: paper)
    monkeypatch.setattr(worker_module, "_keep_to", lambda threads: None)
    monkeypatch.setattr(worker_module, "load_library", lambda contestant: __import__("no_such_library"))
    monkeypatch.setattr("sys.argv", ["worker", "zuko", "--threads", "1"])
    worker_module.main()
    assert paper.lines == ['{"missing": "No module named \'no_such_library\'"}']


def test_memory_of_a_call_is_what_it_touches():
    megabytes = 40
    before = resident_mb()
    figures = measure_memory(lambda: bytearray(b"x" * (megabytes * 10**6)), before=before)
    assert figures["call_mb"] >= megabytes * 0.9
    assert figures["peak_mb"] == pytest.approx(figures["rest_mb"] + figures["call_mb"], abs=0.2)
    assert measure_memory(lambda: None, before=before)["call_mb"] < megabytes / 4


def test_threads_are_those_that_were_asked_for(worker, tmp_path):
    size = vars(SMALL)
    library = Namespace(build=lambda family, built, way: Namespace(take=len, parameters=built.layers))
    bench = worker_module.Bench(library, "eager", {"family": "MAF", "size": size}, before=0.0)
    assert bench.parameters == SMALL.layers
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(worker._process.pid)) == 1
