"""A million observations need memory for some numbers each, and no more."""

import json

MILLION = """
import json, resource
import torch
from counterflow import flows
from counterflow.hmm import FlowMarkovModel

torch.set_num_threads(1)
model = FlowMarkovModel([flows.spline_coupling(1, layers=1) for _ in range(2)]).double()
x = torch.randn(1_000_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
model.smooth(x[:70_000])
before = peak()
found = model.smooth(x)
print(json.dumps([peak() - before, float(found.log_predictive.mean()), float(found.transitions.sum())]))
"""


def test_a_million_observations_fit_into_half_a_gigabyte(run_unhooked):
    megabytes, score, transitions = json.loads(run_unhooked(MILLION))
    assert megabytes < 500
    assert abs(score + 1.4189) < 0.005  # what a standard normal law scores, for both states have it yet
    assert abs(transitions - 999_999) < 0.5
