"""Without matplotlib there is a sign at the door, and the library does without it."""

import pytest

MISSING = """
import sys
sys.modules["matplotlib"] = None
import counterflow
try:
    counterflow.plot
except counterflow.CounterflowError as error:
    print(type(error).__name__, error)
"""
UNTOUCHED = """
import sys
import counterflow
import counterflow.counterfactuals
print("matplotlib" in sys.modules)
"""
NO_PYPLOT = """
import sys
from counterflow.plotting import report
print("matplotlib.pyplot" in sys.modules)
"""


def test_a_missing_extra_says_what_to_install(run_unhooked):
    said = run_unhooked(MISSING, warnings="default")
    assert said == "MissingExtra plots needs the package 'matplotlib': pip install 'counterflow[plots]'."


@pytest.mark.parametrize("script", [UNTOUCHED, NO_PYPLOT])
def test_nothing_is_imported_before_it_is_needed(run_unhooked, script):
    assert run_unhooked(script, warnings="default") == "False"
