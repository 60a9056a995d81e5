"""The known laws are what they say, and the measures measure."""

import numpy as np
import pytest

from experiments.hmm import agreement, total_variation
from experiments.hmm_data import KNOWN


class Truth:
    """One who knows the densities of a law, in another order of states."""

    def __init__(self, law, order):
        self.law, self.order = law, order

    def log_densities(self, x):
        return self.law.densities(x).numpy()[:, self.order]


@pytest.mark.parametrize("name", KNOWN)
def test_known_laws_are_densities_of_their_draws(name):
    law = KNOWN[name]()
    apart, order = total_variation(Truth(law, list(range(law.states))[::-1]), law)
    assert apart == pytest.approx([0.0] * law.states, abs=0.02)
    assert order.tolist() == list(range(law.states))[::-1]
    x, states = law.sample(4000, 0)
    density = law.densities(x).exp().numpy()
    for state in range(law.states):
        drawn = x[states == state]
        assert np.isfinite(np.log(density[states == state, state])).all()
        assert ((drawn >= law.corners[0].numpy() - 1) & (drawn <= law.corners[1].numpy() + 1)).all()
    score, path = law.oracle(x)
    assert agreement(path, states) > 0.85
    stay = np.log(np.array(law.transition)[states[:-1], states[1:]])
    assert score >= (np.log(density[np.arange(4000), states])[1:] + stay).mean() - 0.01


def test_total_variation_of_a_wrong_law():
    law = KNOWN["two normals and a uniform"]()

    class Shifted(Truth):
        def log_densities(self, x):
            return self.law.densities(x - 1.0).numpy()[:, self.order]

    apart, _ = total_variation(Shifted(law, [0, 1, 2]), law)
    assert apart[2] == pytest.approx(0.1, abs=0.01)
    assert apart[0] == pytest.approx(0.276, abs=0.01)  # 2 Phi(1 / (2 sqrt 2)) - 1


def test_agreement_is_that_of_the_best_matching():
    assert agreement(np.array([1, 1, 0, 0, 2]), np.array([0, 0, 1, 1, 1])) == pytest.approx(0.8)
