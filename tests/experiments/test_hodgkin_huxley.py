"""The neuron of the experiment is that of the library."""

import torch

from counterflow.inference import tasks
from experiments import hodgkin_huxley


def test_shares_are_places_in_the_range_of_the_prior():
    prior, generator = tasks.hodgkin_huxley().prior, torch.Generator()
    shares = torch.tensor([[0.0] * 8, [0.3] * 8, [1.0] * 8])
    theta = torch.lerp(prior.low, prior.high, shares)
    expected = tasks.voltage_features(tasks.membrane_voltage(theta, generator=generator.manual_seed(3)))
    found = hodgkin_huxley.simulate_shares(shares, generator.manual_seed(3))
    torch.testing.assert_close(found, expected, rtol=0.02, atol=0.05)  # parameters differ by rounding, spikes follow


def test_the_recording_is_always_the_same_and_spikes():
    assert torch.equal(hodgkin_huxley.observe(), hodgkin_huxley.observe())
    assert tasks.voltage_features(hodgkin_huxley.observe()[None])[0, 0] == 5
