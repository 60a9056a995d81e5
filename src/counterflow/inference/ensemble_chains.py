"""Chains of an affine-invariant ensemble of walkers, by the package emcee, judged by their autocorrelation."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import MissingExtra, UnreliableError

__all__ = ["run_ensemble_chains"]

_LENGTHS = 20
"""So many autocorrelation times the chains must be long."""


def run_ensemble_chains(
    log_density: Callable[[Tensor], Tensor],
    start: Float[Tensor, "points features"],
    *,
    count: int,
    steps: int,
    generator: torch.Generator,
    progress: bool,
) -> Float[Tensor, "count features"]:
    """Walk through a target by differential evolution, whose steps join pairs of walkers and so bridge modes.

    Args:
        log_density: The target, over coordinates without bounds.
        start: Points near the target; the walkers start at some of them.
        count: How many draws are wanted.
        steps: Steps that are kept; half as many go before and are thrown away.
        generator: One number is drawn from it and seeds the run.
        progress: Show a progress bar on an interactive terminal.

    Returns:
        Draws, evenly thinned.

    Raises:
        UnreliableError: If the chains are shorter than 20 autocorrelation times.
        MissingExtra: If emcee is not installed.

    Reference:
        ter Braak, Vrugt, "Differential Evolution Markov Chain with snooker updater and fewer chains", 2008.

    Example:
        >>> bell = lambda u: -u.square().sum(1) / 2
        >>> start = torch.randn(100, 1, generator=torch.Generator().manual_seed(0))
        >>> settings = {"steps": 500, "generator": torch.Generator().manual_seed(0), "progress": False}
        >>> u = run_ensemble_chains(bell, start, count=1000, **settings)
        >>> abs(u.mean().item()) < 0.2, abs(u.std().item() - 1) < 0.2
        (True, True)
    """
    try:
        import emcee
    except ImportError as error:
        raise MissingExtra("method='mcmc'", "emcee", "mcmc") from error
    import numpy as np

    features, kind = start.shape[1], start.dtype
    walkers = max(64, 2 * (2 * features + 2))

    @torch.no_grad()
    def ask(points: np.ndarray) -> np.ndarray:
        return log_density(torch.from_numpy(points).to(kind)).double().numpy()

    seed = int(torch.randint(2**31, (), generator=generator))
    moves = [(emcee.moves.DEMove(), 0.8), (emcee.moves.DESnookerMove(), 0.1), (emcee.moves.StretchMove(), 0.1)]
    sampler = emcee.EnsembleSampler(walkers, features, ask, moves=moves, vectorize=True)
    state = np.random.RandomState(seed)
    first = start[:walkers].double().numpy()
    first = first + 1e-4 * start.std(0).double().numpy() * state.standard_normal(first.shape)  # no two alike
    sampler.random_state = state.get_state()
    sampler.run_mcmc(first, steps + steps // 2, progress=progress and steps > 2000, skip_initial_state_check=True)
    chain = np.asarray(sampler.get_chain(discard=steps // 2))
    length = float(np.max(emcee.autocorr.integrated_time(chain, quiet=True)))
    if not length * _LENGTHS <= steps:
        raise UnreliableError(
            f"draws cannot be reported: the chains of {steps} steps have an autocorrelation time of {length:.0f}, and "
            f"{_LENGTHS} times as many steps are needed. Run steps={int(_LENGTHS * length) + 1} or more."
        )
    points = torch.from_numpy(chain.reshape(-1, features)).to(kind)
    chosen = torch.linspace(0, len(points) - 1, count).round().long()
    order = torch.randperm(count, generator=generator)
    return points[chosen][order]
