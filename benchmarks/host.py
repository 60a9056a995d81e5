"""The other end of a worker: it starts the process of a contestant, asks, and waits no longer than it must."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from benchmarks.libraries import ROOT, Contestant
from benchmarks.timing import Failure

__all__ = ["Worker"]

STARTING = 180.0
"""So many seconds an interpreter may take to import its library."""


class Worker:
    """The process of one contestant.

    Args:
        contestant: Who.
        threads: How many threads it may use.
        shared: A folder for what all workers of a run may share: a compiler's headers.
        device: Where its flows are: ``"cpu"`` or ``"cuda"``.

    Raises:
        Failure: Its interpreter or its library is not here, or does not start.
    """

    def __init__(self, contestant: Contestant, *, threads: int, shared: Path, device: str = "cpu") -> None:
        self.contestant, self._threads, self._shared, self._device = contestant, threads, shared, device
        self._asked = 0
        self._start()

    def ask(self, do: str, *, patience: float | None = None, **what: Any) -> dict[str, Any]:
        """Ask, and wait for the answer.

        Args:
            do: The name of the request.
            patience: The longest to wait, in seconds; then the process is ended, and a fresh one started.
            **what: The rest of the request.

        Returns:
            The answer.

        Raises:
            Failure: The answer is an error, or none came.
        """
        self._asked += 1
        self._write({"id": self._asked, "do": do, **what})
        answer = self._read(patience)
        while answer["id"] not in (None, self._asked):  # what came too late for an earlier request
            answer = self._read(patience)
        if "error" in answer:
            raise Failure(answer["error"], gone=answer.get("gone", False))
        return answer

    def close(self) -> None:
        """End the process, and remove what it wrote for itself."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def _start(self) -> None:
        python = self.contestant.python or Path(sys.executable)
        if not python.exists():
            raise Failure(f"{os.path.relpath(python, ROOT)} is not here: `make bench` makes it")
        self._scratch = tempfile.TemporaryDirectory(prefix="counterflow-bench-", ignore_cleanup_errors=True)
        self._left = b""
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [str(python), "-m", "benchmarks.worker", self.contestant.name, "--threads", str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                cwd=ROOT,
                env={**os.environ, **_environment(self._threads, self._device), **self._folders()},
                start_new_session=True,
            )
        self.about = self._read(STARTING, starting=True)
        if "missing" in self.about:
            self.close()
            raise Failure(f"is not installed ({self.about['missing']})")

    def _folders(self) -> dict[str, str]:
        return {"TMPDIR": self._scratch.name, "BENCH_COMPILER": str(self._shared / "compiler")}

    def _write(self, request: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):  # the process is dead, which reading will tell
            self._process.stdin.write(json.dumps(request).encode() + b"\n")

    def _read(self, patience: float | None, *, starting: bool = False) -> dict[str, Any]:
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while b"\n" not in self._left:
                ready = selector.select(patience)
                chunk = os.read(self._process.stdout.fileno(), 1 << 16) if ready else b""
                if not chunk:
                    why = f"the process ended: {self._last_words()}" if ready else f"not done after {patience:.0f} s"
                    self._give_up(why, starting=starting)
                self._left += chunk
        line, _, self._left = self._left.partition(b"\n")
        return json.loads(line)

    def _give_up(self, why: str, *, starting: bool) -> NoReturn:
        """Put a fresh process in the place of this one, unless it could not even start."""
        self.close()
        if not starting:
            self._start()
        raise Failure(why, gone=True)

    @property
    def _errors(self) -> Path:
        return Path(self._scratch.name) / "errors.txt"

    def _last_words(self) -> str:
        lines = self._errors.read_text(errors="replace").splitlines()
        return " | ".join(line for line in lines[-3:] if line)


def _environment(threads: int, device: str) -> dict[str, str]:
    """The same number of threads for OpenMP, MKL, OpenBLAS and XLA, and the one device."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC")
    eigen = "true" if threads > 1 else "false"
    return {
        **dict.fromkeys(names, str(threads)),
        "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_cpu_multi_thread_eigen={eigen}".strip(),
        **(_on_gpu() if device == "cuda" else _ON_CPU),
        "BENCH_DEVICE": device,
        "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
    }


_ON_CPU = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}


def _on_gpu() -> dict[str, str]:
    """The same precision of matrix products everywhere; memory is taken when it is needed, for many share the GPU."""
    precision = "tensorfloat32" if os.environ.get("BENCH_MATMUL") == "tf32" else "float32"
    return {
        "JAX_PLATFORMS": "cuda",
        "JAX_DEFAULT_MATMUL_PRECISION": precision,
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }
