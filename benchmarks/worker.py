"""The process of one contestant: it reads a request a line, and answers each with a line of JSON.

python -m benchmarks.worker NAME --threads N

The first line it writes says who it is. Each ``build`` is done by a fork of its own, which answers until ``close``: so
every flow begins in a process that has imported its library and done nothing else, and what one leaves in memory is
no burden for the next. Between requests it waits, blocked, and takes no time from others.
"""

import argparse
import gc
import json
import os
import platform
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.cases import OPERATIONS, Size, make_rows
from benchmarks.libraries import CONTESTANTS, Contestant, Library, load_library
from benchmarks.libraries.library import DEVICE, Model, check_model, to_numpy
from benchmarks.resident import measure_memory, resident_mb

__all__ = ["main"]

Answer = dict[str, Any]


def main() -> None:
    """Answer until the input ends."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("name", choices=tuple(CONTESTANTS))
    parser.add_argument("--threads", type=int, required=True)
    options = parser.parse_args()
    wire = Wire()
    if DEVICE == "cpu":
        _keep_to(options.threads)
    contestant = CONTESTANTS[options.name]
    try:
        library = load_library(contestant)
    except ImportError as error:
        wire.announce({"missing": f"{error}"})
        return
    if contestant.way in ("compiled", "mixed") and DEVICE == "cpu":
        library.prepare()  # it may ask for a GPU, which no fork can use afterwards
    wire.announce(_hello(library, contestant))
    while (request := wire.request()) is not None:
        if request["do"] == "build":
            _in_a_fork(lambda request=request: _serve(wire, library, request, options), wire)
        else:
            wire.answer({"error": f"build something before {request['do']!r}"})


class Wire:
    """Requests from the standard input, answers to what was the standard output; what libraries print goes elsewhere.

    Lines are read byte by byte, so that nothing is taken from the input that a fork should read.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._output = os.dup(1)
        os.dup2(2, 1)

    def request(self) -> Answer | None:
        """The next request; ``None`` at the end of the input."""
        line = bytearray()
        while (byte := os.read(0, 1)) not in (b"\n", b""):
            line += byte
        if not line:
            return None
        request = json.loads(line)
        self._asked = request["id"]
        return request

    def answer(self, content: Answer) -> None:
        """Write one line, whole, with the number of the request."""
        self._write({"id": self._asked, **content})

    def announce(self, content: Answer) -> None:
        """Write what nobody asked for: it answers whatever is asked next."""
        self._write({"id": None, **content})

    def _write(self, content: Answer) -> None:
        left = memoryview(json.dumps(content).encode() + b"\n")
        while left:
            left = left[os.write(self._output, left) :]


def _keep_to(threads: int) -> None:
    """Use no more cores than threads, whatever pools a library keeps."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])


def _hello(library: Library, contestant: Contestant) -> Answer:
    return {
        "library": library.name,
        "version": library.version,
        "way": contestant.way,
        "note": library.notes[contestant.way],
        "python": platform.python_version(),
    }


def _in_a_fork(serve: Callable[[], None], wire: Wire) -> None:
    """Let a child answer, and wait for its end; for one that died the answer is given here."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            serve()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    if code:
        wire.announce({"error": f"the process ended with code {code}", "gone": True})


def _serve(wire: Wire, library: Library, request: Answer, options: argparse.Namespace) -> None:
    """Build a flow, then answer until ``close``; a flow that cannot be built ends it at once."""
    before = resident_mb()
    _set_threads(options.threads)
    gc.freeze()
    gc.disable()
    try:
        bench = Bench(library, CONTESTANTS[options.name].way, request, before=before)
    except Exception as error:  # whatever a library raises is the answer
        wire.answer({**_failure(error), "gone": True})
        return
    wire.answer({"parameters": bench.parameters})
    while (asked := wire.request()) is not None and asked["do"] != "close":
        try:
            wire.answer(bench.do(asked))
        except Exception as error:
            wire.answer(_failure(error))
    wire.answer({})


def _failure(error: Exception) -> Answer:
    traceback.print_exception(error)
    return {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}


def _set_threads(count: int) -> None:
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)


class Bench:
    """One flow and its rows, and what can be asked about them."""

    def __init__(self, library: Library, way: str, request: Answer, *, before: float) -> None:
        size = Size(**request["size"])
        self._library, self._before, self._count = library, before, size.batch
        self._model: Model = library.build(request["family"], size, way=way)
        self._x = self._model.take(make_rows(size))

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return self._model.parameters

    def do(self, request: Answer) -> Answer:
        """Answer one request."""
        answers: Mapping[str, Callable[[], Answer]] = {
            "burst": lambda: {"seconds": [_seconds(self._call(request)) for _ in range(request["calls"])]},
            "memory": lambda: self._memory(self._call(request)),
            "check": lambda: self._check(request.get("operations", OPERATIONS)),
            "density": lambda: {"log_prob": to_numpy(self._model.log_prob(self._taken(request))).tolist()},
            "draw": lambda: {"samples": to_numpy(self._model.sample(request["count"])).tolist()},
        }
        return answers[request["do"]]()

    def _call(self, request: Answer) -> Callable[[], object]:
        calls: Mapping[str, Callable[[], object]] = {
            "train step": lambda: self._model.train_step(self._x),
            "log_prob": lambda: self._model.log_prob(self._x),
            "sample": lambda: self._model.sample(self._count),
        }
        return calls[request["operation"]]

    def _memory(self, call: Callable[[], object]) -> Answer:
        return measure_memory(call, before=self._before) if DEVICE == "cpu" else self._library.memory(call)

    def _check(self, operations: Sequence[str]) -> Answer:
        check_model(self._model, self._x, operations=operations)
        return {}

    def _taken(self, request: Answer) -> Any:
        return self._model.take(np.asarray(request["rows"], np.float32))


def _seconds(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
