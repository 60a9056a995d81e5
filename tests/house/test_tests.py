"""The tests stand on what they claim: shapes are checked here and not in the library; nothing leaves the machine."""

import importlib
import socket

import pytest
from jaxtyping import TypeCheckError


def test_shapes_are_checked_in_the_tests():
    base = importlib.import_module("counterflow.bijections.base")
    assert "jaxtyping" in type(base.__loader__).__module__


def test_shapes_are_not_checked_in_the_library(run_unhooked):
    script = "import counterflow.bijections.base as base; print(type(base.__loader__).__module__)"
    assert "jaxtyping" not in run_unhooked(script, warnings="default")


def test_a_wrong_type_is_found_in_the_tests():
    checks = importlib.import_module("counterflow.core.random")
    with pytest.raises(TypeCheckError):
        checks.derive_seed("seven")


def test_the_unhooked_script_can_fail(run_unhooked):
    with pytest.raises(AssertionError, match="ended with code 3"):
        run_unhooked("import sys; sys.exit(3)")


def test_the_unhooked_script_takes_warnings_for_errors(run_unhooked):
    with pytest.raises(AssertionError, match="UserWarning: mind"):
        run_unhooked("import warnings; warnings.warn('mind')")


@pytest.mark.parametrize(
    "reach", [lambda: socket.create_connection(("192.0.2.1", 80)), lambda: socket.getaddrinfo("x.example", 80)]
)
def test_no_test_reaches_the_network(reach):
    with pytest.raises(OSError, match="tests must not need the network"):
        reach()


def test_warnings_are_errors():
    import warnings

    with pytest.raises(UserWarning, match="mind"):
        warnings.warn("mind", UserWarning, stacklevel=1)


def test_examples_are_the_same_on_every_run():
    from hypothesis import settings

    assert settings.default.derandomize
    assert settings.default.deadline is None


def test_one_thread_a_worker():
    import torch

    assert torch.get_num_threads() == 1
