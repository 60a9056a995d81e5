"""What every test shares: one thread, fixed examples and weights, no network, and the way to the real data.

The jaxtyping hook (see ``addopts`` in pyproject.toml) must be in place before counterflow is imported, so nothing here
imports counterflow or torch when the file is loaded.
"""

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.unhooked import run_unhooked as _run_unhooked

for _variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_variable] = "1"  # workers share the cores; one thread each is fastest and gives the same sums
os.environ["MPLBACKEND"] = "Agg"

settings.register_profile("counterflow", deadline=None, derandomize=True)
settings.load_profile("counterflow")

REPOSITORY = Path(__file__).resolve().parent.parent
LOOPBACK = {"localhost", "127.0.0.1", "::1", "0.0.0.0", "", None}


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Let weights that a test draws without a generator be the same whatever ran before it."""
    import torch

    torch.manual_seed(0)  # noqa: TID251  the library never does; a test may not hang on the order of tests


@pytest.fixture(scope="session", autouse=True)
def _no_network() -> Iterator[None]:
    """Refuse every connection that leaves this machine: no test needs the network."""
    connect, resolve = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self, address):
        if isinstance(address, tuple) and address[0] not in LOOPBACK:
            raise OSError(f"a test tried to reach {address}: tests must not need the network")
        return connect(self, address)

    def guarded_resolve(host, *args, **kwargs):
        if host not in LOOPBACK:
            raise OSError(f"a test tried to look up {host!r}: tests must not need the network")
        return resolve(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_resolve)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The real data sets: the folder named by COUNTERFLOW_DATA, else ``shared/data`` beside the repository."""
    named = os.environ.get("COUNTERFLOW_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not here ({folder}): set COUNTERFLOW_DATA to their folder")
    return folder


@pytest.fixture(scope="session")
def run_unhooked() -> Callable[..., str]:
    """:func:`tests.unhooked.run_unhooked`: run a script where no shape check stands in the way of torch.compile."""
    return _run_unhooked
