"""The page says who is faster, and by how much, from the figures alone; a loss is called a loss."""

import pytest

from benchmarks.engine import settings
from benchmarks.machine import describe_machine
from benchmarks.page import make_page
from benchmarks.page_engine import compare
from benchmarks.timing import Plan

ABOUT = {"library": "x", "version": "1", "python": "3", "note": "as it comes"}
CONTESTANTS = {
    "ours": {**ABOUT, "way": "eager", "ours": True},
    "ours (compiled)": {**ABOUT, "way": "compiled", "ours": True},
    "a": {**ABOUT, "way": "eager", "ours": False},
    "b (compiled)": {**ABOUT, "way": "compiled", "ours": False},
}
MACHINE = {**describe_machine(threads=2), "processor": "an abacus"}


def figures(ms: float, rounds: tuple[float, ...] = (0.9, 1.0, 1.1)) -> dict:
    return {
        "first_s": 1.25, "median_ms": ms, "rounds_ms": [ms * factor for factor in rounds], "rest_mb": 1.0,
        "peak_mb": 77.0, "call_mb": 33.0,
    }  # fmt: skip


def made_row(**medians: float) -> dict:
    names = dict(zip(("ours", "fast", "a", "b"), ("ours", "ours (compiled)", "a", "b (compiled)"), strict=True))
    times = {names[key]: figures(ms) for key, ms in medians.items()}
    counts = dict.fromkeys(times, 1234)
    return {
        "family": "MAF", "size": "A", "operation": "sample", "times": times, "missing": {}, "parameters": counts,
    }  # fmt: skip


def made_engine(*rows: dict) -> dict:
    return {
        "date": "2000-01-01", "machine": MACHINE, "settings": settings(Plan(), 2), "rows": list(rows),
        "sizes": {"A": {"features": 8, "hidden": 128, "layers": 5, "batch": 256}},
        "contestants": CONTESTANTS, "absent": {"c": "is not installed"},
    }  # fmt: skip


def test_the_best_is_compared_with_the_best_and_eager_with_eager():
    row = made_row(ours=4.0, fast=2.0, a=3.0, b=1.0)
    overall, eager = compare(row, CONTESTANTS), compare(row, CONTESTANTS, eager=True)
    assert (overall.ours, overall.peer, overall.ratio, overall.verdict) == (
        "ours (compiled)",
        "b (compiled)",
        0.5,
        "slower",
    )
    assert (eager.ours, eager.peer, eager.ratio, eager.verdict) == ("ours", "a", 0.75, "slower")


@pytest.mark.parametrize(("peer", "said"), [(3.0, "faster"), (1.02, "even"), (0.98, "even"), (0.9, "slower")])
def test_ratios_close_to_one_are_even(peer, said):
    assert compare(made_row(ours=1.0, a=peer), CONTESTANTS).verdict == said


def test_there_is_nothing_to_compare_without_a_peer():
    assert compare(made_row(ours=1.0, fast=2.0), CONTESTANTS) is None
    assert compare(made_row(fast=2.0, b=1.0), CONTESTANTS, eager=True) is None


def test_the_spread_is_that_of_the_turns():
    row = made_row(ours=1.0)
    row["times"]["a"] = figures(2.0, rounds=(1.8, 1.0, 1.1))
    assert compare(row, CONTESTANTS).spread == pytest.approx((2.0, 3.0))  # of 4.0, 2.0 and 2.0


def test_losses_are_listed():
    page = make_page({"engine": made_engine(made_row(ours=2.0, a=1.0), made_row(ours=1.0, a=3.0))})
    assert "Eager against eager on PyTorch: counterflow is faster in 1, even in 0 and slower in 1 of 2." in page
    assert page.count("Slower: MAF A sample (0.50, a).") == 2
    assert "an abacus" in page
    assert "c did not take part: is not installed" in page
    assert "- a: x 1 on Python 3; as it comes.\n" in page
    assert "- b (compiled): x 1 on Python 3; as it comes; raced at no size only.\n" in page


