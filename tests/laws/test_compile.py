"""Every map and flow compiles as one graph; three families also through Inductor.

The jaxtyping hook breaks graphs, so these laws run in a process of their own (see ``compile_all.py``).
"""

import pytest

from tests.laws.registry import BIJECTIONS, FLOWS

SCRIPT = "import sys; from tests.laws.compile_all import main; main(*sys.argv[1:])"


@pytest.mark.parametrize("cases", [BIJECTIONS, FLOWS], ids=["bijections", "flows"])
def test_every_map_compiles_as_one_graph(run_unhooked, cases):
    names = [name for name, case in cases.items() if "compile" not in case.exempt]
    # torch's tracer itself uses deprecated parts of torch, so its warnings are not ours to act on
    assert run_unhooked(SCRIPT, "aot_eager", *names, warnings="ignore").split() == names


def test_three_families_train_through_inductor(run_unhooked):
    families = ["realnvp", "maf", "spline_coupling_context"]
    assert run_unhooked(SCRIPT, "inductor", *families, warnings="ignore").split() == families
