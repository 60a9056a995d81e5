"""Does an answer look as the model itself imagines rows of that class?"""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from counterflow.core.errors import ArgumentError, ShapeError
from counterflow.metrics._arrays import Rows

__all__ = ["langevin_samples", "unfaithfulness"]


def langevin_samples(
    logits: Callable[[Tensor], Tensor],
    target: int,
    *,
    start: Float[Tensor, "chains features"],
    lower: Float[Tensor, " features"],
    upper: Float[Tensor, " features"],
    generator: torch.Generator,
    steps: int = 500,
    step_size: float = 0.1,
    noise: float = 0.01,
) -> Float[Tensor, "chains features"]:
    r"""Rows that the model itself takes for typical of a class: stochastic gradient Langevin dynamics on its energy.

    .. math:: x_{j+1} = \mathrm{clip}\left( x_j - \tfrac{\epsilon}{2} \nabla_x E(x_j \mid y) + \sigma r_j \right), \quad
              E(x \mid y) = -\ell_y(x), \quad r_j \sim N(0, I)

    Any classifier with logits defines :math:`p(x \mid y) \propto e^{\ell_y(x)}` on a box. Most classifiers were not
    trained as such and imagine rows at the ends of the box: that is what is measured. As in the authors' code step
    and noise are chosen apart, so that the samples are those of a tempered density.

    Args:
        logits: From rows to (rows, classes), differentiable; in the space of ``start``, of about unit scale.
        target: The class.
        start: Where each chain starts: uniform in the box, as the authors have it, or real rows. A feature that has no
            gradient (a category) stays as its chain has it.
        lower: The least value of each feature.
        upper: The greatest.
        generator: Where the noise comes from.
        steps: How many steps a chain takes.
        step_size: :math:`\epsilon`.
        noise: :math:`\sigma`, the deviation of the noise; features without a gradient get none.

    Returns:
        Where the chains ended.

    Raises:
        ArgumentError: A number is outside its range.

    Reference:
        Altmeyer, Farmanbar, van Deursen, Liem, "Faithful Model Explanations through Energy-Constrained Conformal
        Counterfactuals", AAAI 2024, section 4 (equation of the sampler); Welling, Teh, 2011.

    Example:
        >>> box = torch.ones(1)
        >>> walk = langevin_samples(
        ...     lambda x: torch.cat((-x, x), 1), 1, start=torch.zeros(3, 1), lower=-box, upper=box,
        ...     generator=torch.Generator().manual_seed(0), noise=0.0,
        ... )
        >>> walk.flatten()
        tensor([1., 1., 1.])
    """
    if steps < 1 or not step_size > 0 or noise < 0:
        raise ArgumentError(f"steps >= 1, step_size > 0 and noise >= 0 are needed, got {steps}, {step_size}, {noise}.")
    x = start.detach()
    for _ in range(steps):
        x = x.clone().requires_grad_()
        (slope,) = torch.autograd.grad(logits(x)[:, target].sum(), x)
        jitter = noise * torch.randn(x.shape, generator=generator, dtype=x.dtype)
        moved = x.detach() + 0.5 * step_size * slope + torch.where(slope != 0, jitter, torch.zeros_like(jitter))
        x = torch.minimum(torch.maximum(moved, lower), upper)
    return x


def unfaithfulness(
    rows: Rows, samples: Rows, *, scale: Float[np.ndarray, "_"] | None = None, p: float | int = 1
) -> Float[np.ndarray, "_"]:
    r"""The mean distance of each answer to rows that the model itself imagines, >= 0; lower is more faithful.

    .. math:: u_i = \frac1{|\hat X_y|} \sum_{\hat x \in \hat X_y} \lVert (x'_i - \hat x) / s \rVert_p

    ``samples`` come from :func:`langevin_samples` for the wished class. It says whether an answer shows what the
    model has learned, not whether such rows exist: an adversarial row may be faithful to a bad model. The Julia
    library ``CounterfactualExplanations.jl`` (of the authors of the measure) has it for p = 1 and the 25 samples of
    lowest energy among 50; the reference library has no such number.

    Args:
        rows: (answers, features).
        samples: (samples, features), at least one.
        scale: (features,), positive; ``None`` for 1.
        p: The norm, 1, 2 or infinity.

    Returns:
        (answers,), in units of the scale.

    Raises:
        ShapeError: The features differ, or there are no samples.

    Reference:
        Altmeyer et al., AAAI 2024, definition of the (un)faithfulness metric in section 4.

    Example:
        >>> unfaithfulness(np.array([[0.0, 0.0]]), np.array([[1.0, 1.0], [0.0, 4.0]]))
        array([3.])
    """
    if not len(samples) or rows.shape[1] != samples.shape[1]:
        raise ShapeError(f"samples must have shape (1 or more, {rows.shape[1]}) like rows, got {samples.shape}.")
    unit = np.ones(rows.shape[1]) if scale is None else scale
    total = np.zeros(len(rows))
    for sample in samples:
        total += np.linalg.norm((rows - sample) / unit, ord=p, axis=1)
    return total / len(samples)