def test_every_figure_is_on_the_page():
    row = made_row(ours=2.25, fast=1.5, a=3.75, b=4.5)
    row["missing"] = {"d": "not done after 9 s", "e": "has no MAF"}
    page = make_page({"engine": made_engine(row)})
    assert (
        "| MAF | A | 2.25† | 1.50† | 3.75† | 4.50† | 2.50 (2.50 to 2.50) | faster | 1.67 (1.67 to 1.67) | faster |"
        in page
    )
    assert "| MAF | A | 1,234 | 1,234 | 1,234 | 1,234 |" in page
    assert "| MAF | A | sample | 1.25 | 1.25 | 1.25 | 1.25 |" in page
    assert "| MAF | A | sample | 77 | 77 | 77 | 77 |" in page
    assert "d not done after 9 s: MAF A sample." in page
    assert "has no MAF" not in page


def made_growth(**medians: float) -> dict:
    rows = [{**made_row(ours=ms), "size": size, "operation": "train step"} for size, ms in medians.items()]
    sweep = {
        "grows": "layers", "size": {"features": 8, "hidden": 128, "layers": 0, "batch": 256}, "rows": rows,
        "contestants": {"ours": CONTESTANTS["ours"], "a": CONTESTANTS["a"]},
    }  # fmt: skip
    return {"date": "2000-01-01", "machine": MACHINE, "sweeps": {"layers": sweep}}


def test_growth_sets_20_layers_in_proportion_to_5():
    page = make_page({"growth": made_growth(**{"1": 1.0, "5": 4.0, "20": 12.0})})
    assert "| family | operation | contestant | 1 layers | 5 layers | 20 layers | 20 over 5 |" in page
    assert "| MAF | train step | ours | 1 | 4 | 12 | 3.0 |" in page
    assert "| MAF | train step | a | – | – | – | – |" in page
    assert "features 8, hidden width 128, rows 256" in page


def test_memory_sets_50_layers_in_proportion_to_5():
    page = make_page({"memory": made_growth(**{"5": 4.0, "50": 12.0})})
    assert "| MAF | train step | ours | 33 | 33 | 1.0 |" in page


def test_a_gpu_s_figures_stand_beside_what_it_can_do():
    row = made_row(ours=4.0, fast=2.0, a=9.0, b=3.0)
    result = made_engine(row) | {
        "gpu": "a large abacus",
        "ceilings": {"tf32": 5.0, "copy": 7.0},
        "work": {"MAF A": {"sample": 1.0}},
        "settings": {**settings(Plan(), 2), "matmul": "tf32"},
        "note": "It was warm.",
    }
    page = make_page({"gpu": result})
    assert "a large abacus" in page
    assert "It was warm." in page
    assert "| sample | MAF | A | 4.00 | 2.00 | 9.00 | 3.00 | 10.00% | 1.50 | 4.5 |" in page  # 0.5 of 5 TFLOP/s


def test_flows_in_continuous_time_are_compared():
    row = {"size": "D=2", "divergence": "exact", "operation": "log_prob", "missing": {}}
    row["times"] = {"counterflow": figures(2.0), "zuko": figures(3.0), "torchdiffeq": figures(8.0)}
    result = {"date": "2000-01-01", "machine": MACHINE, "rows": [row], "settings": {"tolerance": 1e-5, "dtype": "f"}}
    page = make_page({"continuous": result})
    assert "| D=2 | exact | log_prob | 2.0 | 3.0 | 8.0 | 1.50 | faster |" in page


def test_hidden_markov_models_are_set_beside_each_peer():
    times = {
        "filter": 2.0,
        "hmmlearn filter": 1.0,
        "hmmlearn filter, scaled": 0.5,
        "Viterbi": 2.0,
        "hmmlearn Viterbi": 4.0,
    }
    million = {"score": {"seconds": 1.25, "more_memory_mb": 1234}}
    scans = [{"states": 3, "rows": 10_000, "milliseconds": times}]
    page = make_page({"hmm": {"date": "2000-01-01", "machine": MACHINE, "scans": scans, "million": million}})
    assert "| 3 | 10,000 | filter | 2 | hmmlearn filter, scaled | 0.5 | 0.25 |" in page
    assert "| 3 | 10,000 | Viterbi | 2 | hmmlearn Viterbi | 4 | 2.00 |" in page
    assert "| score | 1.2 | 1,234 |" in page
