"""Hidden Markov models the slow way: sums over all paths, and one step after the other."""

import itertools

import torch

__all__ = ["chance", "enumerate_paths", "law", "step_by_step"]


def law(states, *, zeros=False, seed=0):
    """A random law of starts and transitions, as logarithms; with ``zeros`` some transitions are impossible."""
    generator = torch.Generator().manual_seed(seed)
    start = torch.rand(states, generator=generator, dtype=torch.float64) + 0.1
    transition = torch.rand(states, states, generator=generator, dtype=torch.float64) + 0.1
    if zeros:
        transition[torch.arange(states), torch.arange(states)] = 0.0
        start[0] = 0.0
    return {"log_start": (start / start.sum()).log(), "log_transition": (transition / transition.sum(1, True)).log()}


def chance(path, log_density, *, log_start, log_transition):
    """The logarithm of the chance of a path and of what was observed along it."""
    total = log_start[path[0]] + log_density[0, path[0]]
    for t in range(1, len(path)):
        total = total + log_transition[path[t - 1], path[t]] + log_density[t, path[t]]
    return total


def enumerate_paths(log_density, **laws):
    """Every path through one sequence, and the logarithm of its chance together with what was observed."""
    rows, states = log_density.shape
    paths = list(itertools.product(range(states), repeat=rows))
    return torch.tensor(paths), torch.stack([chance(path, log_density, **laws) for path in paths])


def step_by_step(log_density, lengths, *, log_start, log_transition):
    """The forward algorithm as a loop: log-posteriors and predictive log-densities, with gradients."""
    posteriors, predictive = [], []
    for part in log_density.split(lengths):
        known = log_start
        for row in part:
            joint = known + row
            total = joint.logsumexp(0)
            posteriors.append(joint - total)
            predictive.append(total)
            known = (posteriors[-1].unsqueeze(1) + log_transition).logsumexp(0)
    return torch.stack(posteriors), torch.stack(predictive)
