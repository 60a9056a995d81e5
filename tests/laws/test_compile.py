"""Every map and flow compiles as one graph; three families also through Inductor.

The jaxtyping hook breaks graphs, so these laws run in a process of their own (see ``compile_all.py``).
"""

import pytest

from tests.laws.registry import BIJECTIONS, FLOWS

TOGETHER = 12
"""So many entries are compiled in one process; more would keep one worker busy for minutes."""

SCRIPT = "import sys; from tests.laws.compile_all import main; main(*sys.argv[1:])"


def groups():
    """The names of all maps and flows that compile, some at a time."""
    for kind, cases in {"bijections": BIJECTIONS, "flows": FLOWS}.items():
        names = [name for name, case in cases.items() if "compile" not in case.exempt]
        for start in range(0, len(names), TOGETHER):
            yield pytest.param(names[start : start + TOGETHER], id=f"{kind} from {start}")


@pytest.mark.parametrize("names", list(groups()))
def test_every_map_compiles_as_one_graph(run_unhooked, names):
    # torch's tracer itself uses deprecated parts of torch, so its warnings are not ours to act on
    assert run_unhooked(SCRIPT, "aot_eager", *names, warnings="ignore", timeout=600.0).split() == names


def test_three_families_train_through_inductor(run_unhooked):
    families = ["realnvp", "maf", "spline_coupling_context"]
    assert run_unhooked(SCRIPT, "inductor", *families, warnings="ignore").split() == families
