"""Run a script in a fresh Python, where no import hook checks shapes.

The tests import counterflow through the jaxtyping hook, whose checks break full graphs: laws about ``torch.compile``,
``torch.export`` or import time therefore run in a process of their own::

    def test_compiles(run_unhooked):
        assert run_unhooked("import counterflow; print('fine')") == "fine"
"""

import os
import subprocess
import sys
import textwrap

__all__ = ["run_unhooked"]


def run_unhooked(script: str, *arguments: str, timeout: float = 300.0, warnings: str = "error") -> str:
    """Run ``script`` (dedented) with warnings as errors and give its standard output; fail with its standard error.

    Args:
        script: Python source; it can ``import tests...`` as the tests do.
        *arguments: What the script finds in ``sys.argv[1:]``.
        timeout: Seconds after which the script is stopped and the test fails.
        warnings: The action of Python's ``-W`` option.

    Returns:
        The standard output without surrounding white space.

    Raises:
        AssertionError: If the script ends with a code other than 0.
    """
    command = [sys.executable, "-W", warnings, "-c", textwrap.dedent(script), *arguments]
    repository = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=timeout, check=False)
    if done.returncode != 0:
        raise AssertionError(f"the script ended with code {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stdout.strip()
